"""`regulars evaluate coupons`: how well those are told who will redeem a coupon of a campaign they were sent.

A contact (`message_sent` with `campaign_id` and `ends_at`) is told to the engine as the decision it stands for: one offer, shown
at once, whose attribution window is the campaign and whose readings are those of the profile as it is before anything at
or after that instant. A coupon of the campaign redeems it. So the shard processor closes the labels, at the
campaign's end, and keeps the history of offers as it does for its own; campaigns of one type are one offer that comes back.

Contacts are scored in the order in which campaigns start, each by what was learned of campaigns that had ended by
then. Contacts were targeted, so this is prediction and says nothing about what a coupon changes.
"""

import time
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from rich.progress import Progress
from rich.table import Table

from engine.errors import InvariantBroken
from engine.events.base import Activity, Event
from engine.events.decode import time_of
from engine.events.offers import ChosenOffer, Decided, OfferDecided, OfferSeen
from engine.events.orders import CouponTried
from engine.events.routing import Admitted, admitted, has_customer
from engine.features.affinity import CROSS_NAMES, Promotions, read_cross
from engine.features.vector import FINGERPRINT, NAMES, NO_REQUEST, packed, read_features
from engine.ids import digest_of
from engine.models.base import Example, numbers_of
from engine.models.evaluation import Figures, auc, figures_of
from engine.models.logit import BayesianLogit, sigmoid
from engine.models.next_best_offer import OFFER_VARIANCE, NextBestOfferLearner
from engine.models.scoring import NEXT_BEST_OFFER, OfferScorer, arm_fingerprint
from engine.models.snapshot import Numbers
from engine.moments import DAY, Millis, millis, rfc3339
from engine.shards.labels import ChurnRule
from flows.evaluate_events import Finding, Log, NothingToMeasure, Walk, by_week, opened, rows_of, told
from flows.evaluate_terms import Terms
from flows.replay_source import Source

COUPONS = "coupons"
CONTACT, COUPON = "message_sent", "coupon_applied"
PLACEMENT = "campaign"
CAMPAIGN = "campaign "
"""A coupon's name says by this word which campaign it belongs to."""

SOURCE = "evaluation://coupons"
CAMPAIGN_NAMES = ("campaign.window_days", "campaign.categories")
RANKERS = ("past", "offers", "response")
WORDS = {"past": "past redemptions", "offers": "offer model", "response": "response model"}
SHOWN = {"auc": "AUC", "average_precision": "average precision"}
PRIOR_PRECISION = 30.0
BASE_LOGIT = -2.0

FINGERPRINT_OF_CONTACT = arm_fingerprint(FINGERPRINT, CAMPAIGN_NAMES, CROSS_NAMES)


class Contact(msgspec.Struct, frozen=True):
    """What a message says of its campaign: until when it runs, what kind it is, which goods its coupons are for."""

    campaign_id: str
    ends_at: str
    campaign_type: str = "campaign"
    categories: tuple[str, ...] = ()


class Collected(msgspec.Struct, frozen=True):
    """A pass over the events: closed examples in the order of closing, and by id what the customer had redeemed before."""

    examples: list[Example]
    before: dict[str, int]
    contacts: int
    events: int
    rejected: int
    seconds: float


class Predictions(msgspec.Struct, frozen=True, eq=False):
    """Contacts with what each ranker (a column each) gave them when they were opened, and by which version."""

    examples: list[Example]
    scores: Numbers
    versions: NDArray[np.intp]
    learned: int
    seconds: float


class Result(msgspec.Struct, frozen=True):
    """A whole evaluation, as `--json` writes it."""

    model: str
    data: str
    events: int
    rejected: int
    contacts: int
    closed: int
    learned: int
    scored_from: str
    later: dict[str, Figures]
    everything: dict[str, Figures]
    seconds: dict[str, float]


def contact_of(event: Event) -> Contact | None:
    """What a message says of a campaign; None for another event, or where it does not say until when the campaign runs."""
    if not isinstance(event, Activity) or event.type != CONTACT:
        return None
    try:
        contact = msgspec.convert(event.data, Contact)
        ends = datetime.fromisoformat(contact.ends_at)
    except (msgspec.ValidationError, ValueError):
        return None
    return contact if ends.tzinfo and millis(ends) > time_of(event) else None


def decision_id(campaign: str, customer: str) -> str:
    """The name of the decision that a contact stands for."""
    return f"contact-{digest_of(campaign.encode(), customer.encode()).hex()}"


def readings(walk: Walk, customer: str, contact: Contact, at: Millis, until: Millis) -> Numbers:
    """The vector of a contact: readings of the customer, the campaign, and both, as of now."""
    profile = walk.profile(customer)
    promotions = Promotions([contact.campaign_type], [contact.categories])
    both = read_cross(profile.whole, promotions, promotions.popularity(walk.popularity()), at)
    campaign = [(until - at) / DAY, float(len(contact.categories))]
    return np.concatenate([read_features(profile, NO_REQUEST, at), campaign, both[0]])


