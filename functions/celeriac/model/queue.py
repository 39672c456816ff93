"""The declaration of a queue. It is the only place where the queue's numbers are set.

The stacks read the numbers to build the queue, its dead-letter queue, its consumer and its alarms. The runtime reads
them to time its work. This module is pure data. It imports only the standard library and modules of this package.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Literal

from msgspec import Struct

from celeriac.model import fargate, lambda_timeouts, names
from celeriac.model.errors import CeleriacError, DeclarationError
from celeriac.model.lambda_timeouts import StandsOn

# With 37 characters, the consumer's name, with the longest stage, is within Lambda's limit of 64.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,36}")
_OURS = frozenset({"relay", "sweeper", "schedules", "bus"})
# What begins the names of Celeriac's own alarms: a queue's alarms would have the same names.
_OF_ALARMS = ("relay-", "outbox-", "idempotency-")
_ENDINGS = ("-dlq", "-canary")

# Lambda gives a worker 1,024 threads and processes. Half of them leaves room for the threads of tasks that overran.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_TASKS_AT_ONCE = 500
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_MESSAGE_BYTES = 1_048_576
MAX_DELAY = timedelta(minutes=15)
MAX_RETENTION = timedelta(days=14)
# SQS lets a message be invisible for 12 hours, counted from its receive:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
MAX_IN_FLIGHT = timedelta(hours=12)
# A worker may hold a message for a whole function timeout before it sets a new visibility timeout.
MAX_VISIBILITY = MAX_IN_FLIGHT - lambda_timeouts.LONGEST
# https://docs.aws.amazon.com/lambda/latest/api/API_ScalingConfig.html
CONCURRENCY_RANGE = range(2, 1001)
# https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html
FEWEST_POLLERS_RANGE, MOST_POLLERS_RANGE = range(2, 201), range(2, 10_001)
# The lower limit is AWS's advice, the upper limit is SQS's.
RECEIVES_RANGE = range(5, 1001)
_OPTIONAL = frozenset({"max_concurrency", "max_receives", "batch_size", "reserved"})
_OPTIONAL_TIMES = frozenset({"max_age", "log_retention"})
# An outage of AWS costs nothing if it is a tenth shorter. The message of a worker that was killed waits no longer.
WITHOUT_A_BEAT = timedelta(minutes=5)
"""How long at most a message stays invisible, and a lease lasts, if a worker outside of Lambda doesn't renew them."""
_OF_LAMBDA = ("timeout_stands_on", "max_concurrency", "pollers", "batch_window", "reserved")
_OF_FARGATE = ("workers", "cpu", "image")
# By default, SQS moves messages without a reason only after their consumer has failed for as long as this.
_OUTAGE = timedelta(hours=12)
_FEWEST_RECEIVES = 20
BODY_RANGE = range(1024, MAX_MESSAGE_BYTES + 1)
# https://docs.aws.amazon.com/lambda/latest/dg/foundation-arch.html
ARCHITECTURES = ("arm64", "x86_64")
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
RUNTIMES = ("python3.12", "python3.13", "python3.14")
DEFAULT_RUNTIME = "python3.13"
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html and configuration-ephemeral-storage.html
MEMORY_RANGE, STORAGE_RANGE = range(128, 10_241), range(512, 10_241)
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_VARIABLE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")
_THEIR_VARIABLES = ("AWS_", "LAMBDA_", "CELERIAC_", "POWERTOOLS_SERVICE_NAME", "_HANDLER", "_X_AMZN_TRACE_ID")
# Lambda takes 4,096. Celeriac sets up to seven, one of them an ARN.
MAX_VARIABLE_BYTES = 3_600


class QueueError(DeclarationError):
    """A queue was declared with numbers that AWS doesn't support."""


def problems_of_environment(variables: object) -> Iterator[str]:
    """Yield what Lambda, or Celeriac, doesn't take of a consumer's variables."""
    if not isinstance(variables, Mapping) or not all(
        isinstance(each, str) for pair in variables.items() for each in pair
    ):
        yield f"environment is {variables!r}, write texts for names"
        return
    for name in variables:
        if not _VARIABLE.fullmatch(name) or name.startswith(_THEIR_VARIABLES):
            yield f"environment has {name!r}: Lambda or Celeriac sets it, or Lambda doesn't take the name"
    size = sum(len(f"{name}{value}".encode(errors="surrogatepass")) for name, value in variables.items())
    if size > MAX_VARIABLE_BYTES:
        yield f"environment has {size} bytes, Lambda takes {MAX_VARIABLE_BYTES}, less those that Celeriac sets"


