"""Counts calls, write units, and bytes stored and logged, while real tasks run in the Sandbox."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

from quiet import logged  # before any AWS library

from celeriac import Context, Queue, Task, task, transaction
from celeriac.aws.client import client
from celeriac.model import declared
from celeriac.testing import Call, Sandbox

TASKS = 100
KILOBYTE = 1024
jobs = Queue("jobs", timeout=timedelta(seconds=30), batch_size=10)
ARGUMENTS: dict[str, Any] = {"order_id": "order-2026-000042", "amount_cents": 500, "email": "someone@example.org"}


@task(jobs, delivery="at_least_once")
def naturally_idempotent(order_id: str, amount_cents: int, email: str) -> None: ...


@task(jobs)
def once(order_id: str, amount_cents: int, email: str) -> dict[str, str]:
    return {"charge": order_id}


@task(jobs, delivery="at_most_once")
def at_most(order_id: str, amount_cents: int, email: str) -> None: ...


@task(jobs)
def transactional(ctx: Context, order_id: str, amount_cents: int, email: str) -> None:
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": ctx.id, "amount_cents": amount_cents, "email": email})


@task(jobs, delivery="at_least_once", on="bench.ordered")
def subscriber(order_id: str, amount_cents: int, email: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Counted:
    """Averages for one task. Each task is enqueued alone and runs in a full batch."""

    calls: dict[str, float]
    write_units: float
    stored_bytes: float
    logged_bytes: float

    def of(self, service: str, *operations: str) -> float:
        """How many calls of these operations; without operations, of all of the service."""
        names = {f"{service}:{operation}" for operation in operations}
        return sum(n for call, n in self.calls.items() if call in names or (not names and call.startswith(service)))


def _plain(kind: "Task[..., Any, Any]") -> Callable[[int], object]:
    return lambda number: kind.enqueue(**ARGUMENTS | {"order_id": f"order-{number:09}"})


def _event(number: int) -> None:
    """Like an API handler that writes an order and emits an event about it."""
    order = ARGUMENTS | {"order_id": f"order-{number:09}"}
    with transaction() as tx:
        tx.put("orders", {"pk": order["order_id"], **order})
        tx.emit("bench.ordered", order, aggregate=order["order_id"])


EVENT = "outbox event, one at_least_once subscriber"
MODES: dict[str, Callable[[int], object]] = {
    "at_least_once": _plain(naturally_idempotent),
    "at_most_once": _plain(at_most),
    "effectively_once": _plain(once),
    "effectively_once with ctx.transaction()": _plain(transactional),
    EVENT: _event,
}


def count(mode: str) -> Counted:
    """Run TASKS tasks of the mode in a Sandbox and count."""
    start = MODES[mode]
    # The table `orders` is declared by the tests' application, because functions/tasks/ belongs to the user.
    with declared.application("tests.application"), Sandbox() as sandbox:
        units, before = WriteUnits(), logged.bytes
        with sandbox.fault(units):
            with sandbox.worker():  # so that the producer's calls are seen too
                for number in range(TASKS):
                    start(number)
            sandbox.drain()
        calls = sandbox.calls.copy()
        stored = sum(
            _size(item)
            for table in client("dynamodb").list_tables()["TableNames"]
            for item in client("dynamodb").scan(TableName=table)["Items"]
        )
    return Counted(
        calls={f"{service}:{operation}": total / TASKS for (service, operation), total in sorted(calls.items())},
        write_units=units.total / TASKS,
        stored_bytes=stored / TASKS,
        logged_bytes=(logged.bytes - before) / TASKS,
    )


class WriteUnits:
    """Counts the write request units of the writes to DynamoDB.

    Each KB of an item is one unit, and two in a transaction. A write that adds the item to the outbox's index, or
    removes it from there, is one unit more, as is one that adds a record to the index of ended runs. An update or a
    delete is counted as an item of up to 1 KB.
    """

    def __init__(self) -> None:
        self.total = 0.0

    def __call__(self, call: Call) -> Any:
        match call.operation:
            case "PutItem" | "UpdateItem" | "DeleteItem":
                self.total += _units(call.arguments.get("Item", {})) + _is_listed(call.arguments)
            case "TransactWriteItems":
                for action in call.arguments["TransactItems"]:
                    ((kind, on),) = action.items()
                    assert kind in {"Put", "Update", "Delete"}, kind
                    self.total += 2 * _units(on.get("Item", {})) + on["TableName"].endswith("-outbox")
                    self.total += _is_listed(on)
        return call.make()


def _is_listed(write: Mapping[str, Any]) -> bool:
    return ":run_of" in write.get("ExpressionAttributeValues", {})


def _units(item: dict[str, Any]) -> int:
    return max(1, ceil(_size(item) / KILOBYTE))


def _size(item: dict[str, Any]) -> int:
    """About the size that DynamoDB counts: names and values."""
    return sum(len(name) + len(str(next(iter(value.values()))).encode()) for name, value in item.items())
