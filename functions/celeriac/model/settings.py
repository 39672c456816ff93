"""The settings of `celeriac.configure` and of the environment, and where celeriac.toml is. Read when needed."""

import keyword
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath

from celeriac.model import given
from celeriac.model.errors import NotConfiguredError

APPLICATION = "CELERIAC_APPLICATION"
TASKS = "CELERIAC_TASKS"
STAGE = "CELERIAC_STAGE"
ACCOUNT = "CELERIAC_ACCOUNT"
FILE = "celeriac.toml"
# An application's name has no hyphen, and a stage's no two in a row and none at its end. So a physical name can be read
# in one way only: docs/decisions/0034-names.md.
_APPLICATION = re.compile(r"[a-z][a-z0-9]{0,19}")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_REFUSED_BY_S3 = ("sthree",)
SOURCE = "functions/tasks"
"""Where the package of the tasks is, unless celeriac.toml says otherwise: relative to that file."""
_STAGE = re.compile(r"(?=.{1,17}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*")


@cache
def check_application(name: str) -> str:
    """Return `name`. Raises ValueError unless it has 1-20 characters of a-z and 0-9, the first one a letter."""
    if name in _REFUSED_BY_S3:
        raise ValueError(f"the application's name {name!r} can't begin a bucket's name: choose another one")
    if not _APPLICATION.fullmatch(name):
        raise ValueError(
            f"the application's name {name!r} can't be part of a resource's name: "
            "use 1-20 lower-case letters and digits without a hyphen, starting with a letter"
        )
    return name


@cache
def check_stage(stage: str) -> str:
    """Return `stage`. Raises ValueError unless it has 1-17 characters of a-z, 0-9 and single hyphens between them."""
    if not _STAGE.fullmatch(stage):
        raise ValueError(
            f"the stage {stage!r} can't be part of a resource's name: use 1-17 lower-case letters, digits and single "
            "hyphens, starting with a letter and not ending with a hyphen"
        )
    return stage


_named: str | None = None


@contextmanager
def named(application: str) -> Iterator[None]:
    """Let `application` be the name of the application until the block ends: a synth may build several.

    Raises ValueError for a name that isn't allowed.
    """
    global _named  # noqa: PLW0603 - a process builds one application at a time
    before, _named = _named, check_application(application)
    try:
        yield
    finally:
        _named = before


def application() -> str:
    """Return the application of this process: that of `configure`, CELERIAC_APPLICATION, or the name in celeriac.toml.

    The file is that of the current folder, or of the nearest one above it. Without one the name is `celeriac`.
    """
    known = _named or given.values().application or os.environ.get(APPLICATION)
    return check_application(known or name_in(Path.cwd()))


def tasks_package() -> str:
    """Return the import name of the package of the tasks: CELERIAC_TASKS, or else the end of `source` in celeriac.toml.

    Without that file, and without the key, it is `tasks`.
    """
    return os.environ.get(TASKS) or Path(source_in(Path.cwd())).name


@cache
def name_in(folder: Path) -> str:
    """Return the name in the celeriac.toml of `folder`, or of the nearest one above it; `celeriac` without a file.

    Raises ValueError, with the file, for one that isn't TOML, and for a name that isn't allowed.
    """
    file = project_file(folder)
    if file is None:
        return "celeriac"
    try:
        return check_application(str(_content(file).get("name")))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


@cache
def source_in(folder: Path) -> str:
    """Return `source` of the celeriac.toml of `folder`, or of the nearest one above it; `functions/tasks` without it.

    Raises ValueError, with the file, for one that isn't TOML, and for a source that can't be imported.
    """
    file = project_file(folder)
    if file is None:
        return SOURCE
    try:
        return check_source(_content(file).get("source", SOURCE))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def check_source(source: object) -> str:
    """Return `source`. Raises ValueError unless it is a folder below that of celeriac.toml which Python can import."""
    if not isinstance(source, str):
        raise ValueError(f'source is {source!r}, write a folder, such as source = "{SOURCE}"')  # noqa: TRY004 - as any other
    path = PurePosixPath(source)
    if path.is_absolute() or ".." in path.parts or not path.name.isidentifier() or keyword.iskeyword(path.name):
        raise ValueError(
            f"source is {source!r}, write the folder of the tasks' package, relative to celeriac.toml, with / between "
            f'its parts and a name that Python can import at its end, such as source = "{SOURCE}"'
        )
    return source


def _content(file: Path) -> dict[str, object]:
    """What a celeriac.toml says. Raises ValueError if it isn't TOML, or isn't in UTF-8."""
    import tomllib  # noqa: PLC0415 - a function of the stacks has the variables, and no time for this

    return tomllib.loads(file.read_text(encoding="utf-8"))


def project_file(start: Path) -> Path | None:
    """The celeriac.toml of `start` or of the nearest folder above it; None if there is none."""
    return next((file for folder in (start, *start.parents) if (file := folder / FILE).is_file()), None)


def stage() -> str:
    """Return the stage of this process: that of `configure`, or CELERIAC_STAGE.

    Raises NotConfiguredError without either: what is enqueued must not end up in a stage that nobody named.
    """
    found = given.values().stage or os.environ.get(STAGE)
    if not found:
        raise NotConfiguredError(
            "no stage is known: call celeriac.configure(stage=...) at the start of this program, or set the variable "
            f"{STAGE}; in a test, use the fixture `sandbox`"
        )
    return check_stage(found)


def owner() -> str | None:
    """Return the account of the stage: CELERIAC_ACCOUNT. None means that of the caller's credentials."""
    account = os.environ.get(ACCOUNT)
    if account is not None and not re.fullmatch(r"\d{12}", account):
        raise ValueError(f"{ACCOUNT} is {account!r}, write the 12 digits of the account that owns the stage")
    return account


def kms_key() -> str | None:
    """Return the ARN of the key that encrypts schedules: CELERIAC_KMS_KEY. None means Scheduler's default key."""
    return os.environ.get("CELERIAC_KMS_KEY")


def logs_error_texts() -> bool:
    """Whether logs contain the texts of errors: CELERIAC_LOG_ERROR_TEXTS. The stacks set it only on the local cloud."""
    return "CELERIAC_LOG_ERROR_TEXTS" in os.environ
