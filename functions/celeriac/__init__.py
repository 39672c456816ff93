"""Celeriac: a task queue with no servers.

Declare a `Queue`, decorate a function with `@task`, deploy, and enqueue from anywhere.
"""

from typing import TYPE_CHECKING, Any

from celeriac.aws.sqs import NoSuchQueue
from celeriac.declare.context import Context
from celeriac.declare.decorator import task
from celeriac.declare.handle import Handle, ResultNotKept, TaskFailed
from celeriac.declare.registry import handle
from celeriac.declare.signature import InvalidArgs
from celeriac.declare.task import PartialFailure, Task
from celeriac.leases.status import Status
from celeriac.model.message import Malformed
from celeriac.model.queue import Queue
from celeriac.model.retry import Backoff, Reject, Retry
from celeriac.model.table import Outbox, Table

if TYPE_CHECKING:
    from celeriac.enqueue.transaction import ConditionFailed, Transaction, TransactionError


def transaction() -> "Transaction":
    """A transaction of business items, events and tasks, outside a task; see its class `Transaction`."""
    # Transactions need boto3 and Powertools, which cost a producer that only enqueues 300 ms.
    from celeriac.enqueue.transaction import Transaction  # noqa: PLC0415

    return Transaction()


def __getattr__(name: str) -> Any:
    """The errors of transactions, imported with what raises them; see `transaction`."""
    if name not in {"ConditionFailed", "TransactionError"}:
        raise AttributeError(f"module 'celeriac' has no attribute {name!r}")
    from celeriac.enqueue import transaction as home  # noqa: PLC0415 - see above

    return getattr(home, name)


__all__ = [
    "Backoff",
    "ConditionFailed",
    "Context",
    "Handle",
    "InvalidArgs",
    "Malformed",
    "NoSuchQueue",
    "Outbox",
    "PartialFailure",
    "Queue",
    "Reject",
    "ResultNotKept",
    "Retry",
    "Status",
    "Table",
    "Task",
    "TaskFailed",
    "TransactionError",
    "handle",
    "task",
    "transaction",
]
