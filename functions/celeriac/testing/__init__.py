"""Tests of tasks without AWS, network or waiting: moto, the real handlers, virtual time."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from celeriac.model.extras import need

if TYPE_CHECKING:
    from celeriac.dead_letters.dead_letter import DeadLetter
    from celeriac.testing.calls import Call, WorkerDied, die, die_after, die_before
    from celeriac.testing.disturbances import Disturbance
    from celeriac.testing.sandbox import Sandbox
    from celeriac.testing.strikes import every_fault

__all__ = [
    "Call",
    "DeadLetter",
    "Disturbance",
    "Sandbox",
    "WorkerDied",
    "die",
    "die_after",
    "die_before",
    "every_fault",
]

_HOMES = {
    "DeadLetter": "celeriac.dead_letters.dead_letter",
    "Call": "celeriac.testing.calls",
    "Disturbance": "celeriac.testing.disturbances",
    "Sandbox": "celeriac.testing.sandbox",
    "die": "celeriac.testing.calls",
    "die_after": "celeriac.testing.calls",
    "die_before": "celeriac.testing.calls",
    "every_fault": "celeriac.testing.strikes",
    "WorkerDied": "celeriac.testing.calls",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is used: pytest loads this package for its fixture, and importing moto takes a second."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need("testing", "celeriac.testing")
    return getattr(import_module(_HOMES[name]), name)
