"""How an enrolment opens, what changes it, and when it is counted. The sums it ends in are `engine.models.lift`'s.

Everybody enters with the first decision in which a campaign had something in place for them, held out or not: what
decides is the log entry alone, so both arms enter by the same rule. From then on purchases and returns of all identities of
the customer count, dated by when they happened. Counting waits for the watermark, so stragglers are in; what comes later
still changes the profile and no sum.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from engine.events.offers import OfferDecided
from engine.models.lift import EVERYTHING, HOLDOUT, Observed
from engine.profiles.experiment import MOST_ENROLMENTS, Enrolment, Experiment
from engine.profiles.offer_history import OfferHistory, OpenOffer
from engine.profiles.profile import Part, Profile

_NOT_YET = OpenOffer()


def enrolled(profile: Profile, part_key: str, event: OfferDecided, at: int) -> Profile:
    """After a decision: with the campaigns that are new to the customer, and marked where the arm is not the one of before."""
    said = event.data
    if not said.campaigns or said.outcome_ms <= 0:
        return profile
    arm = HOLDOUT if said.holdout else said.variation
    profile = _each(profile, lambda one: replace(one, mixed=True) if one.arm != arm and not one.mixed else one)
    known = {one.campaign for part in profile.parts.values() for one in part.experiment.enrolments}
    new = [name for name in said.campaigns if name not in known][: MOST_ENROLMENTS - len(known)]
    if not new:
        return profile
    bought, part = profile.purchases, profile.part_of(part_key)
    unit = profile.unit
    opened = [Enrolment(name, arm, at, at + said.outcome_ms, unit=unit).recounted(bought) for name in new]
    held = sorted((*part.experiment.enrolments, *opened), key=lambda one: one.campaign)
    return profile.with_part(part_key, replace(part, experiment=Experiment(tuple(held))))


def spent(profile: Profile, change: Mapping[str, int], purchases: int, at: int) -> Profile:
    """After the customer's spend changed, under whichever identity."""
    return _each(profile, lambda one: one.spent(change, purchases, at)) if change or purchases else profile


def responded(profile: Profile, old: OfferHistory, new: OfferHistory, at: int) -> Profile:
    """After offers were seen or taken."""
    if new.shown == old.shown and new.redeemed == old.redeemed:
        return profile
    before = {(one.decision_id, one.offer_id, one.placement): one for one in old.open}
    pairs = [(one, before.get((one.decision_id, one.offer_id, one.placement), _NOT_YET)) for one in new.open]
    seen = {now.campaign for now, then in pairs if now.viewed_at and not then.viewed_at}
    taken = [now.campaign for now, then in pairs if now.redeemed_at and not then.redeemed_at]
    undone = [now.campaign for now, then in pairs if then.redeemed_at and not now.redeemed_at]
    counting = _counting(profile)

    def changed(one: Enrolment) -> Enrolment:
        if not one.at <= at < one.closes_at or counting[one.campaign] is not one:
            return one
        everything = one.campaign == EVERYTHING
        shown = one.exposed or bool(seen if everything else one.campaign in seen)
        redeemed = len(taken) - len(undone) if everything else taken.count(one.campaign) - undone.count(one.campaign)
        return replace(one, exposed=shown, redemptions=max(one.redemptions + redeemed, 0))

    return _each(profile, changed)


def recounted(profile: Profile) -> Profile:
    """After identities were joined or parted: every enrolment, with the spend of all identities that are left.

    Each stays with the identity under which it was opened, so that it can leave with it. Of several in one campaign one counts.
    """
    if not any(part.experiment.enrolments for part in profile.parts.values()):
        return profile
    bought = profile.purchases
    return _each(profile, lambda one: one.recounted(bought))


def unnamed(profile: Profile, unit: str) -> Profile:
    """Without the name of somebody who was erased: from here on the side hangs on the profile's own identities."""
    for key, part in profile.parts.items():
        held = part.experiment.enrolments
        if any(one.unit == unit for one in held):
            kept = tuple(replace(one, unit="" if one.unit == unit else one.unit) for one in held)
            profile = profile.with_part(key, replace(part, experiment=Experiment(kept)))
    return profile


def closing(profile: Profile) -> set[int]:
    """When enrolments of the customer will be over."""
    return {one.closes_at for part in profile.parts.values() for one in part.experiment.enrolments if not one.counted}


def over(profile: Profile, at: int) -> tuple[list[tuple[tuple[str, str], Observed]], Profile]:
    """What is over by now, as ((campaign, arm), what was observed), and the profile in which it is marked as counted."""
    counting = {campaign: one for campaign, one in _counting(profile).items() if one.counted or one.closes_at <= at}
    if not counting:
        return [], profile
    whole = {one.campaign: one for one in profile.whole.experiment.enrolments}
    observed = [((name, one.arm), _observed(whole.get(name, one))) for name, one in sorted(counting.items()) if not one.counted]

    def counted(one: Enrolment) -> Enrolment:
        return replace(one, after={}, before={}, counted=True) if one.campaign in counting else one

    return observed, _each(profile, counted)


def _counting(profile: Profile) -> dict[str, Enrolment]:
    """By campaign the enrolment that counts."""
    found: dict[str, Enrolment] = {}
    for part in profile.parts.values():
        for one in part.experiment.enrolments:
            held = found.get(one.campaign)
            if held is None or one.order < held.order:
                found[one.campaign] = one
    return found


def _observed(one: Enrolment) -> Observed:
    return Observed(one.after, one.before, one.purchases > 0, one.exposed, one.redemptions, one.mixed)


def _each(profile: Profile, change: Callable[[Enrolment], Enrolment]) -> Profile:
    """With every enrolment that is not over changed; the same profile where nothing does."""
    parts: dict[str, Part] | None = None
    for key, part in profile.parts.items():
        if not part.experiment.enrolments:
            continue
        held = tuple(one if one.counted else change(one) for one in part.experiment.enrolments)
        if any(new is not old for new, old in zip(held, part.experiment.enrolments, strict=True)):
            parts = {**(parts or profile.parts), key: replace(part, experiment=Experiment(held))}
    return profile if parts is None else replace(profile, parts=parts)
