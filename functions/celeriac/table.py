"""A DynamoDB table of the application's own, as its users declare it."""

from dataclasses import dataclass

from celeriac import names


@dataclass(frozen=True, slots=True)
class Table:
    """A table that transactions write beside the outbox: on demand, with point-in-time recovery.

    The stacks build it and let every consumer read and write it; `Sandbox` builds it for tests.
    """

    name: str
    """Its logical name, as transactions use it; the physical one is `celeriac-<stage>-<name>`."""
    key: str = "pk"
    """Its partition key, a string."""

    def physical_name(self, stage: str) -> str:
        """The DynamoDB table's name in `stage`."""
        return names.table(stage, self.name)
