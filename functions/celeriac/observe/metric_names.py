"""The names of Celeriac's metrics in CloudWatch: functions write them, alarms and the dashboard read them."""

from enum import StrEnum


class Metric(StrEnum):
    """A metric of the namespace `names.METRICS`."""

    STARTED = "Started"
    """Runs of a task's function. Count, by queue and task, like all of the following but the last two."""
    SUCCEEDED = "Succeeded"
    RETRIED = "Retried"
    """Failed attempts that have a successor."""
    DEAD_LETTERED = "DeadLettered"
    REJECTED = "Rejected"
    """Dead letters with the reason `rejected`; they count as DeadLettered too."""
    DUPLICATE = "Duplicate"
    """Messages whose key had run already."""
    POISON_SKIPPED = "PoisonSkipped"
    """Stray copies of dead letters."""
    TEST_EVENT = "TestEvent"
    """The event that S3 sends when a notification is set up."""
    WORKER_LOST = "WorkerLost"
    """Workers that died during a run."""
    DURATION = "Duration"
    """From claim to settlement, in milliseconds."""
    AGE_AT_START = "AgeAtStart"
    """From `enqueue` to the first attempt's start, in seconds."""
    UNPUBLISHED_AGE = "UnpublishedAge"
    """Age of the oldest unpublished outbox row, in seconds. By stage."""
    PARKED_EVENTS = "ParkedEvents"
    """Outbox rows that can't be published. By stage."""
    UNCLAIMED = "Unclaimed"
    """Events that nobody subscribes to. By stage."""
