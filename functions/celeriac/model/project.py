"""celeriac.toml: the application's name, and what its stages differ in."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict, replace

from celeriac.model import settings
from celeriac.model.errors import DeclarationError
from celeriac.model.queue import Queue

LOCAL = "local"
"""The stage of the local cloud. It has no settings."""
_ACCOUNT = re.compile(r"\d{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_ADDRESS = re.compile(r"[^\s@<>,;\"]+@[^\s@<>,;\".]+(\.[^\s@<>,;\".]+)+")
_SWITCH, _NUMBER, _LIST = "true or false", "a whole number", "a list of texts in brackets"
_ALLOWED = {
    "account": "a text",
    "regions": _LIST,
    "ephemeral": _SWITCH,
    "keep": _SWITCH,
    "kms": _SWITCH,
    "canary": _SWITCH,
    "alarm_emails": _LIST,
    "alarm_topic": "a text",
    "runbook": "a text",
    "max_concurrency": _NUMBER,
    "pollers": "two whole numbers, the fewest and the most: [2, 20]",
    "batch_size": _NUMBER,
    "memory": _NUMBER,
    "reserved": _NUMBER,
    "subnets": _LIST,
    "security_groups": _LIST,
}
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(\.fifo)?")


class ProjectError(DeclarationError):
    """celeriac.toml can't be used. The message names the file and the key, and says what is allowed."""


class QueueNumbers(Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers of a queue that one stage has otherwise than `tasks/queues.py` says. No task sees them."""

    max_concurrency: int | UnsetType = UNSET
    pollers: tuple[int, int] | UnsetType = UNSET
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
    kms: bool = False
    canary: bool = False
    alarm_emails: tuple[str, ...] = ()
    alarm_topic: str | None = None
    """The ARN of a topic of yours that gets the alarms, instead of one that the stacks make."""
    runbook: str = "docs/runbook.md"
    vpc: Vpc | None = None
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
        for region in self.regions:
            if not _REGION.fullmatch(region):
                yield "regions", f'contains {region!r}, write names such as ["eu-west-1"]'
        if len(set(self.regions)) < len(self.regions):
            yield "regions", "names a region twice"
        if self.ephemeral and self.keep:
            yield "keep", "is true, but the stage is ephemeral: leave one of them out"
        for address in self.alarm_emails:
            if not _ADDRESS.fullmatch(address):
                yield "alarm_emails", f'contains {address!r}, write bare addresses, such as ["ops@example.org"]'
        if self.alarm_topic is not None:
            if not _TOPIC.fullmatch(self.alarm_topic):
                yield "alarm_topic", f"is {self.alarm_topic!r}, write the ARN of an SNS topic"
            if self.alarm_emails:
                yield "alarm_topic", "is set together with alarm_emails: subscribe the addresses to that topic"
        if self.vpc is not None:
            yield from self.vpc.problems()

    def applied(self, queue: Queue, where: str) -> Queue:
        """Return the queue with the numbers of this stage. Raises QueueError for numbers that AWS doesn't support.

        where: what sets the numbers, for the error.
        """
        numbers = self.queues.get(queue.name)
        if numbers is None:
            return queue
        changes = {name: value for name, value in asdict(numbers).items() if value is not UNSET}
        if "pollers" in changes:
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


def read(folder: Path) -> Project:
    """Read the celeriac.toml of `folder`, or of the nearest folder above it. Without one, nothing is set.

    Raises ProjectError for a file that isn't TOML, for a key or value that isn't allowed, and if the environment names
    another application.
    """
    file = settings.project_file(folder)
    return _read(file) if file is not None else Project(settings.application())


def _read(file: Path) -> Project:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectError(f"{file} isn't TOML: {error}") from error
    _only(content, ("name", "stages"), f"{file}:")
    name, stages = content.get("name"), content.get("stages", {})
    if not isinstance(name, str):
        raise ProjectError(f'{file}: name is missing, write the application\'s name at the top, such as name = "shop"')
    try:
        settings.check_application(name)
    except ValueError as error:
        raise ProjectError(f"{file}: name: {error}") from error
    if (other := os.environ.get(settings.APPLICATION, name)) != name:
        raise ProjectError(
            f"the variable {settings.APPLICATION} is {other!r}, and {file} says name = {name!r}: unset the variable"
        )
    if not isinstance(stages, dict):
        raise ProjectError(f"{file}: stages is {stages!r}, write a table for each stage, such as [stages.prod]")
    return Project(name, {stage: _stage(file, stage, found) for stage, found in stages.items()})


def _stage(file: Path, stage: str, found: Any) -> StageSettings:
    where = f"{file}: stages.{stage}"
    if stage == LOCAL:
        raise ProjectError(f"{where}: this stage is the local cloud, it has no settings")
    try:
        settings.check_stage(re.sub(r"[*?]", "x", stage))
    except ValueError as error:
        raise ProjectError(f"{where}: {error}") from error
    if not isinstance(found, dict):
        raise ProjectError(f"{where} is {found!r}, write a table: [stages.{stage}]")
    queues = found.get("queues", {})
    if not isinstance(queues, dict):
        raise ProjectError(f"{where}.queues is {queues!r}, write a table for each queue: [stages.{stage}.queues.NAME]")
    numbers = {name: _made(QueueNumbers, each, f"{where}.queues.{name}") for name, each in queues.items()}
    vpc = _made(Vpc, found["vpc"], f"{where}.vpc") if "vpc" in found else None
    made = _made(StageSettings, {key: value for key, value in found.items() if key not in {"vpc", "queues"}}, where)
    made = replace(made, vpc=vpc, queues=numbers)
    for key, problem in made.problems():
        raise ProjectError(f"{where}.{key} {problem}")
    return made


def _made[T: Struct](kind: type[T], found: Any, where: str) -> T:
    """Convert a table of the file. Raises ProjectError, which names the key and says what is allowed."""
    if not isinstance(found, dict):
        raise ProjectError(f"{where} is {found!r}, write a table: [{where.rpartition(': ')[2]}]")
    _only(found, kind.__struct_fields__, where)
    for key in kind.__struct_fields__[: len(kind.__struct_fields__) - len(kind.__struct_defaults__)]:
        if key not in found:
            raise ProjectError(f"{where}.{key} is missing, write {_ALLOWED[key]}")
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        key = re.sub(r"[^a-z_].*", "", str(error).partition("`$.")[2])
        raise ProjectError(f"{where}.{key} is {found.get(key)!r}, it must be {_ALLOWED[key]}") from error


def _only(found: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key in found:
        if key not in allowed:
            raise ProjectError(f"{where} has no key {key!r}; there are {', '.join(allowed)}")
