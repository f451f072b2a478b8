"""When quiet hours end for a customer."""

from datetime import UTC, timedelta

from engine.decisioning.conditions import local_time
from engine.decisioning.policy import Policy
from engine.decisioning.situation import Situation
from engine.decisioning.wishes import quiet_span
from engine.moments import Millis, millis


def quiet_until(situation: Situation, policy: Policy) -> Millis:
    """The next instant at which the customer's clock shows the end of the quiet hours, also over a change of the clocks.

    Asked while they are quiet. `now` where neither the customer nor the policy has quiet hours.
    """
    span = quiet_span(situation.part, policy)
    if span is None:
        return situation.now
    local = local_time(situation)
    end = local.replace(hour=span.end // 60 % 24, minute=span.end % 60, second=0, microsecond=0)
    if end <= local:
        end += timedelta(days=1)
    return millis(end.astimezone(UTC))
