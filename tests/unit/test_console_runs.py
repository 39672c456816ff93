"""`celeriac runs`: the ended runs of a task, as an operator types it."""

import json
import re
from datetime import timedelta

import pytest
from typer.testing import CliRunner, Result

from celeriac import Backoff, Queue, task
from celeriac.testing import Sandbox
from celeriac_console.main import app

ledger = Queue("console-runs", history=True, batch_size=10)
bare = Queue("console-runs-bare")
FAST = Backoff(base=timedelta(seconds=1), jitter=0, attempts=2)
failing: list[str] = []


@task(ledger, key="name", retry=FAST)
def cr_book(name: str) -> None:
    if name in failing:
        raise ConnectionError("of o-7")


@task(bare)
def cr_bare() -> None: ...


@task(ledger, delivery="at_least_once")
def cr_mail() -> None: ...


@pytest.fixture(autouse=True)
def _runs(sandbox: Sandbox) -> None:
    failing[:] = ["b"]
    for name in ("a", "b"):
        cr_book.enqueue(name=name)
        sandbox.drain()
        sandbox.advance(timedelta(hours=1))


def runs(*words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["--stage", "test", "runs", *words])
    assert done.exit_code == code, done.output
    return done


def test_a_row_for_each_the_latest_first() -> None:
    head, dead, done = runs("cr_book").stdout.splitlines()
    assert head.split() == ["ended", "state", "attempt", "took", "id", "error"]
    assert " dead " in dead
    assert dead.endswith("ConnectionError")
    assert "succeeded" in done


def test_attempts_are_shown_if_they_are_wanted() -> None:
    lines = runs("cr_book", "--attempts", "--state", "dead").stdout.splitlines()
    assert len(lines) == 4
    assert "attempt 1" in lines[2]
    assert "failed: ConnectionError, request " in lines[2]


def test_filters() -> None:
    (dead,) = json.loads(runs("cr_book", "--state", "dead", "--json").stdout)
    assert (dead["task"], dead["state"], dead["attempt"], dead["error"]) == ("cr_book", "dead", 2, "ConnectionError")
    assert [each["outcome"] for each in dead["attempts"]] == ["failed", "failed"]
    assert [each["state"] for each in json.loads(runs("cr_book", "--since", "90m", "--json").stdout)] == ["dead"]
    assert [each["state"] for each in json.loads(runs("cr_book", "--until", "90m", "--json").stdout)] == ["succeeded"]


def test_a_list_that_may_go_on_says_how() -> None:
    said = runs("cr_book", "--limit", "1").stderr
    assert "There are earlier ones: celeriac" in said
    assert "--until 2026-01-01T" in said


def test_the_next_page_begins_in_the_same_second(sandbox: Sandbox) -> None:
    sandbox.advance(timedelta(milliseconds=300))
    for name in "cde":
        cr_book.enqueue(name=name)
        sandbox.drain()
        sandbox.advance(timedelta(milliseconds=200))
    found: list[str] = []
    more: list[str] = []
    for limit in ("1", "2", "1", "5"):
        page = runs("cr_book", "--json", "--limit", limit, *more)
        found += [run["id"] for run in json.loads(page.stdout)]
        if (next_page := re.search(r"--until (\S+\.\d{3}\+00:00)", page.stderr)) is not None:
            more = ["--until", next_page[1]]
    assert next_page is None
    assert len(found) == len(set(found)) == 5


def test_nothing_found_is_said() -> None:
    assert runs("cr_book", "--state", "cancelled").stdout == "no run of cr_book is known that ended so\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cr_bare"], "its queue 'console-runs-bare' keeps no history: declare it with history=True, and deploy"),
        (["cr_mail"], "is at_least_once: nothing is recorded of its runs"),
        (["cr_boo"], "no task is named 'cr_boo'"),
        (["cr_book", "--state", "late"], "'late' is no end of a run: write succeeded, dead, cancelled"),
        (["cr_book", "--since", "yesterday"], "'yesterday' is no time"),
        (["cr_book", "--limit", "0"], "should be greater than or equal to 1"),
    ],
)
def test_a_mistake_is_named_with_its_cure(words: list[str], said: str) -> None:
    assert said in " ".join(runs(*words, code=2).stderr.replace("│", " ").split())
