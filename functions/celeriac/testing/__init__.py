"""Tests of tasks without AWS, without a network and without waiting: moto, the real handlers, virtual time."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.dead_letters.dead_letter import DeadLetter
    from celeriac.testing.calls import WorkerDied
    from celeriac.testing.sandbox import Sandbox

__all__ = ["DeadLetter", "Sandbox", "WorkerDied"]

_HOMES = {
    "DeadLetter": "celeriac.dead_letters.dead_letter",
    "Sandbox": "celeriac.testing.sandbox",
    "WorkerDied": "celeriac.testing.calls",
}


def __getattr__(name: str) -> Any:
    """Import when first used: pytest loads this package for its fixture, and moto takes a second to import."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
