"""A terminal at which a user types."""

import sys
from collections.abc import Callable
from io import StringIO

import pytest

type AtTerminal = Callable[..., tuple[int, str]]


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> AtTerminal:
    """Run `celeriac` with arguments at a terminal where the user types `answer`. Returns exit code and output."""

    from celeriac_console.main import app  # noqa: PLC0415 - conftest.py loads this module for all tests

    def run(answer: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", _Terminal(answer))
        with pytest.raises(SystemExit) as ended:
            app(list(arguments))
        return int(str(ended.value.code)), "".join(capsys.readouterr())

    return run
