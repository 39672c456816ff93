"""The guarantees that a task's delivery can have, and what becomes of a message that uses a key wrongly."""

from typing import Literal

type Guarantee = Literal["effectively_once", "at_least_once", "at_most_once"]
GUARANTEES: tuple[Guarantee, ...] = Guarantee.__value__.__args__

type OnMismatch = Literal["skip", "dead_letter"]
"""What becomes of a message that would be dropped as a duplicate, though its arguments are other ones."""
ON_MISMATCH: tuple[OnMismatch, ...] = OnMismatch.__value__.__args__
