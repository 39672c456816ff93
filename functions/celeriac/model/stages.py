"""What the stages of an application differ in, and what is allowed there: pure data."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict, replace

from celeriac.model import settings
from celeriac.model.errors import DeclarationError
from celeriac.model.queue import Queue

KMS_OUTPUT = "Kms"
"""The stateful stack's output that says whether its data is encrypted with a key of the stage."""
PROBES_OUTPUT = "Probes"
"""The stateless stack's output that says that its release knows the probes of `celeriac smoke`."""
# A table on demand begins with four partitions, and so its stream with as many shards, each with an invocation. A sweep
# that takes long may overlap with the next one.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
RELAY_RESERVE, SWEEPER_RESERVE = 4, 2
LOCAL = "local"
"""The stage of the local cloud. It has no settings."""
_ACCOUNT = re.compile(r"\d{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_ADDRESS = re.compile(r"[^\s@<>,;\"]+@[^\s@<>,;\".]+(\.[^\s@<>,;\".]+)+")
# An alarm's description has 1,024 characters, of which the advice takes up to 700.
_LONGEST_LINK = 300
_STREAM = re.compile(r"arn:aws[a-z-]*:dynamodb:(?P<region>[a-z0-9-]+):\d{12}:table/[\w.-]+/stream/[0-9T:.-]+")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:(?P<region>[a-z0-9-]+):\d{12}:[\w-]{1,256}")


class ProjectError(DeclarationError):
    """celeriac.toml can't be used. The message names the file and the key, and says what is allowed."""


class QueueNumbers(Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers of a queue that one stage has otherwise than `tasks/queues.py` says. No task sees them."""

    max_concurrency: int | UnsetType = UNSET
    pollers: tuple[int, ...] | UnsetType = UNSET
    batch_size: int | UnsetType = UNSET
    memory: int | UnsetType = UNSET
    reserved: int | UnsetType = UNSET
    workers: tuple[int, int] | UnsetType = UNSET
    cpu: int | UnsetType = UNSET


class Vpc(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the consumers of queues with `vpc=True`, and the containers of queues on Fargate, run."""

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    public_ip: bool = False
    """Whether containers on Fargate have public addresses: in public subnets they reach AWS by these only."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield a key and what is wrong with its value."""
        for key, form in (("subnets", "subnet-"), ("security_groups", "sg-")):
            ids = getattr(self, key)
            if not ids or not all(re.fullmatch(rf"{form}[0-9a-f]{{8,17}}", each) for each in ids):
                yield f"vpc.{key}", f'is {list(ids)}, write ids such as ["{form}0123456789abcdef0"]'


class StageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is set for one stage."""

    account: str | None = None
    """The AWS account that the stage is deployed to; None: that of the caller's credentials."""
    regions: tuple[str, ...] = ()
    """The regions that the stage is deployed to, the same stage in each; empty: that of the caller."""
    ephemeral: bool = False
    """Whether the stage is short-lived: its data is deleted with its stacks, and nothing watches it."""
    keep: bool | None = None
    """Whether queues, tables and payloads outlive their stack; None: unless the stage is ephemeral."""
    kms: bool | Literal["prepare"] = False
    """Whether a key of the stage encrypts what is stored; `prepare`: the key and all rights exist, and nothing more."""
    canary: bool = False
    reserve: bool = False
    """Whether relay and sweeper have concurrent executions of their own, which no backlog can take."""
    alarm_emails: tuple[str, ...] = ()
    alarm_topic: str | None = None
    """The ARN of a topic of yours that gets the alarms, instead of those that the stacks make."""
    ticket_emails: tuple[str, ...] = ()
    """Who gets the alarms that can wait for the morning; empty: `alarm_emails`."""
    ticket_topic: str | None = None
    """The ARN of a topic of yours that gets them; None: `alarm_topic`, or one that the stacks make."""
    runbook: str = "docs/runbook.md"
    outbox_stream: str | None = None
    """The ARN of the outbox's stream, if the table was restored: CloudFormation knows that of the table before."""
    vpc: Vpc | None = None
    producers: Mapping[str, tuple[str, ...]] = {}
    """The accounts that may send to a queue, beside the stage's own, by the name of the queue."""
    queues: Mapping[str, QueueNumbers] = {}
    """By the name of a queue."""

    @property
    def keeps(self) -> bool:
        """Whether the stage's data outlives its stacks."""
        return self.keep if self.keep is not None else not self.ephemeral

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield a key and what is wrong with its value."""
        if self.account is not None and not _ACCOUNT.fullmatch(self.account):
            yield "account", f'is {self.account!r}, write the 12 digits as text: account = "123456789012"'
        for queue, accounts in self.producers.items():
            if not accounts or not all(_ACCOUNT.fullmatch(each) for each in accounts):
                yield f"producers.{queue}", f'is {list(accounts)}, write accounts: ["123456789012"]'
        for region in self.regions:
            if not _REGION.fullmatch(region):
                yield "regions", f'contains {region!r}, write names such as ["eu-west-1"]'
        if len(set(self.regions)) < len(self.regions):
            yield "regions", "names a region twice"
        if self.ephemeral and self.canary:
            yield "canary", "is true, and an ephemeral stage has no alarms that could stop a release: leave it out"
        if self.ephemeral and self.keep:
            yield "keep", "is true, but the stage is ephemeral: leave one of them out"
        if len(self.runbook) > _LONGEST_LINK:
            yield "runbook", f"has {len(self.runbook)} characters, and {_LONGEST_LINK} are the most: alarms link to it"
        for kind in ("alarm", "ticket"):
            yield from self._problems_of_topic(kind)
        if self.outbox_stream is not None and not _STREAM.fullmatch(self.outbox_stream):
            yield (
                "outbox_stream",
                f"is {self.outbox_stream!r}, write the ARN that `celeriac doctor --after-restore` gives",
            )
        if self.vpc is not None:
            yield from self.vpc.problems()
        yield from self._problems_of_regions()

    def _problems_of_topic(self, kind: str) -> Iterator[tuple[str, str]]:
        emails: tuple[str, ...] = getattr(self, f"{kind}_emails")
        topic: str | None = getattr(self, f"{kind}_topic")
        for key, value in ((f"{kind}_emails", emails), (f"{kind}_topic", topic)):
            if value and self.ephemeral:
                yield (
                    key,
                    "is set, and an ephemeral stage has no alarms: leave it out, or write keep = false, not ephemeral",
                )
        if len(set(emails)) < len(emails):
            yield f"{kind}_emails", "names an address twice"
        for address in emails:
            if not _ADDRESS.fullmatch(address):
                yield f"{kind}_emails", f'contains {address!r}, write bare addresses, such as ["ops@example.org"]'
        if topic is not None and not _TOPIC.fullmatch(topic):
            yield f"{kind}_topic", f"is {topic!r}, write the ARN of an SNS topic that isn't FIFO"
        given = f"{kind}_topic" if topic is not None else "alarm_topic" if self.alarm_topic is not None else None
        if given is not None and emails:
            yield given, f"is set together with {kind}_emails: subscribe the addresses to that topic"

    def _problems_of_regions(self) -> Iterator[tuple[str, str]]:
        """What belongs to one region can't be in a stage of several, or of another."""
        if self.vpc is not None and len(self.regions) > 1:
            yield "vpc", "is in one region, and the stage in several: make a stage for each region that needs a VPC"
        for key, pattern, value in (
            ("alarm_topic", _TOPIC, self.alarm_topic),
            ("ticket_topic", _TOPIC, self.ticket_topic),
            ("outbox_stream", _STREAM, self.outbox_stream),
        ):
            found = pattern.fullmatch(value) if value is not None else None
            if found is None:
                continue
            if self.regions and found["region"] not in self.regions:
                yield key, f"is in {found['region']}, and the stage in {', '.join(self.regions)}"
            elif pattern is _TOPIC and len(self.regions) > 1:
                yield key, "is in one region, and an alarm reaches a topic of its own region only: leave it out"

    def applied(self, queue: Queue, where: str) -> Queue:
        """Return the queue with the numbers of this stage. Raises QueueError for numbers that AWS doesn't support.

        where: what sets the numbers, for the error.
        """
        numbers = self.queues.get(queue.name)
        if numbers is None:
            return queue
        changes = {name: value for name, value in asdict(numbers).items() if value is not UNSET}
        if changes.get("pollers"):
            changes.setdefault("max_concurrency", None)
        elif "max_concurrency" in changes:
            changes["pollers"] = None
        try:
            return replace(queue, **changes)
        except DeclarationError as error:
            raise ProjectError(f"{where}: {error}") from error


class Project(Struct, frozen=True):
    """The content of celeriac.toml."""

    name: str = "celeriac"
    stages: Mapping[str, StageSettings] = {}
    """By the name of a stage, or by a pattern, such as `pr-*`."""
    source: str = settings.SOURCE
    """The folder of the tasks' package, relative to the file. Its name is the import name."""

    def stage(self, name: str) -> StageSettings:
        """The settings of the stage: those under its name, or else those of the first pattern that matches it.

        A stage that isn't named there keeps its data, as any stage does that isn't ephemeral.
        """
        if name == LOCAL:
            return StageSettings(keep=False)
        if name in self.stages:
            return self.stages[name]
        return next((found for pattern, found in self.stages.items() if fnmatchcase(name, pattern)), StageSettings())
