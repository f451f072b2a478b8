"""The words of the preference page, by language. A language is one of these; the page speaks the first that fits."""

from collections.abc import Iterable, Mapping
from typing import Final

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "title": "Your choices",
        "intro": "Choose here what we may send you, and about what. You can come back and change it at any time.",
        "saved": "Your choices are saved. They hold from now on.",
        "stopped": "We have stopped everything. You get no more offers, and what you do is no longer read to choose any.",
        "channels": "Where offers may reach you",
        "purpose.onsite": "In the shop, on the site and in the app",
        "purpose.email": "By e-mail",
        "purpose.sms": "By text message",
        "purpose.push": "As notifications on your devices",
        "personal": "Offers made for you",
        "profiling": "Choose offers by what I buy and look at",
        "profiling.why": "Without this you see the same offers as everybody.",
        "topics": "What they may be about",
        "how": "How often, and when",
        "often": "Offers a week, on all ways together",
        "often.any": "As the shop thinks fit",
        "often.0": "None",
        "often.most": "At most {count}",
        "often.now": "At most {count} (as now)",
        "quiet": "Send no messages between these times. Leave both empty for the shop's own quiet hours.",
        "from": "From",
        "until": "Until",
        "save": "Save my choices",
        "stop.title": "Enough of all of it?",
        "stop.why": "One step ends all offers everywhere, and what you do is no longer read for them. Receipts and service stay.",
        "stop": "Stop everything",
        "404.title": "This link does not work",
        "404": "The address is not complete, or it is not one of ours. Please use the link in the message as it is.",
        "410.title": "This link has ended",
        "410": "For your safety such links work only for a while. The next message brings a new one, or ask us for it.",
        "gone.title": "Nothing is held of you any more",
        "gone": "You asked us to forget you, and we have. There is nothing left to choose.",
        "400.title": "That could not be read",
        "400": "Please go back and send your choices again.",
        "503.title": "We cannot save anything at this moment",
        "503": "Nothing was changed. Please try again in a minute.",
    },
    "de": {
        "title": "Ihre Auswahl",
        "intro": "Wählen Sie hier, was wir Ihnen senden dürfen und worüber. Sie können das jederzeit wieder ändern.",
        "saved": "Ihre Auswahl ist gespeichert. Sie gilt ab sofort.",
        "stopped": "Wir haben alles beendet. Sie erhalten keine Angebote mehr, und wir werten dafür nichts mehr aus.",
        "channels": "Wo Angebote Sie erreichen dürfen",
        "purpose.onsite": "Im Geschäft, auf der Website und in der App",
        "purpose.email": "Per E-Mail",
        "purpose.sms": "Per SMS",
        "purpose.push": "Als Mitteilung auf Ihren Geräten",
        "personal": "Angebote für Sie persönlich",
        "profiling": "Angebote danach auswählen, was ich kaufe und ansehe",
        "profiling.why": "Ohne das sehen Sie dieselben Angebote wie alle.",
        "topics": "Worum es gehen darf",
        "how": "Wie oft und wann",
        "often": "Angebote in der Woche, auf allen Wegen zusammen",
        "often.any": "Wie das Geschäft es für richtig hält",
        "often.0": "Keine",
        "often.most": "Höchstens {count}",
        "often.now": "Höchstens {count} (wie bisher)",
        "quiet": "In dieser Zeit keine Nachrichten. Lassen Sie beides leer, dann gelten die Ruhezeiten des Geschäfts.",
        "from": "Von",
        "until": "Bis",
        "save": "Auswahl speichern",
        "stop.title": "Genug davon?",
        "stop.why": "Ein Schritt beendet alle Angebote auf allen Wegen und jede Auswertung dafür. Belege und Service bleiben.",
        "stop": "Alles beenden",
        "404.title": "Dieser Link funktioniert nicht",
        "404": "Die Adresse ist unvollständig oder nicht von uns. Bitte nehmen Sie den Link so, wie er in der Nachricht steht.",
        "410.title": "Dieser Link ist abgelaufen",
        "410": "Zu Ihrer Sicherheit gelten solche Links nur eine Zeit lang. Die nächste Nachricht bringt einen neuen.",
        "gone.title": "Über Sie ist nichts mehr gespeichert",
        "gone": "Sie wollten vergessen werden, und das ist geschehen. Es gibt nichts mehr auszuwählen.",
        "400.title": "Das war nicht lesbar",
        "400": "Bitte gehen Sie zurück und senden Sie Ihre Auswahl noch einmal.",
        "503.title": "Im Moment können wir nichts speichern",
        "503": "Es wurde nichts geändert. Bitte versuchen Sie es in einer Minute noch einmal.",
    },
}
FIRST: Final = "en"


def language_of(wanted: Iterable[str | None]) -> str:
    """The first language that is spoken here: of an asked one, of the customer's locale, of what the browser prefers."""
    for tags in wanted:
        for tag in (tags or "").split(","):
            name = tag.partition(";")[0].strip().replace("_", "-").partition("-")[0].lower()
            if name in WORDS:
                return name
    return FIRST
