"""How long Lambda lets a function run, and what each of these limits stands on."""

from datetime import timedelta
from typing import Literal

from msgspec import Struct


class Limit(Struct, frozen=True):
    """A limit of a function's timeout."""

    longest: timedelta
    source: str
    """Where AWS says so."""


type StandsOn = Literal["documentation", "api-model"]
"""What a queue's timeout may stand on."""

LIMITS: dict[str, Limit] = {
    "documentation": Limit(
        timedelta(seconds=900), "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
    ),
    # What it says of CreateFunction's Timeout. The model of botocore 1.44.5, days before, said 900 seconds there.
    "api-model": Limit(timedelta(seconds=1800), "AWS's API model of Lambda of 2026-11-19, in botocore 1.44.7"),
}
"""The timeouts of functions that Lambda starts by itself.

The same model takes 5,400 seconds on Lambda Managed Instances, mappings of SQS included. The stacks make no functions
there, so no queue can ask for it.
"""

DOCUMENTED = LIMITS["documentation"].longest
LONGEST = max(limit.longest for limit in LIMITS.values())
"""The longest timeout that a queue can have."""
