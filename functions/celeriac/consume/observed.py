"""What is noticed of a run on its way, for the log and the metrics: its outcome alone doesn't tell."""

from dataclasses import dataclass
from datetime import timedelta

from celeriac.model.failure import Failure


@dataclass(slots=True)
class Observed:
    """Filled in as the run goes on; what it doesn't come to stays as it is."""

    task: str | None = None
    """The registered task."""
    key: str | None = None
    """Its idempotency key, which may tell about a person: it is logged as a hash."""
    has_run: bool = False
    """The task's function was called."""
    age: timedelta | None = None
    """How long it had waited since it was enqueued, when its first attempt started."""
    replaced: tuple[str, Failure] | None = None
    """The id and the death of another message of its key, of which the record knew until this one claimed it."""
