"""Tests of tasks without AWS, without a network and without waiting: moto, the real handlers, virtual time."""

from celeriac.dead_letter import DeadLetter
from celeriac.testing.calls import WorkerDied
from celeriac.testing.sandbox import Sandbox

__all__ = ["DeadLetter", "Sandbox", "WorkerDied"]
