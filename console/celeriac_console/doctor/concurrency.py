"""Whether the invocations that the stage may run at once fit into what the account has in this region."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from celeriac.declare import registry
from celeriac.model import project, settings
from celeriac.model.queue import CONCURRENCY_RANGE, Queue
from celeriac.model.stages import LOCAL, RELAY_RESERVE, SWEEPER_RESERVE
from celeriac_console.doctor.finding import Finding
from celeriac_console.stage.clients import client

# Lambda leaves at least so many of an account unreserved:
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
_SMALLEST_LEFT = 100
_OURS = RELAY_RESERVE + SWEEPER_RESERVE
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
_OF_A_POLLER = 10
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_QUOTA = "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384"


def concurrency() -> Iterator[Finding]:
    """Compare the queues' limits with the account's quota."""
    has = client("lambda").get_account_settings()["AccountLimit"]
    stage = project.read(Path.cwd()).stage(settings.stage())
    queues = [stage.applied(queue, settings.FILE) for queue in registry.queues().values() if not queue.is_on_fargate]
    yield compared(
        queues,
        quota=has["ConcurrentExecutions"],
        unreserved=has["UnreservedConcurrentExecutions"],
        reserve=stage.reserve,
    )


def compared(queues: Sequence[Queue], *, quota: int, unreserved: int, reserve: bool = False) -> Finding:
    """The finding for these queues.

    quota: how many invocations the account may run at once in this region.
    unreserved: how many of them no function has reserved. Queues with `reserved` take none of them.
    reserve: whether relay and sweeper have reserved theirs.
    """
    ours = 0 if reserve else _OURS
    sharing = [queue for queue in queues if queue.reserved is None]
    limits = {queue.name: limit for queue in sharing if (limit := _limit(queue)) is not None}
    unlimited = [queue.name for queue in sharing if queue.name not in limits]
    wanted = sum(limits.values()) + CONCURRENCY_RANGE[0] * len(unlimited) + ours
    parts = [
        *([f"{sum(limits.values())} by the limits of {', '.join(limits)}"] if limits else []),
        *([f"{CONCURRENCY_RANGE[0]} at least for each of {', '.join(unlimited)}"] if unlimited else []),
        *([f"{ours} for relay and sweeper"] if ours else []),
    ]
    has = f"{unreserved} of the account's {quota}" if unreserved != quota else f"the account's {quota}"
    state = f"{wanted} invocations at once ({', '.join(parts)}), and {has} can be used here"
    if wanted > unreserved:
        return Finding("concurrency", "", state, _cure(limits, wanted - unreserved, quota))
    if unlimited:
        state += (
            f". A backlog of {' or '.join(unlimited)} may take all of them, because there is no max_concurrency. Then "
            "the other functions wait, and lose nothing"
        )
        if ours and quota >= _SMALLEST_LEFT + ours and settings.stage() != LOCAL:  # that stage has no settings
            state += f"; reserve = true under stages.{settings.stage()} keeps {ours} for relay and sweeper"
    return Finding("concurrency", "", state)


def _limit(queue: Queue) -> int | None:
    return queue.pollers[1] * _OF_A_POLLER if queue.pollers else queue.max_concurrency


def _cure(limits: dict[str, int], over: int, quota: int) -> str:
    more = f"{_QUOTA} --desired-value {quota + over}"
    if not limits:
        return f"raise the quota: {more}"
    highest = max(limits, key=lambda name: limits[name])
    return f"lower max_concurrency, or the pollers, by {over} in all, first of {highest}. Or raise the quota: {more}"
