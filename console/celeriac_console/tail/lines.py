"""Turn one event of a function's log into text for a person. The line is of Celeriac, of a task or of Lambda itself.

Lambda writes its own lines as text or as JSON: the function's log format decides. After a success they add nothing to
the line of the attempt, so they are left out. All other lines are shown, also lines of unknown form.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

# Lambda's own lines about healthy workers and invocations.
QUIET = re.compile(
    r"(START RequestId: |END RequestId: |INIT_START |RESTORE_START |RESTORE_RUNTIME_DONE|EXTENSION\t|TELEMETRY\t|LOGS\t"
    r"|XRAY TraceId: )"
)
# Lambda's guess at the cause of an error. The next line has the error.
GUESS = "LAMBDA_WARNING: Unhandled exception"
REPORT = re.compile(r"(INIT_|RESTORE_)?REPORT ")
# A field such as `Status: timeout` or `Max Memory Used: 512 MB`. A tab or the end of the line ends it.
REPORTED = re.compile(r"([A-Z][A-Za-z ]+): ([^\t\n]*[^\s])")
# A logged line as Lambda's runtime client writes it: [WARNING] <tab> time <tab> request <tab> message.
LOGGED = re.compile(r"\[([A-Z]+)\]\t(\S+Z)\t(\S*)\t(.*)", re.DOTALL)
RAISED = re.compile(r"\[ERROR\] (.*)", re.DOTALL)
# `Task timed out after 3.00 seconds`, `Error: Runtime exited with error: signal: killed`, and the local cloud's line.
DYING = re.compile(r"Task timed out after|Runtime exited|Worker process died|\bRuntime\.[A-Z]\w+")
HEADING = "Traceback (most recent call last):"


# The fields of a JSON line that hold a traceback: Powertools' own, and that of a failed attempt.
RAISED_FIELDS = ("exception", "error_traceback")


@dataclass(frozen=True, slots=True)
class Line:
    """A line to show."""

    message: str
    more: str = ""
    """Text for the lines below the message, such as a traceback."""
    level: str = "INFO"
    timestamp: str = ""
    """The time that the line itself gives; empty if it gives none."""
    fields: dict[str, Any] = field(default_factory=dict)
    """All other fields by name. Lines of a run have `task`, `id` and `attempt`."""
    is_death: bool = False
    """Whether the line reports that a worker died. Its unfinished runs died with it."""


def read(text: str) -> Line | None:
    """The line to show for an event; None if it is not shown. Pure, and never raises."""
    text = text.strip("\r\n \0").replace("\r", "\n").replace("\u00a0", " ")
    try:
        found = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        found = None
    return _of_json(found, text) if isinstance(found, dict) else _of_text(text)


def _of_json(line: dict[str, Any], text: str) -> Line | None:
    kind = line.get("type")
    if "_aws" in line:
        return None  # metrics
    if isinstance(kind, str) and kind.startswith("platform."):
        return _of_platform(kind.removeprefix("platform."), line)
    level, timestamp = str(line.pop("level", "INFO")).upper(), str(line.pop("timestamp", ""))
    if "message" in line:
        message = line.pop("message")
        if str(message).startswith(GUESS):
            return None
        message = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
        more = "\n".join(str(line[name]) for name in RAISED_FIELDS if line.get(name))
        return Line(message, more, level, timestamp, line)
    if "errorMessage" in line or "errorType" in line:
        error = f"{line.get('errorType', '')}: {line.get('errorMessage', '')}"
        stack = line.get("stackTrace")
        more = "".join(str(entry) for entry in stack) if isinstance(stack, list) else ""
        return _death(error, more, timestamp, line.get("requestId"))
    return Line(text, "", level, timestamp, {name: line[name] for name in ("task", "id", "attempt") if name in line})


def _of_platform(kind: str, line: dict[str, Any]) -> Line | None:
    record = line.get("record")
    timestamp = str(line.get("time") or line.get("timestamp") or "")
    if not isinstance(record, dict):
        return _death(str(record), "", timestamp, None) if kind == "fault" else None
    if kind == "logsDropped":
        return Line(f"Lambda dropped {record.get('droppedRecords')} lines of this log", "", "WARNING", timestamp)
    metrics = record.get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    return _report(
        _PHASES.get(kind, kind),
        {
            "Status": str(record.get("status", "success")),
            "Error Type": str(record.get("errorType") or ""),
            "Duration": f"{metrics['durationMs']} ms" if "durationMs" in metrics else "",
            "Memory Size": f"{metrics.get('memorySizeMB', '')} MB",
            "Max Memory Used": f"{metrics.get('maxMemoryUsedMB', '')} MB",
            "RequestId": str(record.get("requestId", "")),
        },
        timestamp,
    )


_PHASES = {
    "report": "an invocation ended",
    "runtimeDone": "the handler ended",
    "initReport": "a worker's start ended",
    "initRuntimeDone": "the loading of the handler ended",
    "restoreReport": "a worker's restore ended",
    "restoreRuntimeDone": "a worker's restore ended",
    "": "an invocation ended",
    "INIT_": "a worker's start ended",
    "RESTORE_": "a worker's restore ended",
}


def _of_text(text: str) -> Line | None:
    if not text or QUIET.match(text):
        return None
    if report := REPORT.match(text):
        return _report(_PHASES[report[1] or ""], dict(REPORTED.findall(text[report.end() :])), "")
    if logged := LOGGED.fullmatch(text):
        level, timestamp, request_id, message = logged.groups()
        if message.startswith(GUESS):
            return None
        return Line(message, "", level, timestamp, _request(request_id))
    if raised := RAISED.fullmatch(text):
        error, _, stack = raised[1].partition("\n")
        # Lambda writes the heading of a traceback even if no traceback follows.
        return _death(error, "" if stack == HEADING else stack, "", None)
    return _death(text, "", "", None) if DYING.search(text) else Line(text)


def _report(phase: str, told: dict[str, str], timestamp: str) -> Line | None:
    """The line for an invocation or a worker's start that failed or used all its memory; None for any other."""
    status = told.get("Status") or "success"
    error, duration = told.get("Error Type", ""), told.get("Duration") or told.get("Init Duration", "")
    used, size = _megabytes(told.get("Max Memory Used")), _megabytes(told.get("Memory Size"))
    is_full = used is not None and size is not None and used >= size
    if status == "success" and not error and not is_full:
        return None
    memory = f"{used} of {size} MB of memory used{', all of it' if is_full else ''}" if used and size else ""
    outcome = " ".join(part for part in (status, error) if part)
    message = ", ".join(
        part for part in (f"{phase}: {outcome}", f"after {duration}" if duration else "", memory) if part
    )
    fields = _request(told.get("RequestId"))
    if status == "success" and not error:
        return Line(message, "", "WARNING", timestamp, fields)
    return Line(message, "", "ERROR", timestamp, fields, is_death=True)


def _megabytes(told: str | None) -> int | None:
    number = (told or "").removesuffix(" MB")
    return int(number) if number.isdecimal() else None


def _death(message: str, more: str, timestamp: str, request_id: Any) -> Line:
    return Line(message, more, "ERROR", timestamp, _request(request_id), is_death=True)


def _request(request_id: Any) -> dict[str, Any]:
    return {"request_id": request_id} if request_id else {}
