"""`regulars privacy-notice`: what is held of customers, why, and for how long, in plain words.

It is printed from the key families of the store, the settings of retention and the policy of the shop, so that it cannot tell
another story than the system. A shop adds who it is, and its lawyer reads it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from config.catalogue_files import load_catalogue
from config.settings import EngineSettings, RetentionSettings
from engine.decisioning.conditions import clock
from engine.decisioning.policy import Policy
from engine.store.families import FAMILIES, Family

_PURPOSES = (
    ("marketing", "offers of any kind; it covers the four below"),
    ("onsite", "offers in the shop, at the till, on the site and in the app"),
    ("email", "offers by e-mail"),
    ("sms", "offers by text message"),
    ("push", "offers as notifications"),
    ("profiling", "reading what you buy and look at, to choose offers and to learn which are welcome"),
)
_BY_ERASURE = {
    "at once": "erased at once",
    "expires with the log": "goes with the log",
    "leaves within moments": "gone by then",
    "is what remains": "this is what remains",
    "stays with the offer": "goes with the offer",
    "stays with the models' journal": "stays under your number until the journal of the models is cleared",
}


def main(*, catalogue: Path | None) -> int:
    """Prints the notice for a catalogue's policy."""
    policy = load_catalogue(catalogue or EngineSettings().catalogue).policy
    sys.stdout.write(notice(policy, RetentionSettings()))
    return 0


def notice(policy: Policy, retention: RetentionSettings) -> str:
    """The whole of it, as Markdown."""
    parts = (_opening(), _held(retention), _consents(policy), _choosing(policy), _rights(), _rest(retention))
    return "".join(f"{line}\n" for part in parts for line in part)


def stays(family: Family, retention: RetentionSettings) -> str:
    """How long, with the numbers that are set."""
    return family.stays.format(**retention.model_dump())


def _opening() -> Iterator[str]:
    yield "# What is held of you, why, and for how long"
    yield ""
    yield "This notice is printed from the tables by which the system keeps and deletes what it holds."
    yield ""


def _held(retention: RetentionSettings) -> Iterator[str]:
    yield "## What is held"
    yield ""
    yield "| what | why | on which basis | how long | when you ask to be forgotten | stored as |"
    yield "|---|---|---|---|---|---|"
    for family in FAMILIES:
        told = family.personal
        if told is not None:
            cells = (told.what, told.why, told.basis, stays(family, retention), _BY_ERASURE[told.erased], f"`{family.name}`")
            yield f"| {' | '.join(cells)} |"
    yield ""
    yield "Names, addresses and passwords are dropped when they arrive. Of an e-mail address or phone number a keyed hash is"
    yield "kept, which cannot be turned back into it."
    yield ""


def _consents(policy: Policy) -> Iterator[str]:
    default = "it is done" if policy.consent.profiling_by_default else "it is not done"
    yield "## What you decide"
    yield ""
    yield "Without your word there are no offers: what you have not said counts as no. Your last word holds, from the moment"
    yield "you say it."
    yield ""
    yield "| purpose | what it allows |"
    yield "|---|---|"
    for name, allows in _PURPOSES:
        yield f"| {name} | {allows} |"
    yield ""
    yield f"As long as you have said nothing about profiling, {default} among the offers that you allow. If you refuse it,"
    yield "no score is worked out for you, nothing is learned from you, and you see the offers that everybody sees. Receipts and"
    yield "service records stay."
    yield ""
    page = policy.preferences
    yield f"On the page of your choices, which a link opens for {page.link_days:g} days, you also choose topics, how often, and"
    yield "when not. What you agree to there is kept with its time and the version of its words,"
    yield f"now `{page.text_version}`."
    yield ""


def _choosing(policy: Policy) -> Iterator[str]:
    yield "## How offers are chosen"
    yield ""
    yield "- By what you bought and looked at, by what others like, and by what an offer brings; a small share by chance, to"
    yield "  learn."
    yield f"- How likely you are to stay away for {policy.churn.horizon_days} days, to buy within a week, and what your"
    yield "  purchases may come to is estimated from your own history."
    if policy.holdout.share:
        yield f"- {policy.holdout.share:.0%} of customers, picked by chance, get no personal offers: so the shop learns what"
        yield "  offers are worth."
    for cap in policy.caps.all_offers:
        yield f"- You are shown at most {cap.count} offers in {cap.window_days:g} days; you can choose fewer."
    span = policy.quiet_hours.span
    if span is not None:
        channels = ", ".join(policy.quiet_hours.channels)
        yield f"- Between {clock(span.start)} and {clock(span.end)} of your own time nothing is sent by {channels};"
        yield "  you can choose other hours."
    yield "- While a complaint of yours is open, nothing is sold to you."
    yield ""


def _rights() -> Iterator[str]:
    yield "## Your rights"
    yield ""
    yield "- **To know**: everything held of you is handed over in a form that machines read (`GET /v1/customers/{id}/export`)."
    yield "- **To correct**: what is wrong is put right (`PATCH /v1/customers/{id}/traits`)."
    yield "- **To be forgotten**: you get a certificate that lists each store; what still arrives about you is refused"
    yield "  (`DELETE /v1/customers/{id}`)."
    yield "- **To object**: one step on the page of your choices stops everything."
    yield ""


def _rest(retention: RetentionSettings) -> Iterator[str]:
    yield "## What is held of nobody in particular"
    yield ""
    for family in FAMILIES:
        if family.personal is None:
            yield f"- {family.holds} ({stays(family, retention)}; `{family.name}`)"
