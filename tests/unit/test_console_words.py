"""How `celeriac` answers unknown commands, tasks that can't be loaded, and readers that close the pipe."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner, Result

import celeriac
from celeriac import Queue, task
from celeriac.model import declared
from celeriac.testing import Sandbox
from celeriac_console.application import loading
from celeriac_console.main import app
from celeriac_console.queues.rows import NOT_DEPLOYED
from celeriac_console.queues.table import table
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.screen import Screen

shop = Queue("words")
PROGRAM = Path(sys.executable).with_name("celeriac")


@task(shop)
def report_month(month: str, year: int = 2026) -> None: ...


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", *arguments], env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["purge"], "celeriac dlq discard?"),
        (["retry"], "celeriac dlq redrive?"),
        (["redrive"], "celeriac dlq redrive?"),
        (["ls"], "celeriac queues or celeriac tasks or celeriac dlq list?"),
        (["replay"], "celeriac outbox replay or celeriac dlq redrive?"),
        (["delete"], "celeriac dlq discard?"),
        (["logs"], "celeriac tail?"),
        (["inspect"], "celeriac status or celeriac dlq show?"),
        (["quees"], "celeriac queues?"),
        (["dlq", "purge"], "celeriac dlq discard?"),
        (["dlq", "retry"], "celeriac dlq redrive?"),
        (["dlq", "ls"], "celeriac dlq list?"),
        (["dlq", "exprot"], "celeriac dlq export?"),
        (["dlq", "pause"], "celeriac pause?"),
        (["quarantine", "rm"], "celeriac quarantine lift?"),
        (["outbox", "retry"], "celeriac outbox replay?"),
    ],
)
def test_other_words_for_a_command_get_a_suggestion_and_run_nothing(typed: list[str], meant: str) -> None:
    told = _run(*typed, "letters")
    assert told.exit_code == 2
    assert f"no such command {typed[-1]!r}. Did you mean: {meant}" in told.output


def test_an_unknown_word_is_answered_with_the_help_option() -> None:
    assert "no such command 'xyzzy'. " in _run("xyzzy").output
    assert "--help shows all" in _run("xyzzy").output


def test_control_characters_in_a_command_line_do_not_reach_the_terminal() -> None:
    told = _run("\x1b[2J[bold]x[/bold]:key:").output
    assert "\x1b" not in told
    assert "[bold]x[/bold]:key:" in told
    for wrong in (["dlq", "show", "words", "--\x1b[2J"], ["queues", "\x1b[2J:key:"]):
        told = _run(*wrong).output
        assert "\x1b" not in told
        assert "x1b[2J" in told


@pytest.mark.parametrize("command", [[], ["queues"], ["dlq"], ["dlq", "list"], ["send"], ["outbox", "lag"]])
def test_every_command_takes_h_for_help(command: list[str]) -> None:
    assert _run(*command, "-h").output.lstrip().startswith("Usage: ")
    assert _run(*command, "-h").exit_code == 0


def test_the_version_option_prints_the_packages_version() -> None:
    assert re.fullmatch(r"celeriac \d+\.\d+\.\d+\n", CliRunner().invoke(app, ["--version"]).output)


def test_a_mistyped_parameter_gets_a_suggestion(sandbox: Sandbox) -> None:
    for arguments in (["--arg", "moth=1"], ["--arg", "month=1", "--json", '{"moth": 1}']):
        told = _run("send", "report_month", *arguments)
        assert told.exit_code == 2
        assert 'no parameter "moth": did you mean month?' in told.output
    assert 'no parameter "xyz"; it has month, year' in _run("send", "report_month", "--arg", "xyz=1").output


BROKEN = {
    "syntax": ("x = 1\ndef f(:\n", "broken.py, line 2\n  SyntaxError: invalid syntax"),
    "import": ("import os\nfrom os import nothing\n", "broken.py, line 2\n  ImportError: cannot import name 'nothing'"),
    "package": (
        "\nimport fastapi2\n",
        "line 2\n  ModuleNotFoundError: No module named 'fastapi2' (a package is added by",
    ),
    "any": ("def f():\n    {}['a']\nf()\n", "broken.py, line 2\n  KeyError: 'a'"),
    "library": ("import json\njson.loads('{')\n", "broken.py, line 2\n  json.decoder.JSONDecodeError: Expecting"),
    "declaration": (
        "from celeriac import Queue\n\n\nq = Queue('UPPER')\n",
        "broken.py, line 4\n  queue 'UPPER': a name is 1-37 lower-case letters",
    ),
    "exit": ("import sys\nsys.exit(3)\n", "broken.py, line 2\n  SystemExit: 3"),
    "two lines": ("raise ValueError('one\\ntwo')\n", "broken.py, line 1\n  ValueError: one two"),
    "control": ("raise ValueError('\\x1b[2J')\n", "broken.py, line 1\n  ValueError: \\x1b[2J"),
}


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's tasks that can't be loaded. The value is the expected message."""
    source, said = BROKEN[request.param]
    (tmp_path / "broken.py").write_text(source)
    package = ModuleType("tasks")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "tasks", package)
    monkeypatch.setattr(declared, "package", lambda: "tasks")
    monkeypatch.delitem(sys.modules, "tasks.broken", raising=False)
    return said