def _minutes(time: timedelta) -> str:
    return f"{time // timedelta(minutes=1)} minutes"


def keep_history(queues: "Iterable[Queue]") -> bool:
    """Whether one of the queues keeps a history, so that its stage has the index of ended runs."""
    return any(queue.history for queue in queues)


class RetiredQueueError(CeleriacError):
    """A task can't be enqueued: its queue is retired. Nothing was sent."""


class Queue(Struct, frozen=True):
    """An SQS queue with its own dead-letter queue and its own consumer, in Lambda or on Fargate.

    Raises QueueError if AWS can't build the queue. The error comes when the module that declares the queue is imported.
    """

    name: str
    """1-37 of a-z, 0-9 and `-`. The physical name is `<application>-<stage>--<name>`, with `.fifo` on a FIFO queue."""
    fifo: bool = False
    """Whether each group is delivered in order. Every message then needs a group."""
    timeout: timedelta = timedelta(seconds=30)
    """How long one invocation of the consumer may take, at most 15 minutes, see `timeout_stands_on`; with
    `runner="fargate"`, how long a worker may take for a batch, at most 10 hours. No task of the queue may have a longer
    timeout."""
    timeout_stands_on: StandsOn = "documentation"
    """Why Lambda should take the timeout. `documentation`: at most 15 minutes. `api-model`: at most 30 minutes, which
    AWS's API model takes since 2026-11-19; its documentation doesn't say so. Your account or region may refuse it: then
    the deploy fails, and nothing is changed. `celeriac doctor` tells what Lambda has taken."""
    concurrency: int = 1
    """How many tasks run at once in one invocation."""
    record_behind: bool = True
    """Whether the success of a task is recorded while the next one of its batch runs. If a worker is killed in that
    moment, up to three tasks that have ended run again, and one for each turn as without it. A FIFO queue and
    at_most_once tasks never do this."""
    max_concurrency: int | None = None
    """How many invocations run at once, 2-1000 (the event source mapping's MaximumConcurrency). None: as many as Lambda
    scales to, up to 1,250, and as the account's quota allows. Lambda polls an idle queue less often if there is no
    limit. `celeriac doctor` compares the limits of a stage with the quota."""
    pollers: tuple[int, int] | tuple[()] | None = None
    """Provisioned pollers instead of `max_concurrency`, for spikes that must not wait for Lambda to scale: the fewest
    (2-200) and the most (2-10,000). They are paid by the hour. Each runs up to ten invocations at once.

    Lambda keeps the pollers of a mapping that no longer names any. To give them up, deploy `pollers=()` once, then
    leave it out."""
    batch_size: int | None = None
    """The most messages in one invocation: 1-10 on a FIFO queue or without a batch window, otherwise up to 10,000. The
    default is `concurrency`, at most that limit. More messages than run at once wait, invisible to other workers,
    behind the first ones. See `batch`."""
    batch_window: timedelta = timedelta()
    """How long Lambda may wait to fill a batch, 0-300 s. A FIFO queue can't have a batch window."""
    max_receives: int | None = None
    """After so many receives, SQS itself moves a message to the dead-letter queue. The default is 1,000 on a FIFO
    queue. On a standard queue it is as many as fit into 12 hours, if each takes the visibility timeout: 240 with the
    default timeout. It is at least 20, at most 1,000, and so few that they fit twice into the retention.

    This is a backstop for a consumer that can't even start. While AWS is out of reach, each hand-back uses up a receive
    too. While Lambda throttles the consumer, each visibility timeout uses one up:
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html. So the default is well above AWS's
    advice of 5: an hour of throttling dead-letters nothing on a queue with a retention of two hours or more. On a FIFO
    queue every attempt of an earlier message also uses up a receive of the messages behind it.
    """
    retention: timedelta = timedelta(days=4)
    """How long a message may wait. It must be shorter than `dead_letter_retention`: on a standard queue, a message
    that SQS moves to the dead-letter queue keeps its age. It must be at least 15 minutes plus the visibility timeout,
    and on a FIFO queue plus the `patience`."""
    dead_letter_retention: timedelta = timedelta(days=14)
    """How long a dead letter waits for a person. SQS's limit is 14 days."""
    max_age: timedelta | None = None
    """The alarm begins when the oldest message has waited for longer than this. The default is an hour, or twice the
    visibility timeout if that is longer: two crashes may take so long. The default is at most half the retention."""
    urgent: bool = True
    """Whether the alarms of the queue are pages, which need somebody now. Otherwise they are tickets. The last warning
    before SQS deletes dead letters is a page in any case."""
    patience: timedelta = timedelta(days=1)
    """How long a message waits for a release that knows its task and its version, before it becomes a dead letter."""
    max_body_bytes: int = 262_144
    """Larger messages store their arguments in S3. The limit is 1,024 to 1,048,576 bytes. Scheduler and the other
    targets of a message can carry the default too."""
    memory: int = 512
    """The consumer's memory in MB, 128-10,240. Its share of a processor grows with it."""
    ephemeral_storage: int = 512
    """The consumer's /tmp in MB, 512-10,240."""
    reserved: int | None = None
    """How many of the account's concurrent executions are kept for the consumer, and its upper limit. It needs a
    `max_concurrency`, or `pollers`, that isn't higher: Lambda would be throttled, and each refusal uses up receives of
    messages."""
    log_retention: timedelta | None = None
    """How long the consumer's log is kept. The default is three months in a stage that keeps its data, and otherwise
    two weeks."""
    history: bool = False
    """Whether the ended runs of its tasks are kept in an index, for `celeriac runs` and `task.runs()`, as long as their
    records. Each end costs one write more, to the index. Of an at_least_once task nothing is kept."""
    sends_to: "Sequence[Queue | str] | None" = None
    """The queues that its tasks may send to, as queues or by their names; itself always. None: every queue of the
    application. It is also kept by the consumer's rights. What a task commits to the outbox is sent by the relay."""
    environment: Mapping[str, str] = {}
    """Further environment variables of the consumer, beside those of infra/application.py. They aren't secret."""
    vpc: bool = False
    """Whether the consumer runs in the stage's VPC, which celeriac.toml names."""
    architecture: Literal["arm64", "x86_64"] = "arm64"
    """The consumer's processor. Graviton (arm64) costs a fifth less; x86_64 is for packages without wheels for it."""
    runtime: Literal["python3.12", "python3.13", "python3.14"] = "python3.13"
    """Lambda's Python for the consumer. Each runtime in use has a bundle of its own, so the lock file needs wheels for
    each. Synthesize with the same version of Python: otherwise the bundle has no byte code, and synth warns. The local
    cloud runs all functions with the Python of this machine."""
    runner: Literal["lambda", "fargate"] = "lambda"
    """What runs the tasks. `fargate`: containers that poll the queue, for work that doesn't fit into Lambda. They run
    in the stage's VPC, and their number follows the messages: docs/howto/fargate.md."""
    workers: tuple[int, int] = (0, 10)
    """The fewest and the most containers on Fargate. From none, the first one takes some minutes to start."""
    cpu: int = 256
    """Units of CPU of a container on Fargate: 256 to 16,384; 1,024 are one core. Each goes with certain `memory`."""
    image: str = ""
    """The image of the container on Fargate, with the Python of `runtime` as `python`. Empty: the one of the Docker
    project, from AWS's public registry. The code isn't in it: the container fetches the bundle when it starts."""
    retired: bool = False
    """Whether the queue is being emptied: its consumer and alarms stay, and nothing new is sent to it. `celeriac
    doctor` says when it is empty and its declaration can be removed."""

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def names_sent_to(self) -> list[str]:
        """The names of the other queues that `sends_to` names."""
        return sorted({queue if isinstance(queue, str) else queue.name for queue in self.sends_to or ()} - {self.name})

    def may_send_to(self, other: "Queue") -> bool:
        """Whether its tasks may send to another queue."""
        return self.sends_to is None or other.name == self.name or other.name in self.names_sent_to

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise QueueError(f"queue {self.name!r}: {problem}")

    def _problems(self) -> Iterator[str]:
        called: object = self.name
        if not isinstance(called, str):
            yield 'its name must be a text, such as Queue("emails")'
            return
        for name in ("timeout", "batch_window", "retention", "dead_letter_retention", "patience", *_OPTIONAL_TIMES):
            value = getattr(self, name)
            if not isinstance(value, timedelta) and (value is not None or name not in _OPTIONAL_TIMES):
                yield f"{name} is {value!r}, write a timedelta, such as timedelta(seconds=30)"
                return
        for name in ("fifo", "record_behind", "vpc", "retired", "urgent", "history"):
            if not isinstance(getattr(self, name), bool):
                yield f"{name} is {getattr(self, name)!r}, write True or False"
                return
        whole = ("concurrency", "max_concurrency", "batch_size", "max_body_bytes", "max_receives")
        for name in (*whole, "memory", "ephemeral_storage", "reserved", "cpu"):
            value = getattr(self, name)
            if type(value) is not int and (value is not None or name not in _OPTIONAL):
                yield f"{name} is {getattr(self, name)!r}, it must be a whole number"
                return
        if not _NAME.fullmatch(self.name) or self.name.endswith(_ENDINGS):
            yield (
                "a name is 1-37 lower-case letters, digits and hyphens, starts with a letter, and doesn't end in "
                f"{' or '.join(_ENDINGS)}"
            )
        if self.name in _OURS or self.name.startswith(_OF_ALARMS):
            yield "Celeriac has a queue, a function or alarms of that name itself, choose another name"
        yield from self._problems_of_sends_to()
        yield from self._problems_of_timeout()
        times = ("timeout", "batch_window", "retention", "dead_letter_retention")
        if fractions := [name for name in times if getattr(self, name) % timedelta(seconds=1)]:
            yield f"{fractions[0]} is {getattr(self, fractions[0])}, AWS counts in whole seconds"
        if not 1 <= self.concurrency <= MAX_TASKS_AT_ONCE:
            yield f"concurrency is {self.concurrency}, it must lie between 1 and {MAX_TASKS_AT_ONCE}"
        if self.max_concurrency is not None and self.max_concurrency not in CONCURRENCY_RANGE:
            yield f"max_concurrency is {self.max_concurrency}, an event source mapping takes 2 to 1000"
        if self.pollers:
            yield from self._problems_of_pollers(self.pollers)
        if not 1 <= self.batch <= self._largest_batch:
            yield (
                f"batch_size is {self.batch_size}, at most {self._largest_batch} here: "
                "more than 10 needs a batch_window and a standard queue"
            )
        if not timedelta() <= self.batch_window <= timedelta(minutes=5) or (self.fifo and self.batch_window):
            yield f"batch_window is {self.batch_window}, Lambda takes 0 to 5 minutes, and none on a FIFO queue"
        # If a worker dies while it holds a message, the message ages until its visibility timeout ends. A single crash
        # must not ring the alarm.
        if self.max_age is not None and not self.longest_delivery < self.max_age < self.retention:
            yield (
                f"max_age is {self.max_age}, it must lie between {self._held}, {self.longest_delivery}, which a single "
                f"crash may take, and the retention, {self.retention}, after which SQS deletes a message"
            )
        if self.receive_limit not in RECEIVES_RANGE:
            yield (
                f"max_receives is {self.max_receives}, SQS takes up to 1000, and fewer than 5 would dead-letter "
                "messages that were only throttled"
            )
        if not timedelta(minutes=1) <= self.retention < self.dead_letter_retention <= MAX_RETENTION:
            yield (
                f"retention is {self.retention} and dead_letter_retention {self.dead_letter_retention}: SQS keeps "
                "1 minute to 14 days, and dead letters must outlive waiting messages"
            )
        elif self.dead_letter_retention - self.retention < timedelta(hours=1):
            yield (
                f"retention is {self.retention} and dead_letter_retention {self.dead_letter_retention}: a letter that "
                "SQS moves keeps its age, so nobody could act before SQS deletes it: leave an hour at least"
            )
        yield from self._problems_of_waits()
        if self.max_body_bytes not in BODY_RANGE:
            yield f"max_body_bytes is {self.max_body_bytes}, it must lie between 1,024 and SQS's 1,048,576"
        yield from self._problems_of_the_runner()
        if self.log_retention is not None and self.log_retention not in {timedelta(days=days) for days in LOG_DAYS}:
            days = ", ".join(map(str, LOG_DAYS))
            yield f"log_retention is {self.log_retention}, CloudWatch takes these numbers of days: {days}"
        yield from problems_of_environment(self.environment)

    def _problems_of_sends_to(self) -> Iterator[str]:
        sends_to: object = self.sends_to
        if sends_to is None:
            return
        if not isinstance(sends_to, list | tuple) or not all(isinstance(each, str | Queue) for each in sends_to):
            yield f"sends_to is {sends_to!r}, write a list of queues, or of their names"

    def _problems_of_the_runner(self) -> Iterator[str]:
        if self.architecture not in ARCHITECTURES:
            yield f"architecture is {self.architecture!r}, Lambda has {' and '.join(ARCHITECTURES)}"
        if self.runtime not in RUNTIMES:
            yield f"runtime is {self.runtime!r}, Celeriac runs on {', '.join(RUNTIMES)}"
        if self.runner not in {"lambda", "fargate"}:
            yield f"runner is {self.runner!r}, write lambda or fargate"
            return
        others, its = (_OF_LAMBDA, "Lambda") if self.is_on_fargate else (_OF_FARGATE, "Fargate")
        usual = dict(zip(self.__struct_fields__[1:], self.__struct_defaults__, strict=True))
        for name in others:
            if getattr(self, name) != usual[name]:
                yield f"{name} is for a queue on {its}, and its runner is {self.runner!r}: leave {name} out"
        if self.is_on_fargate:
            yield from fargate.problems_of_size(
                self.cpu, self.memory, self.ephemeral_storage, usual=usual["ephemeral_storage"]
            )
            yield from fargate.problems_of_workers(self.workers)
            yield from fargate.problems_of_image(self.image)
        else:
            yield from self._problems_of_the_function()

    def _problems_of_the_function(self) -> Iterator[str]:
        if self.memory not in MEMORY_RANGE:
            yield f"memory is {self.memory}, Lambda takes 128 to 10,240 MB"
        if self.ephemeral_storage not in STORAGE_RANGE:
            yield f"ephemeral_storage is {self.ephemeral_storage}, Lambda takes 512 to 10,240 MB"
        if self.reserved is not None and self.reserved < 1:
            yield f"reserved is {self.reserved}, and the consumer could never run"
        elif self.reserved is not None and not self.pollers and self.reserved < (self.max_concurrency or math.inf):
            many = f"up to {self.max_concurrency}" if self.max_concurrency is not None else "any number of"
            yield (
                f"reserved is {self.reserved}, and {many} invocations run at once: Lambda would refuse the others, and "
                f"each refusal uses up a receive. Set max_concurrency to {self.reserved} or less"
            )

    def _problems_of_timeout(self) -> Iterator[str]:
        if self.is_on_fargate:
            if not timedelta(seconds=1) <= self.timeout <= fargate.LONGEST_TIMEOUT:
                hours = fargate.LONGEST_TIMEOUT // timedelta(hours=1)
                yield (
                    f"timeout is {self.timeout}, on Fargate it is 1 second to {hours} hours. Longer work saves how far "
                    "it is, with ctx.checkpoint, and goes on"
                )
            return
        limit = lambda_timeouts.LIMITS.get(f"{self.timeout_stands_on}")
        if limit is None:
            yield f"timeout_stands_on is {self.timeout_stands_on!r}, write {' or '.join(lambda_timeouts.LIMITS)}"
        elif not timedelta(seconds=1) <= self.timeout <= limit.longest:
            cure = ""
            if lambda_timeouts.DOCUMENTED < self.timeout <= lambda_timeouts.LONGEST:
                cure = (
                    f". With timeout_stands_on='api-model' you may try {_minutes(lambda_timeouts.LONGEST)}: "
                    f"{lambda_timeouts.LIMITS['api-model'].source}, takes them"
                )
            yield f"timeout is {self.timeout}, Lambda takes 1 second to {_minutes(limit.longest)}{cure}"

    def _problems_of_waits(self) -> Iterator[str]:
        """SQS deletes a message at the end of its retention, also while it waits or is in flight."""
        least = MAX_DELAY + self.longest_delivery
        if self.retention < least:
            yield (
                f"retention is {self.retention}, and a message may wait for {least}: {MAX_DELAY}, the longest delay, "
                f"and {self.longest_delivery}, {self._held}, if its worker dies. Raise the retention"
            )
        if self.fifo and self.retention < self.patience + least:
            yield (
                f"retention is {self.retention}, and on a FIFO queue a message that no release knows waits for "
                f"{self.patience + least}: {self.patience}, the patience, {MAX_DELAY}, the longest wait between two "
                f"looks, and {self.longest_delivery}, {self._held}. Raise the retention, or lower the patience"
            )

    def _problems_of_pollers(self, pollers: object) -> Iterator[str]:
        match pollers:
            case (int() as fewest, int() as most):
                if fewest not in FEWEST_POLLERS_RANGE or most not in MOST_POLLERS_RANGE or fewest > most:
                    yield f"pollers are {pollers}, Lambda takes fewest 2 to 200 and most 2 to 10,000, fewest first"
            case _:
                yield f"pollers are {pollers!r}, write the fewest and the most, such as (2, 20)"
        if self.max_concurrency is not None:
            yield "max_concurrency and pollers exclude each other at AWS: leave one out"

    @property
    def batch(self) -> int:
        """The most messages in one invocation."""
        return self.batch_size if self.batch_size is not None else min(self.concurrency, self._largest_batch)

    @property
    def _largest_batch(self) -> int:
        return 10_000 if self.batch_window and not self.fifo else 10

    @property
    def oldest_age(self) -> timedelta:
        """The alarm rings when the oldest message is older than this."""
        # SQS counts a message's delay as age. The delay is at most 15 minutes.
        usual = min(max(timedelta(hours=1), 2 * self.longest_delivery), self.retention / 2)
        return self.max_age if self.max_age is not None else usual

    @property
    def is_on_fargate(self) -> bool:
        """Whether containers run its tasks, and not Lambda."""
        return self.runner == "fargate"

    @property
    def is_in_vpc(self) -> bool:
        """Whether its consumer runs in the stage's VPC."""
        return self.vpc or self.is_on_fargate

    @property
    def visibility(self) -> timedelta:
        """6 x function timeout + batch window, as AWS advises, so that no running batch is delivered twice.

        On Fargate a worker renews it while it runs.
        """
        usual = 6 * self.timeout + self.batch_window
        return min(usual, WITHOUT_A_BEAT) if self.is_on_fargate else usual

    @property
    def longest_delivery(self) -> timedelta:
        """How long a message is invisible at most, from a receive to its next one, if its worker dies."""
        return self.timeout + self.visibility if self.is_on_fargate else self.visibility

    @property
    def _held(self) -> str:
        return "the longest delivery" if self.is_on_fargate else "the visibility timeout"

    @property
    def lease(self) -> timedelta:
        """How long a claim lasts without being renewed: what the queue's own runner takes."""
        return self.visibility if self.is_on_fargate else self.timeout

    @property
    def record_retention(self) -> timedelta:
        """How long after its send a message may still be delivered. So long its record and its payload are kept.

        After the queue and the dead-letter queue, a redrive may put the message into the queue once more, where it
        waits for a release that knows it, or for its turn.
        """
        return self.retention + self.dead_letter_retention + max(self.retention, self.patience)

    @property
    def survives(self) -> timedelta:
        """How long Lambda may throttle the consumer before SQS moves messages to the dead-letter queue."""
        return self.receive_limit * self.visibility

    @property
    def receive_limit(self) -> int:
        """SQS's maxReceiveCount."""
        if self.max_receives is not None:
            return self.max_receives
        if self.fifo:
            return RECEIVES_RANGE[-1]
        fits = max(self.retention // (2 * self.visibility), RECEIVES_RANGE[0])
        return min(max(_OUTAGE // self.visibility, _FEWEST_RECEIVES), RECEIVES_RANGE[-1], fits)

    def physical_name(self, stage: str) -> str:
        """The SQS queue's name in `stage`."""
        return names.part(stage, self.name) + self._suffix

    def dead_letter_name(self, stage: str) -> str:
        """The SQS name of the queue's dead-letter queue in `stage`."""
        return names.part(stage, f"{self.name}-dlq") + self._suffix

    def function_name(self, stage: str) -> str:
        """The name of the Lambda function that consumes the queue in `stage`."""
        return names.part(stage, self.name)

    @property
    def _suffix(self) -> str:
        return ".fifo" if self.fifo else ""
