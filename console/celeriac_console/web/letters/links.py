"""Links into the AWS console: a letter's logs and its trace."""

import re
import struct
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from celeriac.observe import trace
from celeriac_console.dlq.letter import died_at
from celeriac_console.dlq.logs import log_query
from celeriac_console.dlq.queue_reader import Taken

_AROUND = timedelta(minutes=15)
_PLAIN = re.compile(r"[A-Za-z0-9_.-]")
_LAST_SHORT = 0xFF


def logs(one: Taken, region: str) -> str:
    """Logs Insights with the letter's query, from its enqueueing until after its death. Empty if there is no query."""
    found, failure = log_query(one.letter), one.letter.failure
    if not found or failure is None:
        return ""
    died = died_at(one.letter)
    start, end = (failure.first_at or died) - _AROUND, died + _AROUND
    detail = (
        f"~(end~'{_encoded(_iso(end))}~start~'{_encoded(_iso(start))}~timeType~'ABSOLUTE~tz~'UTC"
        f"~editorString~'{_encoded(found['query'])}~source~(~'{_encoded(found['log_group'])}))"
    )
    return f"{_home(region)}#logsV2:logs-insights$3FqueryDetail$3D{detail}"


def trace_of(one: Taken, region: str) -> str:
    """The trace in X-Ray; empty if the message belongs to none."""
    header = trace.checked(one.message["Attributes"].get("AWSTraceHeader"))
    return f"{_home(region)}#xray:traces/{header.partition(';')[0].removeprefix('Root=')}" if header else ""


def _home(region: str) -> str:
    domain = "console.aws.amazon.com"
    if region.startswith("cn-"):
        domain = "console.amazonaws.cn"
    elif region.startswith("us-gov-"):
        domain = "console.amazonaws-us-gov.com"
    return f"https://{region}.{domain}/cloudwatch/home?region={quote(region)}"


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def _encoded(text: str) -> str:
    """A text in JSURL, the console's own form of a value in a URL: `*20` for a space, `**20ac` for a euro sign."""
    return "".join(each if _PLAIN.fullmatch(each) else "".join(map(_unit, _units(each))) for each in text)


def _units(character: str) -> tuple[int, ...]:
    """The numbers by which JavaScript knows a character."""
    raw = character.encode("utf-16-le", "surrogatepass")
    return struct.unpack(f"<{len(raw) // 2}H", raw)


def _unit(number: int) -> str:
    return f"*{number:02x}" if number <= _LAST_SHORT else f"**{number:04x}"
