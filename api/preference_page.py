"""The preference page as HTML: one column, no script, and nothing that is not a plain form.

Every control has a label and belongs to a named group, so that it works by keyboard and is read out in order. The style is
part of the page and allowed by its hash; the policy that goes with it lets nothing else load, frame or send anywhere but here.
"""

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Final

from api.preference_words import WORDS
from api.preferences import OFTEN, Choices

STYLE: Final = """
:root{color-scheme:light dark;font:1.05rem/1.5 system-ui,sans-serif}
body{margin:0 auto;max-width:38rem;padding:1.5rem 1rem 4rem}
fieldset{border:1px solid;border-radius:.5rem;margin:0 0 1.25rem;padding:.5rem 1rem 1rem}
legend{font-weight:600;padding:0 .4rem}
label{display:block;padding:.35rem 0}
label.pair{display:inline-block;margin-right:1.5rem}
input[type=checkbox]{width:1.2rem;height:1.2rem;margin:0 .6rem 0 0;vertical-align:-.2rem}
select,input[type=time],button{font:inherit;padding:.4rem .6rem}
button{border:2px solid;border-radius:.5rem;cursor:pointer;font-weight:600;min-height:2.75rem;padding:.5rem 1.2rem}
:focus-visible{outline:3px solid;outline-offset:2px}
.note{margin:.2rem 0 .4rem}
.said{border-left:.4rem solid;padding:.6rem 1rem}
section{border-top:1px solid;margin-top:2rem}
"""
_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}
MEDIA_TYPE: Final = "text/html; charset=utf-8"


def page(choices: Choices, language: str, said: str = "") -> str:
    """The form with what holds; `said` is `saved` or `stopped` after something was done."""
    words = WORDS[language]
    note = f'<p class="said" role="status">{words[said]}</p>' if said in ("saved", "stopped") else ""
    return _document(
        language,
        words["title"],
        f"""{note}<p>{words["intro"]}</p>
<form method="post" action="?lang={language}">
{_group(words["channels"], _boxes([(f"purpose.{name}", words[f"purpose.{name}"], on) for name, on in choices.purposes.items()]))}
{
            _group(
                words["personal"],
                _box("profiling", words["profiling"], choices.profiling, "profiling-why")
                + f'<p class="note" id="profiling-why">{words["profiling.why"]}</p>',
            )
        }
{_topics(choices, words["topics"])}
{_group(words["how"], _often(choices, language) + _quiet(choices, language))}
<p><button type="submit" name="do" value="save">{words["save"]}</button></p>
</form>
<section aria-labelledby="stop">
<h2 id="stop">{words["stop.title"]}</h2>
<p id="stop-why">{words["stop.why"]}</p>
<form method="post" action="?lang={language}">
<button type="submit" name="do" value="stop" aria-describedby="stop-why">{words["stop"]}</button>
</form>
</section>""",
    )


def notice(what: str, language: str) -> str:
    """A page with one thing to say: `404`, `410`, `gone`, `400` or `503`."""
    words = WORDS[language]
    return _document(language, words[f"{what}.title"], f"<p>{words[what]}</p>")


def _document(language: str, title: str, content: str) -> str:
    return f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""


def _group(legend: str, content: str) -> str:
    return f"<fieldset><legend>{legend}</legend>\n{content}</fieldset>"


def _boxes(boxes: list[tuple[str, str, bool]]) -> str:
    return "".join(_box(name, words, on) for name, words, on in boxes)


def _box(name: str, words: str, on: bool, described_by: str = "") -> str:
    told = f' aria-describedby="{described_by}"' if described_by else ""
    checked = " checked" if on else ""
    return f'<label><input type="checkbox" name="{escape(name)}" value="yes"{checked}{told}>{escape(words)}</label>\n'


def _topics(choices: Choices, legend: str) -> str:
    if not choices.topics:
        return ""
    return _group(legend, _boxes([(f"topic.{name}", _readable(name), on) for name, on in choices.topics.items()]))


def _readable(name: str) -> str:
    words = name.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]


def _often(choices: Choices, language: str) -> str:
    words = WORDS[language]
    options = [("", words["often.any"])]
    options += [(str(count), words["often.most"].format(count=count) if count else words["often.0"]) for count in OFTEN]
    if choices.often is not None and choices.often not in OFTEN:
        options.append((str(choices.often), words["often.now"].format(count=choices.often)))
    now = "" if choices.often is None else str(choices.often)
    listed = "".join(f'<option value="{value}"{" selected" if value == now else ""}>{told}</option>' for value, told in options)
    return f'<label for="often">{words["often"]}</label>\n<select id="often" name="often">{listed}</select>\n'


def _quiet(choices: Choices, language: str) -> str:
    words = WORDS[language]
    times = "".join(
        f'<label class="pair">{words[name]} <input type="time" name="{name}" value="{value}" aria-describedby="quiet"></label>\n'
        for name, value in (("from", choices.quiet_from), ("until", choices.quiet_until))
    )
    return f'<p class="note" id="quiet">{words["quiet"]}</p>\n{times}'
