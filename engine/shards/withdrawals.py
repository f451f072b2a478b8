"""Offers that were taken by a purchase which was then taken back: while an offer is open, it is not taken any more.

A void or a return in full turns what the open offer will teach, its counts and its enrolment, under whichever identities offer
and purchase are. A label that has closed was learned from and stays as it is: what the customer did until then is what was asked.
"""

from msgspec.structs import replace

from engine.profiles.profile import Profile


def withdrawn(profile: Profile) -> Profile:
    """The customer, with no open offer taken by a purchase that was taken back."""
    if not any(one.redeemed_at for part in profile.parts.values() for one in part.offers.open):
        return profile
    bought = profile.purchases.last
    undone = {one.at for one in bought if one.taken_back} - {one.at for one in bought if not one.taken_back}
    for key, part in profile.parts.items() if undone else ():
        offers = part.offers.withdrawn(undone)
        if offers is not part.offers:
            profile = profile.with_part(key, replace(part, offers=offers))
    return profile


def counted_apart(profile: Profile) -> bool:
    """Whether what was bought under one identity and taken back under another makes the customer less than their parts."""
    return len(profile.parts) > 1 and any(part.purchases.early for part in profile.parts.values())