def test_a_module_that_cannot_be_loaded_is_reported_in_two_lines(broken: str) -> None:
    told = _run("tasks")
    assert told.exit_code == 2
    assert broken in told.stderr
    assert told.stderr.startswith("celeriac: the tasks can't be loaded: ")
    assert len(told.stderr.splitlines()) == 2


@pytest.mark.parametrize("broken", ["import"], indirect=True)
@pytest.mark.parametrize(
    "command",
    [
        ["queues"],
        ["dlq", "list"],
        ["dlq", "list", "words"],
        ["dlq", "redrive", "words"],
        ["send", "report_month"],
        ["pause", "words"],
        ["outbox", "lag"],
        ["quarantine", "add", "--task", "report_month"],
    ],
)
def test_a_module_that_cannot_be_loaded_gives_no_traceback_in_any_command(
    sandbox: Sandbox, broken: str, command: list[str]
) -> None:
    told = _run(*command)
    assert (told.exit_code, len(told.stderr.splitlines())) == (2, 2)


@pytest.mark.parametrize("broken", ["import"], indirect=True)
def test_doctor_checks_the_rest_if_the_tasks_cannot_be_loaded(sandbox: Sandbox, broken: str) -> None:
    found = _run("doctor")
    assert found.exit_code == 1
    assert "ok    credentials: arn:aws" in found.output
    assert "WRONG tasks: the tasks can't be loaded: " in found.output


def test_a_package_of_tasks_that_python_does_not_find_has_its_cures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with declared.application("nowhere.orders_tasks"):
        with pytest.raises(ModuleNotFoundError) as raised:
            celeriac.handle("report_nothing/1@2")
        told = _run("tasks")

    for said in ("'nowhere.orders_tasks'", "the folder of your project", "CELERIAC_TASKS", "`source`", "PYTHONPATH"):
        assert said in str(raised.value)
        assert said in " ".join(told.stderr.split())
    assert told.exit_code == 2
    assert "Error" not in told.stderr


def test_a_loading_error_of_several_modules_names_no_line() -> None:
    assert loading.why_not(ValueError("two tasks")) == "the tasks can't be loaded: ValueError: two tasks"


def _row(**fields: object) -> dict[str, object]:
    numbers = {"waiting": 1_204, "delayed": 0, "scheduled": 1_000, "scheduled_is_more": True}
    numbers |= {"in_flight": 3, "dead": 2}
    rest = {"oldest_seconds": 300, "consumer": "on", "alarm": "no data", "limits": {}}
    return {"queue": "emails"} | numbers | rest | fields


LONG = "a-queue-with-a-name-of-37-characters-"


def _shown(width: int, monkeypatch: pytest.MonkeyPatch, *, terminal: bool, **fields: object) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    screen._force_terminal = terminal
    with screen.capture() as captured:
        new = _row(queue="new", consumer=NOT_DEPLOYED, waiting=None)
        screen.print(table([_row(), _row(queue=LONG, **fields), new], screen))
    return re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).splitlines()


def test_queues_fit_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _shown(60, monkeypatch, terminal=True)
    assert max(map(len, lines)) <= 60
    assert lines[3:] == [
        LONG,
        "  1204 waiting, 0 delayed, 3 in flight, 2 dead",
        "  1000+ scheduled, oldest 5 min, consumer on, alarm no data",
        "new",
        "  not deployed",
    ]


def test_queues_with_limits_say_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: dict[str, int | None] = {"bank": None, "exports": 0, "stripe": 1240}
    assert _shown(60, monkeypatch, terminal=True, limits=limits)[6] == "  limits bank, exports, stripe (1,240)"
    lines = _shown(160, monkeypatch, terminal=False, limits=limits)
    assert lines[0].endswith("alarm    limits, and who waits")
    assert lines[2].endswith("no data  bank, exports, stripe (1,240)")


@pytest.mark.parametrize("terminal", [True, False])
def test_queues_are_a_table_if_it_fits_or_if_output_is_piped(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    lines = _shown(160 if terminal else 20, monkeypatch, terminal=terminal)
    assert len(lines) == 4
    columns = "queue waiting delayed scheduled in flight dead oldest consumer alarm"
    assert lines[0].split() == columns.split()
    assert lines[2] == f"{LONG}     1204        0      1000+          3     2  5 min   on            no data"


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [(0, ("kind",), "0 kinds"), (1, ("kind",), "1 kind"), (2, ("entry", "entries"), "2 entries")],
)
def test_a_count_is_printed_with_singular_or_plural(number: int, words: tuple[str, ...], text: str) -> None:
    assert counted(number, *words) == text


@pytest.mark.parametrize("command", [["tasks"], ["tasks", "--json"]])
def test_a_closed_pipe_ends_the_command_without_a_message(command: list[str]) -> None:
    with subprocess.Popen([PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        told = process.stderr.read()
    assert (process.returncode, told) == (141, b"")


def test_ctrl_c_during_the_start_prints_no_traceback() -> None:
    """The program is interrupted when it first imports a package other than itself."""
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from celeriac_console.entry_point import run\n"
        "run()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, "tasks"], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, b"", b"")
