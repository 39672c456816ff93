"""The physical name of everything a stage owns, derived from the stage alone.

The stacks, the consumer and a producer outside AWS compute the same names, so none needs to be told them.
"""

import re

# 17 characters leave the payload bucket, with account and the longest region, within S3's 63.
METRICS = "Celeriac"
"""The namespace of every metric."""
_STAGE = re.compile(r"[a-z][a-z0-9-]{0,16}")


def check_stage(stage: str) -> str:
    """Return `stage`; raise ValueError unless it is 1-17 of a-z, 0-9 and `-`, starting with a letter."""
    if not _STAGE.fullmatch(stage):
        raise ValueError(
            f"the stage {stage!r} can't be part of a resource's name: "
            "use 1-17 lower-case letters, digits and hyphens, starting with a letter"
        )
    return stage


def prefix(stage: str) -> str:
    """What every name of the stage starts with."""
    return f"celeriac-{check_stage(stage)}"


def idempotency_table(stage: str) -> str:
    """Powertools' idempotency records: partition key `id`, expiry attribute `expiration`."""
    return f"{prefix(stage)}-idempotency"


def outbox_table(stage: str) -> str:
    """Outbox events: partition key `pk` (the aggregate), sort key `sk` (the event id), expiry `expires_at`."""
    return f"{prefix(stage)}-outbox"


def outbox_index() -> str:
    """The outbox's sparse index of what is unpublished: partition key `waiting`, sort key `occurred_at`."""
    return "waiting"


def bus(stage: str) -> str:
    """The EventBridge bus of the stage's events, and the source that they name."""
    return prefix(stage)


def table(stage: str, name: str) -> str:
    """One of the application's own tables, see `celeriac.Table`."""
    return f"{prefix(stage)}-{name}"


def payload_bucket(stage: str, account: str, region: str) -> str:
    """Where bodies go that SQS can't carry. Bucket names are global, hence account and region."""
    return f"{prefix(stage)}-payloads-{account}-{region}"


def schedule_group(stage: str) -> str:
    """The Scheduler group that holds the one-time schedules of long delays."""
    return prefix(stage)


def scheduler_role(stage: str, region: str) -> str:
    """The role with which Scheduler sends a due message. Role names are global in an account, hence the region."""
    return f"{prefix(stage)}-scheduler-{region}"


def schedule_dead_letters(stage: str) -> str:
    """The queue of due messages that Scheduler could not send."""
    return f"{prefix(stage)}-schedules-dlq"


def relay_function(stage: str) -> str:
    """The Lambda function that publishes the outbox."""
    return f"{prefix(stage)}-relay"


def sweeper_function(stage: str) -> str:
    """The Lambda function that publishes what the relay has left behind."""
    return f"{prefix(stage)}-sweeper"


def relay_dead_letters(stage: str) -> str:
    """The queue that hears of outbox stream records which the relay gave up on; the events stay in the outbox."""
    return f"{prefix(stage)}-relay-dlq"
