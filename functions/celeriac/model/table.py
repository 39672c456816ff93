"""The declarations of DynamoDB tables: the application's own tables, and the settings of the outbox."""

import re
from datetime import timedelta

from msgspec import Struct

from celeriac.model import names
from celeriac.model.errors import DeclarationError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_OURS = frozenset({"idempotency", "outbox", "flow"})
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
_MOST_KEY_BYTES = 255


class TableError(DeclarationError):
    """A table was declared that AWS can't build."""


class Table(Struct, frozen=True):
    """A table that transactions write together with the outbox: on demand, with point-in-time recovery.

    The stacks build the table, and infra/application.py says which queues' tasks may use it. `Sandbox` builds it for
    tests.
    """

    name: str
    """The table's logical name, which transactions use. The physical name is `<application>-<stage>--<name>`."""
    key: str = "pk"
    """The table's partition key, a string."""

    def __post_init__(self) -> None:
        called, key = str(self.name), str(self.key)
        if called != self.name or not _NAME.fullmatch(called):
            raise TableError(
                f"table {self.name!r}: a name is 1-40 lower-case letters, digits and hyphens, and starts with a letter"
            )
        if self.name in _OURS:
            raise TableError(f"table {self.name!r}: Celeriac has a table of that name itself, choose another name")
        if key != self.key or not key or not key.isprintable():
            raise TableError(f"table {self.name!r}: its key {self.key!r} isn't the name of an attribute, such as 'pk'")
        if len(key.encode(errors="surrogatepass")) > _MOST_KEY_BYTES:
            raise TableError(f"table {self.name!r}: its key {key[:40]!r}... has more than {_MOST_KEY_BYTES} bytes")

    def physical_name(self, stage: str) -> str:
        """The DynamoDB table's name in `stage`."""
        return names.table(stage, self.name)


class Outbox(Struct, frozen=True):
    """The settings of the outbox, for `tasks/tables.py`."""

    retention: timedelta = timedelta(days=7)
    """How long an event is kept after it was last published, and can be replayed. Unpublished events are always kept.

    A replay leaves out events that are older than the records of their tasks, unless it is told not to.
    """
    bus: bool = False
    """Whether events also go to the EventBridge bus `<application>-<stage>`. The stacks then make the bus."""

    def __post_init__(self) -> None:
        if not isinstance(self.retention, timedelta):
            raise TableError(f"outbox: retention is {self.retention!r}, write a timedelta, such as timedelta(days=7)")
        if not isinstance(self.bus, bool):
            raise TableError(f"outbox: bus is {self.bus!r}, write True or False")
        if not timedelta(hours=1) <= self.retention <= timedelta(days=3650):
            raise TableError(
                f"outbox: published events can't be kept for {self.retention}, choose between an hour and ten years"
            )
