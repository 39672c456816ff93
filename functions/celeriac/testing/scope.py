"""Which tasks a test sees: its own and the application's, not those that other test modules define."""

import inspect
import os
from pathlib import Path
from typing import Any

from celeriac.declare.task import Task


def of_this_test(task: Task[..., Any, Any]) -> bool:
    """False for a task of a test module that isn't running: two modules may define tasks of one name."""
    # Set by pytest: "tests/unit/test_task.py::test_something (call)".
    running = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]
    home = Path(inspect.getsourcefile(inspect.unwrap(task.function)) or "")
    is_test = home.name.startswith("test_") or home.name.endswith("_test.py")
    return not running or not is_test or home.match(running)
