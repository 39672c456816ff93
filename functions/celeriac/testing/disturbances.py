"""What AWS does to the calls of workers for a time: refuse them, take long, or carry batches out in part."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import ReadTimeoutError

from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac.model.table import Table
from celeriac.testing.calls import Call, Calls, Fault
from celeriac.testing.clock import Clock

# The error code and the HTTP status with which each service refuses calls that are too many. boto3 raises it after its
# own retries.
THROTTLES = {
    "dynamodb": ("ProvisionedThroughputExceededException", 400),
    "events": ("ThrottlingException", 400),
    "s3": ("SlowDown", 503),
    "scheduler": ("ThrottlingException", 429),
    "sqs": ("RequestThrottled", 403),
}
OTHER_THROTTLE = ("ThrottlingException", 400)
"""That of services that only a user's tasks call."""
SERVER_ERROR = 500
# The tries beyond the first one in celeriac/aws/client.py.
RETRIES = 3


@dataclass(frozen=True, slots=True)
class Which:
    """The calls that a disturbance is about. None stands for all."""

    stage: str
    service: str
    operation: str | None = None
    queue: Queue | None = None
    table: Table | str | None = None

    def __call__(self, call: Call) -> bool:
        """Whether the call is one of them."""
        return (
            call.service == self.service
            and self.operation in {None, call.operation}
            and (self.queue is None or self.queue.physical_name(self.stage) in _queues(call))
            and (self.table is None or self._table_name() in _tables(call))
        )

    def _table_name(self) -> str:
        if isinstance(self.table, Table):
            return self.table.physical_name(self.stage)
        return names.table(self.stage, self.table or "")


class Disturbance:
    """Something that happens to calls of workers. It ends with its time, with its `with` block, or by `end()`."""

    def __init__(
        self, calls: Calls, clock: Clock, which: Callable[[Call], bool], strike: Fault, for_: timedelta | None
    ) -> None:
        self.struck = 0
        """How many calls it has met."""
        self._calls, self._clock, self._which, self._strike = calls, clock, which, strike
        self.until: datetime | None = clock.now + for_ if for_ is not None else None
        """When it ends; None if it doesn't end by itself."""
        calls.disturbances.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def __call__(self, call: Call) -> Any:
        """Meet the call, or let it pass."""
        if not self.lasts or not self._which(call):
            return call.make()
        self.struck += 1
        return self._strike(call)

    @property
    def lasts(self) -> bool:
        """Whether it hasn't ended yet."""
        return self in self._calls.disturbances and (self.until is None or self._clock.now < self.until)

    def end(self) -> None:
        """End it now."""
        if self in self._calls.disturbances:
            self._calls.disturbances.remove(self)


def will_recover(calls: Calls) -> bool:
    """Whether AWS is disturbed for a time, so that what fails now may succeed later."""
    return any(isinstance(one, Disturbance) and one.lasts and one.until is not None for one in calls.disturbances)


def refusing(code: str | None) -> Fault:
    """AWS refuses the call with an error of this code, by default that of a throttle."""

    def refuse(call: Call) -> Any:
        raise refusal(call, code)

    return refuse


def refusal(call: Call, code: str | None = None, **details: Any) -> Exception:
    """The error that boto3 raises when AWS has refused a call each time, as code that uses this client catches it."""
    throttle, status = THROTTLES.get(call.service, OTHER_THROTTLE)
    answer = {
        "Error": {"Code": code or throttle, "Message": "by the test"},
        "ResponseMetadata": {
            "HTTPStatusCode": SERVER_ERROR if code and code.startswith("Internal") else status,
            "RetryAttempts": RETRIES,
            "MaxAttemptsReached": True,
        },
        **details,
    }
    error: Exception = call.client.exceptions.from_code(code or throttle)(answer, call.operation)
    return error


def slow(clock: Clock, by: timedelta) -> Fault:
    """AWS answers after so long. If that is longer than the client waits, its tries all end without an answer."""

    def wait(call: Call) -> Any:
        config = call.client.meta.config
        gives_up_after = timedelta(seconds=config.read_timeout)
        if by <= gives_up_after:
            clock.advance(by)
            return call.make()
        for _ in range(config.retries["total_max_attempts"]):
            with suppress(Exception):
                call.make()  # AWS carries out each try all the same
            clock.advance(gives_up_after)
        raise ReadTimeoutError(endpoint_url=call.client.meta.endpoint_url)

    return wait


def in_part(share: float, seed: int) -> Fault:
    """SQS refuses this share of a batch's entries, at random."""
    chance = random.Random(seed)  # noqa: S311 - this randomness decides nothing secret

    def take_some(call: Call) -> Any:
        entries = call.arguments["Entries"]
        refused = [entry for entry in entries if chance.random() < share]
        return without(call, refused) if refused else call.make()

    return take_some


def without(call: Call, refused: list[Any]) -> dict[str, Any]:
    """SQS's answer to a batch of which it refuses these entries, and takes the others."""
    taken = [entry for entry in call.arguments["Entries"] if entry not in refused]
    answer = call.carry_out({**call.arguments, "Entries": taken}) if taken else {"Successful": []}
    failed = [
        {"Id": entry["Id"], "Code": "InternalError", "Message": "by the test", "SenderFault": False}
        for entry in refused
    ]
    return answer | {"Failed": [*answer.get("Failed", []), *failed]}


def is_batch(call: Call) -> bool:
    """Whether SQS may carry the call out in part."""
    return call.operation in {"SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"}


def _queues(call: Call) -> set[str]:
    """The physical names of the queues that a call is about, also that to which a schedule sends."""
    arguments = call.arguments
    return {str(arguments.get("QueueUrl", "")).rpartition("/")[2], _target(arguments).rpartition(":")[2]}


def _target(arguments: Any) -> str:
    return str(arguments["Target"]["Arn"]) if "Target" in arguments else ""


def _tables(call: Call) -> set[str]:
    """The physical names of the tables that a call reads or writes."""
    arguments = call.arguments
    named = {str(arguments["TableName"])} if "TableName" in arguments else set()
    acted_on = {part["TableName"] for action in arguments.get("TransactItems", ()) for part in action.values()}
    return named | acted_on | set(arguments.get("RequestItems", ()))
