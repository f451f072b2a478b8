"""What customers say of us, and what is said with them: answers to surveys, conversations, visits, calls, wishes."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.events.base import Event, Identifier, Text

Sentiment = Annotated[float, Meta(ge=-1.0, le=1.0)] | Literal["negative", "neutral", "positive"]
_WORDS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
ActionName = Literal["recovery", "follow_up", "thank_you", "service"]


def sentiment_of(said: float | str) -> float:
    """A sentiment as a number from -1 to 1."""
    return _WORDS[said] if isinstance(said, str) else float(said)


class Feedback(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Answers to a survey, each by itself or together: `nps` 0 to 10 (would recommend), `csat` 1 to 5 (content), `ces` 1 to 7
    (was easy)."""

    survey_id: Text | None = None
    nps: Annotated[int, Meta(ge=0, le=10)] | None = None
    csat: Annotated[float, Meta(ge=1, le=5)] | None = None
    ces: Annotated[float, Meta(ge=1, le=7)] | None = None
    sentiment: Sentiment | None = None
    reason: Text | None = None
    order_id: Text | None = None
    product_id: Text | None = None
    store: Text | None = None
    text: str | None = None


class FeedbackSubmitted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The customer has told how it was."""

    data: Feedback = Feedback()


class Conversation(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A conversation that is over, with a person or a program; `sentiment` from -1 to 1, or a word."""

    conversation_id: Text | None = None
    sentiment: Sentiment | None = None
    topic: Text | None = None
    case_id: Identifier | None = None
    text: str | None = None


class ConversationEnded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation has ended."""

    data: Conversation = Conversation()


class Interaction(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Something that somebody of the shop did with the customer or noted: a visit, a call, a chat, a note. `action` says which
    action it carries out, such as the follow-up of a complaint; that action is then due no more."""

    kind: Text = "note"
    action: ActionName | None = None
    case_id: Identifier | None = None
    agent: Text | None = None
    subject: Text | None = None
    text: str | None = None


class InteractionLogged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A visit, a call, a chat or a note."""

    data: Interaction = Interaction()


class Wish(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Something that the customer asked for, to be remembered."""

    request_id: Text | None = None
    request: Text | None = None
    subject: Text | None = None
    product_id: Text | None = None
    store: Text | None = None
    text: str | None = None

    @property
    def words(self) -> str:
        return self.request or self.subject or self.text or ""


class SpecialRequestNoted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A wish of the customer was noted."""

    data: Wish = Wish()


TYPES: dict[str, type[Event]] = {
    "feedback_submitted": FeedbackSubmitted,
    "conversation_ended": ConversationEnded,
    "interaction_logged": InteractionLogged,
    "special_request_noted": SpecialRequestNoted,
}
