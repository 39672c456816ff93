"""Gives a task the items of a loop one by one, with a checkpoint behind each.

While an item is at work, a transaction must save its cursor: the lease is told. A loop that is left by `break` drops
its iterator. Python closes a generator then, but an async one only later, when the loop comes to it. So these are
classes: they tell the lease at once.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from celeriac.declare.context import Context
    from celeriac.leases.lease import Lease


class _Items[T]:
    def __init__(self, ctx: "Context", lease: "Lease | None", cursor_of: Callable[[T], Any], every: timedelta) -> None:
        self._ctx, self._lease, self._cursor_of, self._every = ctx, lease, cursor_of, every
        self._given: list[T] = []
        """The item at work, if there is one."""

    def _give(self, item: T) -> T:
        self._given.append(item)
        self._tell(is_iterating=True)
        return item

    def _tell(self, *, is_iterating: bool) -> None:
        if self._lease is not None:
            self._lease.is_iterating = is_iterating

    def __del__(self) -> None:
        self._tell(is_iterating=False)


class Items[T](_Items[T], Iterator[T]):
    """For `for`."""

    def __init__(
        self,
        ctx: "Context",
        lease: "Lease | None",
        iterable: Iterable[T],
        cursor_of: Callable[[T], Any],
        every: timedelta,
    ) -> None:
        super().__init__(ctx, lease, cursor_of, every)
        self._rest = iter(iterable)

    def __next__(self) -> T:
        self._tell(is_iterating=False)
        if self._given:
            self._ctx.checkpoint(self._cursor_of(self._given.pop()), every=self._every)
        return self._give(next(self._rest))


class AsyncItems[T](_Items[T], AsyncIterator[T]):
    """For `async for`."""

    def __init__(
        self,
        ctx: "Context",
        lease: "Lease | None",
        iterable: AsyncIterable[T] | Iterable[T],
        cursor_of: Callable[[T], Any],
        every: timedelta,
    ) -> None:
        super().__init__(ctx, lease, cursor_of, every)
        self._rest = aiter(iterable) if isinstance(iterable, AsyncIterable) else iter(iterable)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        self._tell(is_iterating=False)
        if self._given:
            await self._ctx.acheckpoint(self._cursor_of(self._given.pop()), every=self._every)
        if isinstance(self._rest, AsyncIterator):
            return self._give(await anext(self._rest))
        try:
            return self._give(next(self._rest))
        except StopIteration:
            raise StopAsyncIteration from None
