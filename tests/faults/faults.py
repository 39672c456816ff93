"""What can befall one AWS call of a worker, as plain data.

A fault stands where boto3 does: what it raises is what boto3 raises when its own retries are used up, which is the
harder case. What those retries do by themselves is the fault `sent twice`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from celeriac.testing.calls import Call, die_after, die_before
from celeriac.testing.calls import Fault as Strike

NOWHERE = "https://aws.example"
# What each service says when it is asked too often.
THROTTLES = {
    "sqs": "RequestThrottled",
    "dynamodb": "ProvisionedThroughputExceededException",
    "scheduler": "ThrottlingException",
    "events": "ThrottlingException",
    "s3": "SlowDown",
}


def answer_lost(call: Call) -> Any:
    """AWS does it, and nobody learns of it."""
    call.make()
    raise ReadTimeoutError(endpoint_url=NOWHERE)


def never_arrived(call: Call) -> Any:
    """AWS hears nothing, and is out of reach."""
    raise ConnectTimeoutError(endpoint_url=NOWHERE)


def throttled(call: Call) -> Any:
    """AWS refuses it."""
    raise _error(call, THROTTLES[call.service])


def sent_twice(call: Call) -> Any:
    """The first answer is lost, boto3 sends it again, and the worker is answered as the second is."""
    call.make()
    return call.make()


def taken_in_part(call: Call) -> Any:
    """AWS does not take the last of a batch; a transaction meets another one at its first item."""
    return PARTS[call.operation](call)


def _entries_but_the_last(call: Call) -> Any:
    """SendMessageBatch and its like: the last entry fails by itself."""
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
    """AWS's answer to a part of the call; nothing where nothing is left to ask for."""
    return dict(call.carry_out({**call.arguments, name: some})) if some else {}


def _error(call: Call, code: str, **details: Any) -> Exception:
    """The error as this client's code would catch it."""
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
    """One kind of mishap, and which calls it can befall."""

    strike: Strike
    befalls: Callable[[Call], bool] = lambda _: True


FAULTS = {
    "dies before": Fault(die_before),
    "dies after": Fault(die_after),
    "answer lost": Fault(answer_lost),
    "never arrives": Fault(never_arrived),
    "throttled": Fault(throttled),
    # With such a token AWS does it once, however often it is sent; moto knows none.
    "sent twice": Fault(sent_twice, lambda call: "ClientRequestToken" not in call.arguments),
    "taken in part": Fault(taken_in_part, lambda call: call.operation in PARTS),
}
