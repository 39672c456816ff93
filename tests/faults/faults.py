"""The faults that can happen to one AWS call of a worker, as plain data.

They are the kinds that `celeriac.testing` offers, and those that need more than one call.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celeriac.testing import Sandbox, disturbances
from celeriac.testing.calls import Call, die_before
from celeriac.testing.calls import Fault as Strike
from celeriac.testing.disturbances import refusal, without
from celeriac.testing.kinds import KINDS

# Longer than the visibility timeout and most backoffs, and shorter than the receives of a message last.
MINUTES = timedelta(minutes=10)
# Longer than the receives of a message last.
HOURS = timedelta(hours=2)
# Longer than half of a worker's time.
SLOW = timedelta(seconds=20)


def throttled_for(time: timedelta) -> Callable[[Sandbox], Strike]:
    """AWS refuses the call, and then all calls to its service for so long."""

    def begin(sandbox: Sandbox) -> Strike:
        def strike(call: Call) -> Any:
            sandbox.outage(call.service, for_=time)
            raise refusal(call)

        return strike

    return begin


def slow(sandbox: Sandbox) -> Strike:
    """AWS carries the call out, and takes so long to answer that boto3 gives up, while the worker's time runs out."""
    return disturbances.slow(sandbox._clock, SLOW)


def slow_for(time: timedelta) -> Callable[[Sandbox], Strike]:
    """AWS takes so long with the call, and then with all calls to its service for so long."""

    def begin(sandbox: Sandbox) -> Strike:
        def strike(call: Call) -> Any:
            sandbox.slow(call.service, by=SLOW, for_=time)
            return slow(sandbox)(call)

        return strike

    return begin


def taken_in_part(call: Call) -> Any:
    """AWS refuses the last entry of a batch. A transaction conflicts with another one at its first item."""
    return PARTS[call.operation](call)


def _entries_but_the_last(call: Call) -> Any:
    """SendMessageBatch and similar calls: only the last entry fails."""
    return without(call, call.arguments["Entries"][-1:])


def _events_but_the_last(call: Call) -> Any:
    answer = _taken(call, "Entries", call.arguments["Entries"][:-1]) or {"Entries": []}
    failed = {"ErrorCode": "ThrottlingException", "ErrorMessage": "try again"}
    return answer | {"FailedEntryCount": 1, "Entries": [*answer["Entries"], failed]}


def _keys_but_the_last(call: Call) -> Any:
    ((table, wanted),) = call.arguments["RequestItems"].items()
    *some, last = wanted["Keys"]
    asked = {table: wanted | {"Keys": some}} if some else {}
    answer = _taken(call, "RequestItems", asked) or {"Responses": {table: []}}
    return answer | {"UnprocessedKeys": {table: wanted | {"Keys": [last]}}}


def _conflict(call: Call) -> Any:
    others = [{"Code": "None"} for _ in call.arguments["TransactItems"][1:]]
    raise refusal(call, "TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}, *others])


def _taken(call: Call, name: str, some: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """AWS's answer to a part of the call. Empty if no part is left."""
    return dict(call.carry_out({**call.arguments, name: some})) if some else {}


PARTS: dict[str, Strike] = {
    "SendMessageBatch": _entries_but_the_last,
    "DeleteMessageBatch": _entries_but_the_last,
    "ChangeMessageVisibilityBatch": _entries_but_the_last,
    "PutEvents": _events_but_the_last,
    "BatchGetItem": _keys_but_the_last,
    "TransactWriteItems": _conflict,
}
"""The calls that AWS may carry out in part."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault, and the calls that it can happen to."""

    strike: Callable[[Sandbox], Strike]
    """What the fault does to a call in this sandbox."""
    applies_to: Callable[[Call], bool] = lambda _: True


def _anywhere(strike: Strike) -> Callable[[Sandbox], Strike]:
    """The strike that is the same in every sandbox."""
    return lambda _: strike


# Faults at other points than calls.
DIES_AT_ITS_START = "dies at start"
DIES_WHILE_READING = "dies reading"
FAULTS = {name: Fault(_anywhere(kind.strike), kind.applies_to) for name, kind in KINDS.items()} | {
    DIES_AT_ITS_START: Fault(lambda _: die_before),
    DIES_WHILE_READING: Fault(lambda _: die_before),
    "outage": Fault(throttled_for(MINUTES)),
    "long outage": Fault(throttled_for(HOURS)),
    "slow": Fault(slow),
    "slow for minutes": Fault(slow_for(MINUTES)),
    "taken in part": Fault(lambda _: taken_in_part, lambda call: call.operation in PARTS),
}
