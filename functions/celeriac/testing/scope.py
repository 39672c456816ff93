"""Which tasks a test sees: its own and the application's, not those that other test modules define."""

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celeriac.declare.task import Task


def of_this_test(task: Task[..., Any, Any]) -> bool:
    """False for a task of a test module that isn't running: two modules may define tasks of one name."""
    # Set by pytest: "tests/unit/test_task.py::test_something (call)".
    running = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]
    home = _home(inspect.unwrap(task.function))
    is_test = home.name.startswith("test_") or home.name.endswith("_test.py")
    return not running or not is_test or home.match(running)


def _home(function: Callable[..., Any]) -> Path:
    """The file of the function. One made by `exec` has no file, and belongs to that of its module."""
    source = Path(inspect.getsourcefile(function) or "")
    return source if source.is_file() else Path(getattr(sys.modules.get(function.__module__), "__file__", None) or "")
