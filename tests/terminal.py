"""A terminal at which somebody sits and types."""

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
    """Run `celeriac` with arguments at a terminal, where somebody types `answer`; its exit code and all it says."""

    from celeriac_console.main import app  # noqa: PLC0415 - conftest.py loads this for tests of anything

    def run(answer: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", _Terminal(answer))
        with pytest.raises(SystemExit) as ended:
            app(list(arguments))
        return int(str(ended.value.code)), "".join(capsys.readouterr())

    return run
