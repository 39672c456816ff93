"""A batch that is known by its id."""

from celeriac.execute.off_loop import off_loop
from celeriac.flow.batches import root
from celeriac.flow.batches.status import BatchStatus, DeadMember, dead_members, status_of


class KnownBatch:
    """A batch that was filled elsewhere, by its id."""

    def __init__(self, batch_id: str) -> None:
        self.id = batch_id

    @property
    def key(self) -> str | None:
        """Its key; None if it has none."""
        name = self.id.partition("#")[2]
        task, colon, key = name.partition(":")
        return key if colon and not task.startswith("/") else None

    def status(self) -> BatchStatus:
        """How the batch is doing; `unknown` if nothing is stored of it. Raises AWS's errors."""
        return status_of(root.read(self.id))

    async def astatus(self) -> BatchStatus:
        """Like `status`, for async code."""
        return await off_loop(self.status)

    def dead_members(self, *, after: int = -1, limit: int = 100) -> list[DeadMember]:
        """The members that are dead, those behind the number `after`. To read on, give the last one's `index`."""
        return dead_members(root.read(self.id), after=after, most=limit)

    def __repr__(self) -> str:
        return f"<batch {self.id}>"
