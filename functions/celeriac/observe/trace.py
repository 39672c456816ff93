"""AWS X-Ray's trace header, passed from message to message without the X-Ray SDK.

Lambda and SQS write the traces themselves. A message that Celeriac sends must only name the trace that it belongs to.
"""

import os
import re
from contextvars import Context, ContextVar

# https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
_PARTS = {
    "Root": re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}"),
    "Parent": re.compile(r"[0-9a-f]{16}"),
    "Sampled": re.compile(r"[01]"),
}
# Lambda's runtime sets this variable for each invocation.
_OF_THE_INVOCATION = "_X_AMZN_TRACE_ID"

_of_the_message: ContextVar[str | None] = ContextVar("trace", default=None)


def follow(header: str | None) -> None:
    """Set the trace for everything that this thread, or an async task that it starts, sends from now on.

    `header` names the trace. None means the trace of the invocation.
    """
    _of_the_message.set(header)


def followed_in(context: Context) -> str | None:
    """Return the header that `follow` was last given in `context`."""
    return context.get(_of_the_message)


def current() -> str | None:
    """Return the header for a message that is sent now: the running message's, else the invocation's, else None."""
    return checked(_of_the_message.get()) or checked(os.environ.get(_OF_THE_INVOCATION))


def checked(header: str | None) -> str | None:
    """Return `header`, reduced to the parts that every service knows.

    Returns None for a header without a trace, because SQS would refuse a message that carries it.

    >>> checked("Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=25:3068ad7c:0;Sampled=1")
    'Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1'
    """
    if not header:
        return None
    given = dict(part.strip().partition("=")[::2] for part in header.split(";"))
    known = {name: given[name] for name, form in _PARTS.items() if form.fullmatch(given.get(name, ""))}
    return ";".join(f"{name}={value}" for name, value in known.items()) if "Root" in known else None
