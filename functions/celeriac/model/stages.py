"""What the stages of an application differ in, and what is allowed there: pure data."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict, replace

from celeriac.model.errors import DeclarationError
from celeriac.model.queue import Queue

KMS_OUTPUT = "Kms"
"""The stateful stack's output that says whether its data is encrypted with a key of the stage."""
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


class Vpc(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the consumers of queues with `vpc=True` run."""

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]

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
    """Whether the stage is short-lived: its data is deleted with its stacks."""
    keep: bool | None = None
    """Whether queues, tables and payloads outlive their stack; None: unless the stage is ephemeral."""
    kms: bool | Literal["prepare"] = False
    """Whether a key of the stage encrypts what is stored; `prepare`: the key and all rights exist, and nothing more."""
    canary: bool = False
    alarm_emails: tuple[str, ...] = ()
    alarm_topic: str | None = None
    """The ARN of a topic of yours that gets the alarms, instead of one that the stacks make."""
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
        if self.ephemeral and self.keep:
            yield "keep", "is true, but the stage is ephemeral: leave one of them out"
        if len(set(self.alarm_emails)) < len(self.alarm_emails):
            yield "alarm_emails", "names an address twice"
        if len(self.runbook) > _LONGEST_LINK:
            yield "runbook", f"has {len(self.runbook)} characters, and {_LONGEST_LINK} are the most: alarms link to it"
        for address in self.alarm_emails:
            if not _ADDRESS.fullmatch(address):
                yield "alarm_emails", f'contains {address!r}, write bare addresses, such as ["ops@example.org"]'
        if self.alarm_topic is not None:
            if not _TOPIC.fullmatch(self.alarm_topic):
                yield "alarm_topic", f"is {self.alarm_topic!r}, write the ARN of an SNS topic that isn't FIFO"
            if self.alarm_emails:
                yield "alarm_topic", "is set together with alarm_emails: subscribe the addresses to that topic"
        if self.outbox_stream is not None and not _STREAM.fullmatch(self.outbox_stream):
            yield (
                "outbox_stream",
                f"is {self.outbox_stream!r}, write the ARN that `celeriac doctor --after-restore` gives",
            )
        if self.vpc is not None:
            yield from self.vpc.problems()
        yield from self._problems_of_regions()

    def _problems_of_regions(self) -> Iterator[tuple[str, str]]:
        """What belongs to one region can't be in a stage of several, or of another."""
        if self.vpc is not None and len(self.regions) > 1:
            yield "vpc", "is in one region, and the stage in several: make a stage for each region that needs a VPC"
        for key, pattern, value in (
            ("alarm_topic", _TOPIC, self.alarm_topic),
            ("outbox_stream", _STREAM, self.outbox_stream),
        ):
            found = pattern.fullmatch(value) if value is not None else None
            if found is None:
                continue
            if self.regions and found["region"] not in self.regions:
                yield key, f"is in {found['region']}, and the stage in {', '.join(self.regions)}"
            elif key == "alarm_topic" and len(self.regions) > 1:
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

    def stage(self, name: str) -> StageSettings:
        """The settings of the stage: those under its name, or else those of the first pattern that matches it.

        A stage that isn't named there keeps its data, as any stage does that isn't ephemeral.
        """
        if name == LOCAL:
            return StageSettings(ephemeral=True)
        if name in self.stages:
            return self.stages[name]
        return next((found for pattern, found in self.stages.items() if fnmatchcase(name, pattern)), StageSettings())
