"""Text of other programs, where a person reads it: it can't rewrite, reverse, hide in, or flood the output."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

import celeriac
from celeriac import Backoff, Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.model.failure import Failure, error_message
from celeriac.observe.text import block, line
from celeriac.testing import Sandbox
from celeriac_console.main import app
from celeriac_local.demo.report import _dead_letters

BAD = "\x1b[2J\x1b]0;owned\x07\r\x00\x7f\x85\u202e\u2066\u200f\u061c\u200b\ufeff\u2028\u2060"
NASTY = f"a{BAD}[red]b[/red] :key: c\nd" + "x" * 1_000_000
jobs = Queue("nasty", patience=timedelta(minutes=5))


def is_safe(text: str) -> bool:
    return all(character.isprintable() or character in "\n\t\u00a0\u3000" for character in text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\u00e9 \u4f60\u597d \U0001f600 e\u0301 \u05d0\u05d1", "\u00e9 \u4f60\u597d \U0001f600 e\u0301 \u05d0\u05d1"),
        ("a\tb\u3000c\u00a0d", "a\tb\u3000c\u00a0d"),
        ("a\nb\r\nc", "a\\nb\\r\\nc"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("abc\u202edef", "abc\\u202edef"),
        ("a\u200bb\ufeffc\u2060d", "a\\u200bb\\ufeffc\\u2060d"),
        ("\ud800", "\\ud800"),
        ("[red]not markup[/red] \\[", "[red]not markup[/red] \\["),
        ("x" * 205, "x" * 200 + "... (5 more characters)"),
    ],
)
def test_a_line_escapes_invisible_characters(text: str, shown: str) -> None:
    assert line(text) == shown


def test_a_block_keeps_its_lines() -> None:
    assert block("a\r\nb\n\x1b[1A\rc") == "a\nb\n\\x1b[1A\\rc"
    assert block("x" * 20_003).endswith("x... (3 more characters)")


@given(st.text(st.characters(exclude_categories=["Zs"]) | st.just("\n")))
def test_no_text_has_control_characters_when_shown(text: str) -> None:
    assert "\n" not in line(text)
    for shown in (line(text), block(text)):
        assert is_safe(shown)
        assert shown.encode() or not text


def test_a_shortened_error_text_says_how_much_was_cut() -> None:
    assert error_message(ValueError("x" * 1_000_000)) == f"(998000 characters before) ...{'x' * 2000}"


@task(jobs, retry=Backoff(attempts=1), key="text")
def refuse(text: str) -> None:
    raise Reject(text)


@task(jobs, key="text")
def echo(text: str) -> str:
    return text[:10_000]


def _shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["--stage", "test", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def _send(body: Any, name: str = "note") -> None:
    client("sqs").send_message(
        QueueUrl=sqs.url(jobs.physical_name("test")),
        MessageBody=json.dumps(body),
        MessageAttributes={name: {"DataType": "String", "StringValue": "\u202eturned"}},
    )


def test_no_command_prints_control_characters_of_other_programs(sandbox: Sandbox) -> None:
    text = NASTY[:100_000]
    refuse.enqueue(text)
    _send({"task": f"gone{BAD}", "id": f"id{BAD}"[:60], "args": {}})
    _send({"name": text})
    _send({"task": "refuse", "args": {"text": text}, "failure": {"reason": text, "message": text}})
    quarantine.add(f"task:{text[:500]}")
    with celeriac.transaction() as tx:
        tx.emit(f"gone{BAD}", {}, aggregate=f"of{BAD}")
    sandbox.drain()
    table = "celeriac-test--outbox"
    for row in client("dynamodb").scan(TableName=table)["Items"]:
        parked: dict[str, Any] = {"waiting": {"S": "parked"}, "reason": {"S": text}}
        client("dynamodb").put_item(TableName=table, Item=row | parked)

    letters = sandbox.dead_letters(jobs)
    assert len(letters) == 4
    seen = [_shown("dlq", "list", "nasty"), _shown("outbox", "lag"), _shown("quarantine", "list"), _shown("doctor")]
    seen += [_shown("dlq", "show", "nasty", letter.id) for letter in letters]
    seen += [_shown("dlq", "show", "nasty", text), _shown("status", text), _shown("dlq", "redrive", text)]
    for shown in seen:
        assert is_safe(shown)
        assert len(shown) < 90_000
    assert "gone\\x1b[2J" in seen[0]
    assert "[red]b[/red]" in "".join(seen)


def test_a_result_is_shown_as_text(sandbox: Sandbox) -> None:
    echo.options(key="k").enqueue(NASTY[:5_000])
    sandbox.drain()
    shown = _shown("status", "k")
    assert "succeeded" in shown
    assert is_safe(shown)


def test_text_of_other_programs_is_shortened_and_escaped_in_the_logs(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    _send({"task": f"gone{BAD}" + "x" * 170, "id": f"id{BAD}"})
    sandbox.drain()
    lines = [vars(record) for record in caplog.records if "outcome" in vars(record)]
    assert lines
    for one in lines:
        assert is_safe(one["task"])
        assert is_safe(one["id"])


def test_the_demos_report_escapes_text() -> None:
    failure = Failure(reason="[bold]malformed", message=NASTY)
    letter = DeadLetter("i", "[blink]task", {}, failure, "", datetime.now(UTC))
    screen = io.StringIO()
    Console(file=screen, width=200, emoji=False).print(_dead_letters({"nasty": [letter]}))
    shown = screen.getvalue()
    assert is_safe(shown)
    assert "[blink]task" in shown
    assert "[bold]malformed" in shown
    assert len(shown) < 2000
