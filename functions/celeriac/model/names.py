"""The physical names of all resources of a stage, computed from the stage alone.

The stacks, the consumer and a producer outside AWS compute the same names, so the names need no configuration.
"""

import re
from functools import cache

METRICS = "Celeriac"
"""The namespace of every metric."""
# With 17 characters, the payload bucket's name, with account and the longest region, is within S3's limit of 63.
_STAGE = re.compile(r"[a-z][a-z0-9-]{0,16}")


@cache
def check_stage(stage: str) -> str:
    """Return `stage`. Raises ValueError unless it has 1-17 characters of a-z, 0-9 and `-`, the first one a letter."""
    if not _STAGE.fullmatch(stage):
        raise ValueError(
            f"the stage {stage!r} can't be part of a resource's name: "
            "use 1-17 lower-case letters, digits and hyphens, starting with a letter"
        )
    return stage


def prefix(stage: str) -> str:
    """Return the start of every name of the stage."""
    return f"celeriac-{check_stage(stage)}"


def idempotency_table(stage: str) -> str:
    """Powertools' idempotency records: partition key `id`, expiry attribute `expiration`."""
    return f"{prefix(stage)}-idempotency"


def outbox_table(stage: str) -> str:
    """Outbox events: partition key `pk` (the aggregate), sort key `sk` (the event id), expiry `expires_at`."""
    return f"{prefix(stage)}-outbox"


def outbox_index() -> str:
    """The outbox's sparse index of unpublished rows: partition key `waiting`, sort key `occurred_at`."""
    return "waiting"


def bus(stage: str) -> str:
    """The EventBridge bus of the stage's events. The events name it as their source too."""
    return prefix(stage)


def table(stage: str, name: str) -> str:
    """The application's table `name`, see `celeriac.Table`."""
    return f"{prefix(stage)}-{name}"


def payload_bucket(stage: str, account: str, region: str) -> str:
    """The bucket for bodies that SQS can't carry. Bucket names are global, so the name contains account and region."""
    return f"{prefix(stage)}-payloads-{account}-{region}"


def schedule_group(stage: str) -> str:
    """The Scheduler group that holds the one-time schedules of long delays."""
    return prefix(stage)


def scheduler_role(stage: str, region: str) -> str:
    """The role with which Scheduler sends a due message.

    Role names are global in an account, so the name contains the region.
    """
    return f"{prefix(stage)}-scheduler-{region}"


def schedule_dead_letters(stage: str) -> str:
    """The dead-letter queue of due messages that Scheduler could not send."""
    return f"{prefix(stage)}-schedules-dlq"


def relay_function(stage: str) -> str:
    """The Lambda function that publishes the outbox."""
    return f"{prefix(stage)}-relay"


def sweeper_function(stage: str) -> str:
    """The Lambda function that publishes the outbox rows that the relay left behind."""
    return f"{prefix(stage)}-sweeper"


def relay_dead_letters(stage: str) -> str:
    """The queue for notices of outbox stream records that the relay gave up on. The events stay in the outbox."""
    return f"{prefix(stage)}-relay-dlq"
