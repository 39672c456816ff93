"""celeriac.toml, as it is read: a mistake is named with its file and key."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from celeriac.model import settings
from celeriac.model.stages import LOCAL, Project, ProjectError, QueueNumbers, StageSettings, Vpc

_SWITCH, _NUMBER, _LIST = "true or false", "a whole number", "a list of texts in brackets"
_ALLOWED = {
    "account": "a text",
    "regions": _LIST,
    "ephemeral": _SWITCH,
    "keep": _SWITCH,
    "kms": 'true, false or "prepare"',
    "producers": "a table of queues, each with a list of accounts",
    "canary": _SWITCH,
    "alarm_emails": _LIST,
    "alarm_topic": "a text",
    "runbook": "a text",
    "outbox_stream": "a text",
    "max_concurrency": _NUMBER,
    "pollers": "two whole numbers, the fewest and the most, such as [2, 20], or [] to give them up",
    "batch_size": _NUMBER,
    "memory": _NUMBER,
    "reserved": _NUMBER,
    "subnets": _LIST,
    "security_groups": _LIST,
}


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
    _only(content, ("name", "source", "stages"), f"{file}:")
    name, stages = content.get("name"), content.get("stages", {})
    if not isinstance(name, str):
        raise ProjectError(f'{file}: name is missing, write the application\'s name at the top, such as name = "shop"')
    try:
        settings.check_application(name)
    except ValueError as error:
        raise ProjectError(f"{file}: name: {error}") from error
    try:
        source = settings.check_source(content.get("source", settings.SOURCE))
    except ValueError as error:
        raise ProjectError(f"{file}: {error}") from error
    if (other := os.environ.get(settings.APPLICATION, name)) != name:
        raise ProjectError(
            f"the variable {settings.APPLICATION} is {other!r}, and {file} says name = {name!r}: unset the variable"
        )
    if not isinstance(stages, dict):
        raise ProjectError(f"{file}: stages is {stages!r}, write a table for each stage, such as [stages.prod]")
    return Project(name, {stage: _stage(file, stage, found) for stage, found in stages.items()}, source)


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