class Contacts:
    """Tells the engine of contacts and of the coupons that they led to."""

    def __init__(self, lateness_ms: int = 0) -> None:
        self.walk = Walk(ChurnRule(), lateness_ms)
        self.before: dict[str, int] = {}
        self._offers: dict[str, str] = {}

    def fold(self, taken: Sequence[Admitted]) -> None:
        """A batch of events in order; it is cut before each contact, whose readings are of the moment before."""
        pending: list[Admitted] = []
        for one in taken:
            contact = contact_of(one.event) if has_customer(one.key) else None
            if contact is not None:
                self.walk.fold(pending)
                pending = [self._decided(one, contact)]
            pending += [one, *self._redeemed(one)]
        self.walk.fold(pending)

    def _decided(self, taken: Admitted, contact: Contact) -> Admitted:
        """The decision that a contact stands for, as an entry of the log."""
        at, until = Millis(time_of(taken.event)), millis(datetime.fromisoformat(contact.ends_at))
        name = decision_id(contact.campaign_id, taken.key)
        offer = ChosenOffer(
            offer_id=contact.campaign_type,
            placement=PLACEMENT,
            campaign=contact.campaign_id,
            redeemed_when="event",
            attribution_window_ms=until - at,
            shown_when="decided",
            vector=b64encode(packed(readings(self.walk, taken.key, contact, at, until))).decode(),
        )
        self._offers[name] = offer.offer_id
        self.before[f"{name}|{offer.offer_id}|{PLACEMENT}"] = self.walk.profile(taken.key).offers.redeemed
        data = Decided(offers=(offer,), fingerprint=FINGERPRINT_OF_CONTACT)
        return admitted(OfferDecided(id=name, type="offer_decided", decision_id=name, data=data, **_envelope(taken.event)))

    def _redeemed(self, taken: Admitted) -> list[Admitted]:
        """What a coupon redeems: the offer of its campaign, where the customer was sent it."""
        event = taken.event
        told_by = event.data.coupon_name if isinstance(event, CouponTried) and event.type == COUPON else None
        name = decision_id((told_by or "").removeprefix(CAMPAIGN), taken.key)
        if name not in self._offers:
            return []
        own = f"redeemed-{digest_of(event.source.encode(), event.id.encode()).hex()}"
        offer_id = self._offers[name]
        return [admitted(OfferSeen(id=own, type="offer_redeemed", decision_id=name, offer_id=offer_id, **_envelope(event)))]


def _envelope(event: Event) -> dict[str, Any]:
    """Who it was and when: what an event of our own has in common with the one that it follows from."""
    names = ("time", "received_at", "user_id", "anonymous_id", "loyalty_id", "mode")
    return {"source": SOURCE, **{name: getattr(event, name) for name in names}}


def collect(log: Log, progress: Progress) -> Collected:
    """Fold all events of a log and take the examples of contacts that closed."""
    started = time.perf_counter()
    contacts = Contacts(log.lateness_ms)
    walk = contacts.walk
    examples: list[Example] = []
    events = 0
    task = progress.add_task("events", total=log.source.total)
    for sent in log.batches():
        taken = walk.admit(sent)
        contacts.fold(taken)
        events += len(taken)
        examples += [one for one in walk.examples() if one.model == NEXT_BEST_OFFER]
        progress.advance(task, len(sent))
    walk.finish()
    examples += [one for one in walk.examples() if one.model == NEXT_BEST_OFFER]
    seconds = time.perf_counter() - started
    return Collected(examples, contacts.before, len(contacts.before), events, walk.rejected, seconds)


class Response:
    """The Bayesian logit over all readings with bends, and a shrunk intercept of its own for each type of campaign.

    It starts at one contact in eight and knows no rule: what a customer buys anyway is no habit of redeeming coupons.
    """

    def __init__(self) -> None:
        names = (*NAMES, *CAMPAIGN_NAMES, *CROSS_NAMES)
        self._logit = BayesianLogit(prior_precision=PRIOR_PRECISION, intercept=BASE_LOGIT, names=names)
        self._own: dict[str, tuple[float, float]] = {}

    @property
    def version(self) -> int:
        """How many contacts it has learned."""
        return self._logit.learned

    def learn(self, examples: Sequence[Example]) -> None:
        """Take these closed contacts in this order."""
        for one in examples:
            mean, variance = self._own.get(one.offer_id, (0.0, OFFER_VARIANCE))
            step = self._logit.learn(numbers_of(one), one.label, mean, variance)
            if step is not None:
                self._own[one.offer_id] = (mean + variance * step.pull, variance - variance * variance * step.curvature)

    def probability(self, example: Example) -> float:
        """The probability of a redemption, for a contact that is open."""
        return sigmoid(float(self._logit.logit(numbers_of(example))) + self._own.get(example.offer_id, (0.0, 0.0))[0])


