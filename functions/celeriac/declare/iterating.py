"""Gives a task the items of a loop one by one, with a checkpoint behind each.

While an item is at work, a transaction must save its cursor: the lease is told. A loop that is left by `break` drops
its iterator. Python closes a generator then, but an async one only later, when the loop comes to it. So these are
classes: they tell the lease at once.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from celeriac.leases.lease import Lease


class _Items[T]:
    def __init__(self, lease: "Lease | None") -> None:
        self._lease, self._is_iterating = lease, False
        self._given: list[T] = []
        """The item at work, if there is one."""

    def _give(self, item: T) -> T:
        self._given.append(item)
        self._tell(is_iterating=True)
        return item

    def _tell(self, *, is_iterating: bool) -> None:
        if self._lease is not None and is_iterating != self._is_iterating:
            # Loops may be nested, or side by side.
            self._is_iterating = is_iterating
            self._lease.iterating += 1 if is_iterating else -1

    def __del__(self) -> None:
        self._tell(is_iterating=False)


class Items[T](_Items[T], Iterator[T]):
    """For `for`."""

    def __init__(self, lease: "Lease | None", iterable: Iterable[T], save: Callable[[T], None]) -> None:
        """save: called with each item that is done."""
        super().__init__(lease)
        self._rest, self._save = iter(iterable), save

    def __next__(self) -> T:
        self._tell(is_iterating=False)
        if self._given:
            self._save(self._given.pop())
        return self._give(next(self._rest))


class AsyncItems[T](_Items[T], AsyncIterator[T]):
    """For `async for`."""

    def __init__(
        self,
        lease: "Lease | None",
        iterable: AsyncIterable[T] | Iterable[T],
        save: Callable[[T], Awaitable[None]],
    ) -> None:
        """save: called with each item that is done."""
        super().__init__(lease)
        self._rest = aiter(iterable) if isinstance(iterable, AsyncIterable) else iter(iterable)
        self._save = save

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        self._tell(is_iterating=False)
        if self._given:
            await self._save(self._given.pop())
        if isinstance(self._rest, AsyncIterator):
            return self._give(await anext(self._rest))
        try:
            return self._give(next(self._rest))
        except StopIteration:
            raise StopAsyncIteration from None
