"""What the customer last said of us, what was done about it, and what they asked for."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from engine.events.feedback import ConversationEnded, FeedbackSubmitted, InteractionLogged, SpecialRequestNoted, sentiment_of

MOST_WISHES = 10
_WISH = 200
Said = tuple[int, float]
"""(when, what); an instant of 0 was never said. Of two answers at one instant the lower one holds: nobody is taken to be
happier than they said."""
NEVER: Said = (0, 0.0)


class Feedback(Struct, frozen=True, gc=False, array_like=True):
    """The last answer to each question. `satisfaction` is the last of CSAT and CES as a share from 0 to 1; `sentiment` goes from
    -1 to 1. `done` is when each action was last carried out, by (action, case); `wishes` are the newest special requests."""

    nps: Said = NEVER
    satisfaction: Said = NEVER
    sentiment: Said = NEVER
    done: dict[str, int] = {}
    wishes: tuple[tuple[int, str], ...] = ()
    answers: int = 0

    def done_at(self, action: str, case: str = "") -> int:
        """When the action was last carried out, for this case or for all; 0 is never."""
        return max(self.done.get(action, 0), self.done.get(f"{action} {case}", 0) if case else 0)

    def merge(self, other: "Feedback") -> "Feedback":
        """What two identities of one customer said."""
        return Feedback(
            _later(self.nps, other.nps),
            _later(self.satisfaction, other.satisfaction),
            _later(self.sentiment, other.sentiment),
            _bounded({name: max(self.done.get(name, 0), other.done.get(name, 0)) for name in {*self.done, *other.done}}),
            tuple(sorted({*self.wishes, *other.wishes})[-MOST_WISHES:]),
            self.answers + other.answers,
        )


MOST_DONE = 24


def _bounded(done: dict[str, int]) -> dict[str, int]:
    newest = sorted(done, key=lambda name: (done[name], name))[-MOST_DONE:]
    return {name: done[name] for name in sorted(newest)}


def _later(one: Said, other: Said) -> Said:
    return max(one, other, key=lambda said: (said[0], -said[1]))


def _submitted(facet: Feedback, event: FeedbackSubmitted, at: int) -> Feedback:
    said = event.data
    changes: dict[str, Said] = {}
    if said.nps is not None:
        changes["nps"] = _later(facet.nps, (at, float(said.nps)))
    shares = [share for share in (_share(said.csat, 5.0), _share(said.ces, 7.0)) if share is not None]
    if shares:
        changes["satisfaction"] = _later(facet.satisfaction, (at, min(shares)))
    if said.sentiment is not None:
        changes["sentiment"] = _later(facet.sentiment, (at, sentiment_of(said.sentiment)))
    return replace(facet, answers=facet.answers + 1, **changes)


def _share(answer: float | None, best: float) -> float | None:
    return None if answer is None else (answer - 1.0) / (best - 1.0)


def _ended(facet: Feedback, event: ConversationEnded, at: int) -> Feedback:
    if event.data.sentiment is None:
        return facet
    return replace(facet, sentiment=_later(facet.sentiment, (at, sentiment_of(event.data.sentiment))))


def _logged(facet: Feedback, event: InteractionLogged, at: int) -> Feedback:
    said = event.data
    if said.action is None:
        return facet
    name = f"{said.action} {said.case_id}" if said.case_id else said.action
    return replace(facet, done=_bounded({**facet.done, name: max(facet.done.get(name, 0), at)}))


def _noted(facet: Feedback, event: SpecialRequestNoted, at: int) -> Feedback:
    words = event.data.words[:_WISH]
    return replace(facet, wishes=tuple(sorted({*facet.wishes, (at, words)})[-MOST_WISHES:])) if words else facet


HANDLERS: dict[str, Callable[..., Feedback]] = {
    "feedback_submitted": _submitted,
    "conversation_ended": _ended,
    "interaction_logged": _logged,
    "special_request_noted": _noted,
}