def predict(collected: Collected, progress: Progress) -> Predictions:
    """Walk the instants of contact in order: learn what had closed, publish, and score what was opened."""
    started = time.perf_counter()
    opened: dict[int, list[Example]] = {}
    for example in collected.examples:
        opened.setdefault(example.opened_at, []).append(example)
    offers, response = NextBestOfferLearner(NAMES, CAMPAIGN_NAMES, CROSS_NAMES, FINGERPRINT_OF_CONTACT), Response()
    examples: list[Example] = []
    scores: list[tuple[float, float, float]] = []
    versions: list[int] = []
    learned = 0
    task = progress.add_task("contacts", total=len(opened))
    for instant in sorted(opened):
        closed = learned
        while closed < len(collected.examples) and collected.examples[closed].closed_at <= instant:
            closed += 1
        for learner in (offers, response):
            learner.learn(collected.examples[learned:closed])
        learned = closed
        scorer = OfferScorer(offers.publish(), FINGERPRINT_OF_CONTACT)
        for example in opened[instant]:
            earlier = collected.before[example.id]
            scores.append((earlier / (1.0 + earlier), _offered(scorer, example), response.probability(example)))
            examples.append(example)
            versions.append(response.version)
        progress.advance(task)
    if offers.report().foreign:
        raise InvariantBroken("the readings of a contact are not those that are named")
    columns = np.array(scores).reshape(len(scores), len(RANKERS))
    return Predictions(examples, columns, np.array(versions, dtype=np.intp), response.version, time.perf_counter() - started)


def _offered(scorer: OfferScorer, example: Example) -> float:
    customer, campaign, both = np.split(numbers_of(example), [len(NAMES), len(NAMES) + len(CAMPAIGN_NAMES)])
    return float(scorer.score(customer, campaign[None], both[None], [example.offer_id])[0])


def measured(predictions: Predictions, chosen: NDArray[np.bool_], terms: Terms) -> dict[str, Figures]:
    """Figures of each ranker over the chosen contacts; of what is no probability only those of its order."""
    found: dict[str, Figures] = {}
    for column, ranker in enumerate(RANKERS):
        rows = rows_of(predictions.examples, predictions.scores[:, column], chosen)
        figures = figures_of(rows, terms.replicates, terms.seed)
        kept = {name: figures.figures[name] for name in (SHOWN if ranker == "past" else figures.figures)}
        found[ranker] = replace(figures, figures=kept)
    return found


def evaluate_coupons(source: Source, terms: Terms, progress: Progress) -> Finding[Result]:
    """The whole evaluation on a source of events."""
    log = opened(source, terms, progress)
    collected = collect(log, progress)
    if not collected.contacts:
        raise NothingToMeasure(
            f"{source.name}: nobody was sent a campaign in it: {CONTACT} with `campaign_id` and `ends_at` in `data` is a contact,"
            f' and {COUPON} with `coupon_name` "{CAMPAIGN}…" redeems it'
        )
    predictions = predict(collected, progress)
    examples = predictions.examples
    started = time.perf_counter()
    later, everything = log.counted(examples), replace(log, since=log.start).counted(examples)
    result = Result(
        model=COUPONS,
        data=source.name,
        events=collected.events,
        rejected=collected.rejected,
        contacts=collected.contacts,
        closed=len(examples),
        learned=predictions.learned,
        scored_from=rfc3339(log.since),
        later=measured(predictions, later, terms),
        everything=measured(predictions, everything, terms),
        seconds={
            "events": collected.seconds,
            "learning_and_scoring": predictions.seconds,
            "figures": time.perf_counter() - started,
        },
    )
    drawn = {
        WORDS[ranker]: rows_of(examples, predictions.scores[:, column], later)
        for column, ranker in enumerate(RANKERS)
        if ranker != "past"
    }
    return Finding(result, shown(result), drawn, "AUC", {name: by_week(auc, rows) for name, rows in drawn.items()})


def shown(result: Result) -> Table:
    """The figures as a table."""
    heads = f"{result.model}, at least one redeemed, {result.data}"
    table = Table(title=heads, caption=_caption(result), title_justify="left", caption_justify="left")
    table.add_column("ranker", no_wrap=True)
    for words in SHOWN.values():
        table.add_column(words, justify="right", no_wrap=True)
    for ranker, words in WORDS.items():
        table.add_row(words, *(told(result.later[ranker].figures[name]) for name in SHOWN))
    return table


def _caption(result: Result) -> str:
    counted = result.later["response"]
    return (
        f"{result.events:,} events ({result.rejected:,} refused), {result.contacts:,} contacts, of which"
        f" {result.closed:,} of campaigns that ended within the data. The figures are of the {counted.rows:,}"
        f" from {result.scored_from[:10]} on, to {counted.customers:,} customers, {counted.positives:,}"
        f" redeemed; scored at a campaign's start by models that had learned ended campaigns only ({result.learned:,}"
        " contacts in the end). The offer model is the roster's; the response model is a Bayesian logit over the same"
        " readings with bends. In brackets 95 % intervals, bootstrapped by customer."
    )
