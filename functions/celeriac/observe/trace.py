"""AWS X-Ray's trace header, handed from message to message without the X-Ray SDK.

Lambda and SQS trace what they carry themselves; what Celeriac sends must only name the trace that it belongs to.
"""

import os
import re
from contextvars import ContextVar

# https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
_PARTS = {
    "Root": re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}"),
    "Parent": re.compile(r"[0-9a-f]{16}"),
    "Sampled": re.compile(r"[01]"),
}
# Lambda's runtime sets it anew for each invocation.
_OF_THE_INVOCATION = "_X_AMZN_TRACE_ID"

_of_the_message: ContextVar[str | None] = ContextVar("trace", default=None)


def follow(header: str | None) -> None:
    """Let whatever this thread, or an async task begun by it, sends from now on belong to the trace of `header`.

    None: to that of the invocation.
    """
    _of_the_message.set(header)


def current() -> str | None:
    """The header for what is sent now: that of the message being run, else the invocation's, else none."""
    return checked(_of_the_message.get()) or checked(os.environ.get(_OF_THE_INVOCATION))


def checked(header: str | None) -> str | None:
    """`header`, reduced to what every service knows; None for one without a trace: SQS would refuse the message.

    >>> checked("Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=25:3068ad7c:0;Sampled=1")
    'Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1'
    """
    given = dict(part.strip().partition("=")[::2] for part in (header or "").split(";"))
    known = {name: given[name] for name, form in _PARTS.items() if form.fullmatch(given.get(name, ""))}
    return ";".join(f"{name}={value}" for name, value in known.items()) if "Root" in known else None
