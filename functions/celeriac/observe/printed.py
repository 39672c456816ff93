"""A standard stream that writes what tasks print as lines of JSON, each with the task, the id and the attempt.

Text that is printed outside of a run is written unchanged, but in whole lines, so that the lines of several threads
don't mix.
"""

import io
import json
from contextlib import suppress
from datetime import UTC, datetime
from threading import get_ident
from typing import TextIO

from celeriac.model import names
from celeriac.observe.running import RunInfo, current

# An escaped character takes at most six bytes, and Lambda cuts a line at 256 KiB:
# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html
LONGEST_LINE = 40_000


class Printed(io.TextIOBase):
    """Replaces sys.stdout or sys.stderr. Its lines name `name` as their logger."""

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__()
        self._stream = stream
        self._name = name
        self._unended: dict[tuple[object, int], str] = {}
        self.buffer = _Bytes(self)

    def write(self, text: str, /) -> int:
        """Write the lines that end in `text`, and keep the rest until its line ends."""
        run = current()
        unended = self._unended if run is None else run.unended
        place = (self, get_ident())
        *lines, rest = (unended.pop(place, "") + text).split("\n")
        if lines:
            self._put(run, lines)
        if len(rest) > LONGEST_LINE:
            self._put(run, [rest])
        elif rest:
            unended[place] = rest
        return len(text)

    def flush(self) -> None:
        """Write the kept part of a line that hasn't ended, so that it isn't lost if the worker dies now."""
        run = current()
        unended = self._unended if run is None else run.unended
        rest = unended.pop((self, get_ident()), "")
        if run is not None and rest:
            self._put(run, [rest])
        else:
            self._write(_encodable(rest))

    def put(self, run: RunInfo, text: str) -> None:
        """Write `text` as a line of `run`, which has ended."""
        self._put(run, [text])

    def close(self) -> None:
        """Do nothing: a task that closes the stream would silence all other tasks."""

    def _put(self, run: RunInfo | None, lines: list[str]) -> None:
        if run is not None:
            lines = [_json(piece, self._name, run) for line in lines for piece in _pieces(_encodable(line.strip("\r")))]
        else:
            lines = [_encodable(line) for line in lines]
        if lines:
            # One call for all lines: nothing else keeps the lines of two threads apart.
            self._write("".join(f"{line}\n" for line in lines))

    def _write(self, text: str) -> None:
        # A log that can't be written, because its disk is full or its reader gone, must not fail the task that prints.
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        """Return the real stream's attribute, for everything that this class doesn't define."""
        return getattr(self._stream, name)

    def fileno(self) -> int:
        """Return the real stream's descriptor. Lines that a subprocess writes there name no task."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether the real stream is a terminal."""
        return self._stream.isatty()

    def writable(self) -> bool:
        """Return True."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only here, since the real stream decides
        """The real stream's encoding."""
        return self._stream.encoding


class _Bytes(io.RawIOBase):
    """The `buffer` of a stream. Bytes are read as UTF-8 after their line has ended."""

    def __init__(self, text: Printed) -> None:
        super().__init__()
        self._text = text

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]  # typeshed: any Buffer
        """Write `data`. Two calls may each bring half of a character: both halves are kept until the line ends."""
        self._text.write(bytes(data).decode(errors="surrogateescape"))
        return len(data)

    def flush(self) -> None:
        """Flush the stream."""
        self._text.flush()

    def writable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing, like `Printed.close`."""


def _pieces(line: str) -> list[str]:
    """Split `line` into pieces that Lambda doesn't cut. An empty line gives no piece."""
    return [line[start : start + LONGEST_LINE] for start in range(0, len(line), LONGEST_LINE)]


def _json(line: str, name: str, run: RunInfo) -> str:
    """Return `line` as JSON. If the line is a JSON object already, the run's fields are added to it.

    A field of the line that has the name of one of the run's fields, but another value, is renamed to `extra_<name>`.
    So no line can pretend to be another run's. Metrics in Celeriac's namespace are renamed too, so no line can fake
    them.
    """
    own = _object(line)
    if own is not None:
        forged = {"_aws"} if _has_our_metrics(own) else set()
        if not own or ("_aws" in own and not forged):
            return line  # an empty object, or the task's own metrics
        taken = forged | {key for key, value in run.fields.items() if own.get(key, value) != value}
        if taken:
            renamed = {f"extra_{key}" if key in taken else key: value for key, value in own.items()}
            return json.dumps(renamed | run.fields, ensure_ascii=False)
        added = {key: value for key, value in run.fields.items() if key not in own}
        return f"{line.rstrip()[:-1]},{json.dumps(added)[1:]}" if added else line
    told = {
        "level": "INFO",
        "message": line,
        # The form that Lambda's filter by log level needs with the log format JSON.
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "logger": name,
        **run.fields,
    }
    return json.dumps(told, ensure_ascii=False)


def _has_our_metrics(own: dict[str, object]) -> bool:
    """Whether the object has CloudWatch's embedded metric format and the namespace that Celeriac's alarms watch."""
    metadata = own.get("_aws")
    directives = metadata.get("CloudWatchMetrics") if isinstance(metadata, dict) else None
    return isinstance(directives, list) and any(
        isinstance(directive, dict) and directive.get("Namespace") == names.METRICS for directive in directives
    )


def _encodable(line: str) -> str:
    """Return `line` as UTF-8 can write it: invalid bytes and halves of surrogate pairs become escapes."""
    if line.isascii():
        return line
    try:
        return line.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:
        return line.encode(errors="backslashreplace").decode()


def _object(line: str) -> dict[str, object] | None:
    if not (line.startswith("{") and line.rstrip().endswith("}")):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
