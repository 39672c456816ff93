"""The faults that can happen to one AWS call of a worker, as plain data.

A fault takes the place of boto3. It raises what boto3 raises after its own retries are used up, which is the harder
case. What boto3's retries do by themselves is the fault `sent twice`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from celeriac.testing.calls import Call, die_after, die_before
from celeriac.testing.calls import Fault as Strike

NOWHERE = "https://aws.example"
# The error code of each service when it is called too often.
THROTTLES = {
    "sqs": "RequestThrottled",
    "dynamodb": "ProvisionedThroughputExceededException",
    "scheduler": "ThrottlingException",
    "events": "ThrottlingException",
    "s3": "SlowDown",
}


def answer_lost(call: Call) -> Any:
    """AWS carries out the call, and its answer is lost."""
    call.make()
    raise ReadTimeoutError(endpoint_url=NOWHERE)


def never_arrived(call: Call) -> Any:
    """AWS is out of reach and doesn't receive the call."""
    raise ConnectTimeoutError(endpoint_url=NOWHERE)


def throttled(call: Call) -> Any:
    """AWS refuses the call."""
    raise _error(call, THROTTLES[call.service])


def sent_twice(call: Call) -> Any:
    """The first answer is lost, and boto3 sends the call again. The worker gets the second answer."""
    call.make()
    return call.make()


def taken_in_part(call: Call) -> Any:
    """AWS refuses the last entry of a batch. A transaction conflicts with another one at its first item."""
    return PARTS[call.operation](call)


def _entries_but_the_last(call: Call) -> Any:
    """SendMessageBatch and similar calls: only the last entry fails."""
    entries = call.arguments["Entries"]
    answer = _taken(call, "Entries", entries[:-1]) or {"Successful": []}
    failed = {"Id": entries[-1]["Id"], "Code": "InternalError", "Message": "try again", "SenderFault": False}
    return answer | {"Failed": [*answer.get("Failed", []), failed]}


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
    raise _error(call, "TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}, *others])


def _taken(call: Call, name: str, some: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """AWS's answer to a part of the call. Empty if no part is left."""
    return dict(call.carry_out({**call.arguments, name: some})) if some else {}


def _error(call: Call, code: str, **details: Any) -> Exception:
    """The error as code that uses this client would catch it."""
    answer = {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": {"HTTPStatusCode": 400}, **details}
    error: Exception = call.client.exceptions.from_code(code)(answer, call.operation)
    return error


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

    strike: Strike
    applies_to: Callable[[Call], bool] = lambda _: True


FAULTS = {
    "dies before": Fault(die_before),
    "dies after": Fault(die_after),
    "answer lost": Fault(answer_lost),
    "never arrives": Fault(never_arrived),
    "throttled": Fault(throttled),
    # AWS carries out a call with such a token once, even if it is sent twice. moto ignores the token.
    "sent twice": Fault(sent_twice, lambda call: "ClientRequestToken" not in call.arguments),
    "taken in part": Fault(taken_in_part, lambda call: call.operation in PARTS),
}
