"""The kinds of fault that can happen to one AWS call of a worker.

A fault takes the place of boto3. It raises what boto3 raises after its own retries are used up, which is the harder
case. What boto3's retries do by themselves is the kind `sent twice`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from celeriac.testing.calls import Call, Fault, die_after, die_before
from celeriac.testing.disturbances import refusal

NOWHERE = "https://aws.example"


@dataclass(frozen=True)
class Kind:
    """One kind of fault, and the calls that it can happen to."""

    strike: Fault
    told: str
    """What happened, as the rest of a sentence about the call."""
    applies_to: Callable[[Call], bool] = lambda _: True


def answer_lost(call: Call) -> Any:
    """AWS carries out the call, and its answer is lost."""
    call.make()
    raise ReadTimeoutError(endpoint_url=NOWHERE)


def never_arrived(call: Call) -> Any:  # noqa: ARG001 - AWS doesn't get the call
    """AWS is out of reach and doesn't receive the call."""
    raise ConnectTimeoutError(endpoint_url=NOWHERE)


def throttled(call: Call) -> Any:
    """AWS refuses the call."""
    raise refusal(call)


def sent_twice(call: Call) -> Any:
    """The first answer is lost, and boto3 sends the call again. The worker gets the second answer."""
    call.make()
    return call.make()


KINDS = {
    "dies before": Kind(die_before, "its worker died before AWS got it"),
    "dies after": Kind(die_after, "its worker died after AWS had carried it out"),
    "answer lost": Kind(answer_lost, "AWS carried it out, and its answer was lost"),
    "never arrives": Kind(never_arrived, "it never arrived at AWS"),
    "throttled": Kind(throttled, "AWS refused it"),
    # AWS carries out a call with such a token once, even if it is sent twice. moto ignores the token.
    "sent twice": Kind(
        sent_twice,
        "boto3 sent it twice, and AWS carried it out twice",
        lambda call: "ClientRequestToken" not in call.arguments,
    ),
}
