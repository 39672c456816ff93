"""Plants a fault: changes one line of a function of Celeriac, in memory and until the test ends."""

import inspect
import sys
import textwrap
from typing import Any

import pytest


def plant(monkeypatch: pytest.MonkeyPatch, function: Any, line: str, fault: str) -> None:
    """Let `function` have `fault` in place of `line`, a part of its text that occurs once."""
    module = sys.modules[function.__module__]
    text = textwrap.dedent(inspect.getsource(function))
    assert text.count(line) == 1, f"{function.__qualname__} has no such line: {line}"
    made: dict[str, Any] = {}
    exec(compile(text.replace(line, fault), inspect.getfile(function), "exec"), vars(module), made)  # noqa: S102 - see above
    name = function.__name__
    if "." in function.__qualname__:
        owner = getattr(module, function.__qualname__.split(".")[0])
        monkeypatch.setattr(owner, name, made[name])
        return
    for other in [one for one in sys.modules.values() if vars(one).get(name) is function]:
        monkeypatch.setattr(other, name, made[name])
