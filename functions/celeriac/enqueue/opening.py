"""What `celeriac.transaction()` returns: it loads what a transaction needs when the block is entered.

A transaction needs boto3 and Powertools. Importing both takes 300 ms, which a producer that only enqueues saves, and
for which `async with` doesn't hold up the event loop.
"""

from types import TracebackType
from typing import TYPE_CHECKING, Any

from celeriac.execute.off_loop import off_loop
from celeriac.hooks import registered
from celeriac.model import declared, names, settings

if TYPE_CHECKING:
    from celeriac.enqueue.transaction import Transaction


class Opening:
    """A transaction that isn't loaded yet. Write `with celeriac.transaction() as tx:`, or `async with`."""

    def __init__(self) -> None:
        self._made: Transaction | None = None

    @property
    def _transaction(self) -> "Transaction":
        if self._made is None:
            from celeriac.enqueue.transaction import Transaction  # noqa: PLC0415 - see above

            self._made = Transaction()
        return self._made

    def __getattr__(self, name: str) -> Any:
        """What the transaction has: `tx = celeriac.transaction()`, then `with tx:`, works too."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._transaction, name)

    def __enter__(self) -> "Transaction":
        return self._transaction.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._transaction.__exit__(kind, error, traceback)

    async def __aenter__(self) -> "Transaction":
        return await (await off_loop(self._loaded)).__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transaction.__aexit__(kind, error, traceback)

    def _loaded(self) -> "Transaction":
        """The transaction, with all that its block would otherwise import or read from a file."""
        names.prefix(settings.stage())
        declared.queues()
        declared.tables()
        registered.of_application()
        return self._transaction
