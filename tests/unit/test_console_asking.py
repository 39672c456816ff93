"""What `celeriac` asks before it acts, and what an interrupted command prints."""

import json
from datetime import timedelta

import pytest
import typer
from typer.testing import CliRunner, Result

from celeriac import Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.testing import Sandbox
from celeriac_console.dlq import queue_reader as letters
from celeriac_console.main import app
from tests.support.faults import registered
from tests.support.terminal import AtTerminal

shop = Queue("asking")


@task(shop)
def refuse_it(order: int) -> None:
    raise Reject("card declined")


@task(shop)
def refuse_that(order: int) -> None:
    raise Reject("card declined")


@pytest.fixture
def prod(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A stage `prod`, which keeps its data, beside the sandbox's stage. It has twelve dead letters."""
    monkeypatch.setenv("CELERIAC_STAGE", "prod")
    for name in ("celeriac-prod--asking", "celeriac-prod--asking-dlq"):
        client("sqs").create_queue(QueueName=name)
    for order in range(12):
        name = "refuse_it" if order < 8 else "refuse_that"
        body = json.dumps({"task": name, "args": {"order": order}, "id": f"i-{order}"})
        client("sqs").send_message(QueueUrl=sqs.url("celeriac-prod--asking-dlq"), MessageBody=body)
    sandbox.advance(timedelta(milliseconds=1))
    return sandbox


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "prod", "dlq", *arguments])


def _left() -> int:
    return sum(sqs.counts(sqs.url("celeriac-prod--asking-dlq")).values())


def test_a_redrive_of_all_letters_in_a_kept_stage_asks_first(prod: Sandbox, at_terminal: AtTerminal) -> None:
    code, said = at_terminal("n\n", "--stage", "prod", "dlq", "redrive", "asking")
    assert code == 1
    assert "Redrive all 12 dead letters of asking in the stage prod? [y/N]" in said
    assert _left() == 12
    code, said = at_terminal("y\n", "--stage", "prod", "dlq", "redrive", "asking")
    assert (code, _left()) == (0, 0)
    assert "12 of 12 dead letters of asking redriven to asking" in said


def test_end_of_input_at_a_question_ends_the_command(prod: Sandbox, at_terminal: AtTerminal) -> None:
    assert at_terminal("", "--stage", "prod", "dlq", "redrive", "asking")[0] == 130
    assert _left() == 12


def test_without_a_terminal_a_redrive_of_all_letters_is_refused_with_the_cure(prod: Sandbox) -> None:
    refused = _run("redrive", "asking")
    assert refused.exit_code == 2
    assert "in the stage prod? There is no terminal to answer at: add --yes" in refused.output
    assert _left() == 12
    assert _run("redrive", "asking", "--yes").exit_code == 0
    assert _left() == 0


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--task", "refuse_it"], 4),
        (["--error", "often"], 0),
        (["--contains", "i-3"], 11),
        (["--since", "1h"], 0),
        (["--limit", "3"], 9),
        (["--id", "i-3"], 11),
        (["--dry-run"], 12),
    ],
)
def test_a_redrive_of_chosen_letters_does_not_ask(prod: Sandbox, options: list[str], left: int) -> None:
    assert _run("redrive", "asking", *options).exit_code == 0
    assert _left() == left


def test_a_limit_that_excludes_no_letter_still_asks(prod: Sandbox) -> None:
    assert "There is no terminal to answer at" in _run("redrive", "asking", "--limit", "12").output


def test_a_redrive_in_a_stage_that_is_not_kept_does_not_ask(sandbox: Sandbox) -> None:
    assert CliRunner().invoke(app, ["--stage", "test", "dlq", "redrive", "asking"]).exit_code == 0


def test_a_discard_asks_and_deletes_the_matching_letters(prod: Sandbox, at_terminal: AtTerminal) -> None:
    code, said = at_terminal("n\n", "--stage", "prod", "dlq", "discard", "asking", "--task", "refuse_it")
    assert code == 1
    assert "8 dead letters of asking, of 1 kind" in said
    assert _left() == 12
    refused = _run("discard", "asking")
    assert (refused.exit_code, "add --yes to delete without being asked" in refused.output) == (2, True)
    discarded = _run("discard", "asking", "--task", "refuse_it", "--yes", "--json")
    assert json.loads(discarded.stdout) == {"discarded": 8}
    assert _left() == 4


def test_a_discard_deletes_only_the_letters_that_it_showed(
    prod: Sandbox, at_terminal: AtTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*_: object, **__: object) -> bool:
        client("sqs").send_message(
            QueueUrl=sqs.url("celeriac-prod--asking-dlq"), MessageBody='{"task": "refuse_it", "args": {"order": 99}}'
        )
        prod.advance(timedelta(milliseconds=1))
        return True

    monkeypatch.setattr(typer, "confirm", answer)
    assert (
        "8 dead letters of asking discarded"
        in at_terminal("", "--stage", "prod", "dlq", "discard", "asking", "--task", "refuse_it")[1]
    )
    assert _left() == 5


def _interrupted(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """Run the command with one worker, and press Ctrl-C when it sends the second batch."""
    calls = 0

    def interrupt(**_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(letters, "WORKERS", 1)
    monkeypatch.setattr("sys.argv", ["celeriac", "--stage", "prod", "dlq", *arguments])
    with registered("sqs", "before-call.sqs.SendMessageBatch", interrupt):
        return _run(*arguments)


def test_an_interrupted_redrive_prints_its_progress_and_the_next_command(
    prod: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _interrupted(monkeypatch, "redrive", "asking", "--rate", "1", "--yes")
    assert told.exit_code == 130
    assert "interrupted: 7 of 12 dead letters of asking are redriven, the others are still dead letters." in told.output
    assert "Go on: celeriac --stage prod dlq redrive asking --rate 1 --yes\n" in told.output
    prod.advance(timedelta(milliseconds=1))
    assert _run("redrive", "asking", "--yes").output.startswith("5 of 5 dead letters")


def test_the_next_command_has_the_rest_of_the_limit(prod: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    told = _interrupted(monkeypatch, "redrive", "asking", "--rate", "1", "--limit=11")
    assert "7 of 11 dead letters of asking are redriven" in told.output
    assert "dlq redrive asking --rate 1 --limit 4\n" in told.output


def test_the_next_command_has_absolute_times(prod: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    told = _interrupted(monkeypatch, "redrive", "asking", "--since", "2h", "--rate", "1")
    assert "7 dead letters of asking, after a look at 12 of 12 letters, are redriven" in told.output
    assert "--rate 1 --since 2025-12-31T22:00:00+00:00\n" in told.output
