"""The guarantees that a task's delivery can have."""

from typing import Literal

type Guarantee = Literal["effectively_once", "at_least_once", "at_most_once"]
GUARANTEES: tuple[Guarantee, ...] = Guarantee.__value__.__args__
