"""Every command in README and docs exists as it is written: its words, options and arguments. None is run."""

import re
import shlex
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import typer.main
from botocore import xform_name

from celeriac_console.main import app as console
from celeriac_local.commands import app as local_cloud

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
REDIRECTION = re.compile(r"\s>\s*\S+")
INNER = re.compile(r"\$\(([^()]*)\)")
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
# https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-options.html
OF_EVERY_AWS_COMMAND = {"endpoint-url", "output", "profile", "query", "region"}
# The AWS CLI gives these parameters another name: its file awscli/customizations/argrename.py
RENAMED = {"sns subscribe": {"endpoint": "notification-endpoint"}}
COMPLETION = ["--install-completion"]  # typer adds it when the program is started

type Command = tuple[str, list[str], bool]
"""A command as it is written, its words, and whether it is complete: a sentence may name one without its arguments."""


class Mistake(Exception):  # noqa: N818 - of the docs
    """A command that doesn't exist as it is written."""


def test_every_command_of_the_docs_exists_as_it_is_written() -> None:
    wrong = []
    for page in PAGES:
        for written, words, whole in commands(page.read_text()):
            try:
                check(words, whole=whole)
            except Mistake as mistake:
                wrong.append(f"{page.relative_to(ROOT)}: `{written}`: {mistake}")
    assert wrong == []


def test_the_commands_of_the_docs_are_found() -> None:
    found = list(chain.from_iterable(commands(page.read_text()) for page in PAGES))
    number = {name: sum(words[0] == name for _, words, _ in found) for name in CHECKS}
    assert number["celeriac"] > 40
    assert number["make"] > 30
    assert number["aws"] >= 3
    assert number["python"] >= 2


@pytest.mark.parametrize(
    "line",
    [
        "celeriac dql list",
        "celeriac dlq lists QUEUE",
        "celeriac dlq list --lettres",
        "celeriac --stag dev queues",
        "celeriac dlq show QUEUE ID ANOTHER",
        "celeriac dlq show",
        "make tests",
        "make test ARG=x",
        "aws sqz list-queues",
        "aws sqs list-queue",
        "aws sqs list-queues --queue-names x",
        "python -m celeriac_local upp",
        "celeriac local upp",
        "celeriac cdk deplo dev",
        "celeriac cdk deploy",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    with pytest.raises(Mistake):
        check(line.split(), whole=True)


def commands(page: str) -> Iterator[Command]:
    """The commands of a page: those of its blocks without a language, and those between backticks in its sentences."""
    for language, block in BLOCK.findall(page):
        if language not in {"", "sh"}:
            continue
        lines = [line.strip() for line in block.replace("\\\n", " ").splitlines()]
        typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        for line in typed or lines:
            yield from simple(line, whole=True)
    for span in re.findall(r"`([^`]+)`", BLOCK.sub("", page)):
        yield from simple(" ".join(span.split()), whole=False)


def simple(line: str, *, whole: bool) -> Iterator[Command]:
    """The simple commands of a line that are checked, those inside `$(...)` too."""
    for inner in INNER.findall(line):
        yield from simple(inner, whole=whole)
    line = REDIRECTION.sub("", INNER.sub("VALUE", line))
    if not re.search(rf"(^|[|;&] *|bin/)({'|'.join(CHECKS)})( |$)", line):
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) - set("|;&"):
            words.append(word)
            continue
        if words:
            words[0] = words[0].removeprefix(".venv/bin/")
        if words and words[0] in CHECKS and words != ["aws"]:  # alone it is the name of a room
            yield line, words, whole
        words = []


def check(words: list[str], *, whole: bool) -> None:
    """Raise Mistake for a command that doesn't exist so."""
    CHECKS[words[0]](words[1:], whole)


def _celeriac(words: list[str], whole: bool) -> None:  # noqa: FBT001 - called by position, like the other checks
    if words not in ([], COMPLETION):
        _typer(typer.main.get_command(console), words, whole=whole)


def _python(words: list[str], whole: bool) -> None:  # noqa: FBT001
    if words[:2] == ["-m", "celeriac_local"]:
        _typer(typer.main.get_command(local_cloud), words[2:], whole=whole)


def _typer(command: Any, words: list[str], *, whole: bool, parent: Any = None) -> None:
    context = command.context_class(command, info_name=command.name, parent=parent, **command.context_settings)
    try:
        given, rest, _ = command.make_parser(context).parse_args(args=[word for word in words if word != "..."])
    except Exception as error:
        raise Mistake(str(error)) from error
    if hasattr(command, "commands"):
        if not rest:
            return
        named = command.get_command(context, rest[0])
        if named is None:
            raise Mistake(f"no command {rest[0]!r}")
        _typer(named, rest[1:], whole=whole, parent=context)
        return
    if rest and not context.allow_extra_args:
        raise Mistake(f"too many arguments: {rest}")
    needed = [one.name for one in command.params if one.param_type_name == "argument" and one.required]
    if whole and (missing := [name for name in needed if not isinstance(given.get(name), str | list | tuple)]):
        raise Mistake(f"arguments are missing: {missing}")


def _make(words: list[str], _whole: bool) -> None:  # noqa: FBT001
    setup = (ROOT / "local/setup.sh").read_text()
    for word in words:
        name, is_variable, _ = word.partition("=")
        if is_variable and name not in re.findall(r"\b[A-Z]+\b", MAKEFILE + setup):
            raise Mistake(f"the Makefile knows no variable {name}")
        if not is_variable and name not in TARGETS:
            raise Mistake(f"the Makefile has no target {name}")


def _aws(words: list[str], _whole: bool) -> None:  # noqa: FBT001
    options = {word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--")}
    while words and words[0].startswith("--"):  # options before the service, each with a value
        words = words[2:]
    session = botocore.session.get_session()
    if not words or words[0] not in session.get_available_services():
        raise Mistake(f"no service {words[:1]}")
    service = session.get_service_model(words[0])
    operations = {xform_name(name, "-"): name for name in service.operation_names}
    if words[1] not in operations:
        raise Mistake(f"{words[0]} has no operation {words[1]}")
    shape = service.operation_model(operations[words[1]]).input_shape
    renamed = RENAMED.get(" ".join(words[:2]), {})
    names = {xform_name(name, "-") for name in shape.members} if shape else set()
    known = {renamed.get(name, name) for name in names}
    if unknown := options - known - OF_EVERY_AWS_COMMAND:
        raise Mistake(f"unknown options: {sorted(unknown)}")


CHECKS: dict[str, Callable[[list[str], bool], None]] = {
    "aws": _aws,
    "celeriac": _celeriac,
    "make": _make,
    "python": _python,
}
