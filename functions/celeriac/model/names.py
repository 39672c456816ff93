"""The physical names of all resources of a stage, computed from the names of application and stage alone.

The stacks, the consumer and a producer outside AWS compute the same names, so the names need no configuration. They can
be read in one way only, and a wildcard matches the resources of one stage: docs/decisions/0034-names.md.
"""

import re
from functools import cache
from hashlib import sha256

from celeriac.model import settings

METRICS = "Celeriac"
"""The namespace of every metric."""


LONGEST_PREFIX = 25
"""S3's limit of 63 characters, less `--payloads-`, the account, a hyphen, and a region as long as `ap-southeast-2`. The
same number is left by Lambda's limit of 64, less `--` and the longest name of a queue, 37."""


def prefix(stage: str) -> str:
    """Return `<application>-<stage>`: the name of what a stage has one of, and the start of every other name.

    Raises ValueError for a stage that can't be part of a name, and if both names together are too long.
    """
    return _prefix(settings.application(), stage)


@cache
def _prefix(application: str, stage: str) -> str:
    made = f"{application}-{settings.check_stage(stage)}"
    if len(made) > LONGEST_PREFIX:
        raise ValueError(
            f"{made!r} is too long: the application's name has {len(application)} characters, the stage {len(stage)}, "
            f"and the hyphen makes {len(made)}. {LONGEST_PREFIX} is the most, because names of buckets and functions "
            "start with it. Shorten one of them"
        )
    return made


def start(stage: str) -> str:
    """Return the start of the names of the stage's parts. No other stage's names start like this."""
    return f"{prefix(stage)}--"


def part(stage: str, name: str) -> str:
    """Return the physical name of the stage's `name`: `<application>-<stage>--<name>`."""
    return f"{start(stage)}{name}"


def idempotency_table(stage: str) -> str:
    """Powertools' idempotency records: partition key `id`, expiry attribute `expiration`."""
    return part(stage, "idempotency")


def runs_index() -> str:
    """The sparse index of ended runs: partition key `run_of`, sort key `ended_at`. Only a history needs it."""
    return "runs"


def flow_table(stage: str) -> str:
    """Limits, and what waits for them: partition key `pk`, expiry attribute `expires_at`."""
    return part(stage, "flow")


def flow_index() -> str:
    """The flow table's sparse index of items that the sweeper looks at: partition key `due`, sort key `due_at`."""
    return "due"


def outbox_table(stage: str) -> str:
    """Outbox events: partition key `pk` (the aggregate), sort key `sk` (the event id), expiry `expires_at`."""
    return part(stage, "outbox")


def outbox_index() -> str:
    """The outbox's sparse index of unpublished rows: partition key `waiting`, sort key `occurred_at`."""
    return "waiting"


def bus(stage: str) -> str:
    """The EventBridge bus of the stage's events. The events name it as their source too."""
    return prefix(stage)


def table(stage: str, name: str) -> str:
    """The application's table `name`, see `celeriac.Table`."""
    return part(stage, name)


def payload_bucket(stage: str, account: str, region: str) -> str:
    """The bucket for bodies that SQS can't carry. Bucket names are global, so the name contains account and region."""
    return part(stage, f"payloads-{account}-{region}")


def schedule_group(stage: str) -> str:
    """The Scheduler group that holds the one-time schedules of long delays."""
    return prefix(stage)


def cron_group(stage: str) -> str:
    """The Scheduler group that holds the schedules of recurring tasks."""
    return part(stage, "crons")


def queue_of(physical: str) -> str:
    """The name under which an application declares a queue, from the physical name of it or its dead-letter queue."""
    # The names of application and stage have no two hyphens in a row.
    return physical.partition("--")[2].removesuffix(".fifo").removesuffix("-dlq")


_LONGEST_ROLE = 64
_LONGEST_REGION = len("ap-southeast-2")


def scheduler_role(stage: str, queue: str, region: str) -> str:
    """The role with which Scheduler sends a due message to a queue. It has no rights on another queue.

    Role names are global in an account, so the name contains the region. They have 64 characters at most: of a longer
    queue's name the start is taken, and a hash.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    """
    room = _LONGEST_ROLE - len(f"{start(stage)}scheduler--") - _LONGEST_REGION
    if len(queue) > room:
        queue = f"{queue[: room - 9]}-{sha256(queue.encode()).hexdigest()[:8]}"
    return part(stage, f"scheduler-{queue}-{region}")


def schedule(queue: str, digest: str) -> str:
    """The name of a one-time schedule that sends to a queue. A role may be limited to the schedules of a queue by it.

    digest: a text in hexadecimals, of which 26 are taken: a schedule's name has 64 characters at most.
    """
    return f"{queue}.{digest[:26]}"


def schedule_dead_letters(stage: str) -> str:
    """The dead-letter queue of due messages that Scheduler could not send."""
    return part(stage, "schedules-dlq")


NO_CONSUMERS = frozenset({"relay", "sweeper"})
"""The functions that consume no queue."""


def relay_function(stage: str) -> str:
    """The Lambda function that publishes the outbox."""
    return part(stage, "relay")


def sweeper_function(stage: str) -> str:
    """The Lambda function that publishes the outbox rows that the relay left behind."""
    return part(stage, "sweeper")


def workers_cluster(stage: str) -> str:
    """The cluster of ECS in which containers run the tasks of queues on Fargate."""
    return part(stage, "workers")


def bus_dead_letters(stage: str) -> str:
    """The queue for events that the stage's bus could not send on because of its key."""
    return part(stage, "bus-dlq")


def relay_dead_letters(stage: str) -> str:
    """The queue for notices of outbox stream records that the relay gave up on. The events stay in the outbox."""
    return part(stage, "relay-dlq")


def aws_event_dead_letters(stage: str) -> str:
    """The queue for events of AWS that EventBridge could not send to their tasks' queues.

    No queue of an application has a name with an underscore.
    """
    return part(stage, "aws_events-dlq")


_LONGEST_RULE = 64
_UNFIT_IN_RULE = re.compile(r"[^0-9a-zA-Z\-_.]")


def aws_event_rule(stage: str, task: str) -> str:
    """The EventBridge rule that sends events of AWS to the queue of a task.

    Rules have 64 characters at most, of few kinds: of another name the start is taken, and a hash.
    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
    """
    room = _LONGEST_RULE - len(f"{start(stage)}on-")
    name = _UNFIT_IN_RULE.sub("_", task)
    if name != task or len(name) > room:
        name = f"{name[: room - 9]}-{sha256(task.encode()).hexdigest()[:8]}"
    return part(stage, f"on-{name}")
