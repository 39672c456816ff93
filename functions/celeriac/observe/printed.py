"""What tasks print, as lines of JSON: a standard stream that adds the task, its id and its attempt to each line.

What is printed outside of any run goes through as it is, but in whole lines, so that no other thread's line ends up in
the middle of one.
"""

import io
import json
from datetime import UTC, datetime
from threading import get_ident
from typing import TextIO

from celeriac.model import names
from celeriac.observe.running import Run, current

# Escaped, a character takes six bytes at most, and Lambda cuts a line at 256 KiB:
# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html
LONGEST_LINE = 40_000


class Printed(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr; `name` is what its lines are called."""

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
        """Write what is kept of a line that hasn't ended: a worker that dies now must not take it along."""
        run = current()
        unended = self._unended if run is None else run.unended
        rest = unended.pop((self, get_ident()), "")
        if run is not None and rest:
            self._put(run, [rest])
        elif rest:
            self._stream.write(_encodable(rest))
        self._stream.flush()

    def put(self, run: Run, text: str) -> None:
        """Write `text` as a line of `run`, which has ended."""
        self._put(run, [text])

    def close(self) -> None:
        """Do nothing: a task that closes it would silence every other one."""

    def _put(self, run: Run | None, lines: list[str]) -> None:
        if run is not None:
            lines = [_json(piece, self._name, run) for line in lines for piece in _pieces(_encodable(line.strip("\r")))]
        else:
            lines = [_encodable(line) for line in lines]
        if lines:
            # In one call, since that is all that keeps the lines of two threads apart.
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        """Whatever else a stream can do, the real one does."""
        return getattr(self._stream, name)

    def fileno(self) -> int:
        """The real one's: what a subprocess writes there has no task."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether a person sits before it."""
        return self._stream.isatty()

    def writable(self) -> bool:
        """Always."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only here, since the real stream decides
        """The real one's."""
        return self._stream.encoding


class _Bytes(io.RawIOBase):
    """The `buffer` of a stream: bytes are taken for UTF-8, once their line has ended."""

    def __init__(self, text: Printed) -> None:
        super().__init__()
        self._text = text

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]  # typeshed: any Buffer
        """Write `data`. A character may be cut in two between two calls: both halves are kept until the line ends."""
        self._text.write(bytes(data).decode(errors="surrogateescape"))
        return len(data)

    def flush(self) -> None:
        """As the stream itself."""
        self._text.flush()

    def writable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Do nothing, as the stream itself."""


def _pieces(line: str) -> list[str]:
    """`line` in pieces that Lambda doesn't cut; nothing of an empty one."""
    return [line[start : start + LONGEST_LINE] for start in range(0, len(line), LONGEST_LINE)]


def _json(line: str, name: str, run: Run) -> str:
    """`line` as JSON. One that is an object of JSON by itself stays what it is, with the run's fields added to it.

    What it has under a name of those goes beside it: no line can pass for another run's, nor for our metrics.
    """
    own = _object(line)
    if own is not None:
        forged = {"_aws"} if _has_our_metrics(own) else set()
        if not own or ("_aws" in own and not forged):
            return line  # metrics
        taken = forged | {key for key, value in run.fields.items() if own.get(key, value) != value}
        if taken:
            renamed = {f"extra_{key}" if key in taken else key: value for key, value in own.items()}
            return json.dumps(renamed | run.fields, ensure_ascii=False)
        added = {key: value for key, value in run.fields.items() if key not in own}
        return f"{line.rstrip()[:-1]},{json.dumps(added)[1:]}" if added else line
    told = {
        "level": "INFO",
        "message": line,
        # As Lambda's filter by level wants it in the log format JSON.
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "logger": name,
        **run.fields,
    }
    return json.dumps(told, ensure_ascii=False)


def _has_our_metrics(own: dict[str, object]) -> bool:
    """Whether it is in CloudWatch's embedded metric format, and of the namespace that our alarms watch."""
    metadata = own.get("_aws")
    directives = metadata.get("CloudWatchMetrics") if isinstance(metadata, dict) else None
    return isinstance(directives, list) and any(
        isinstance(directive, dict) and directive.get("Namespace") == names.METRICS for directive in directives
    )


def _encodable(line: str) -> str:
    """`line` as UTF-8 can write it: bytes that were none, and halves of surrogate pairs, are spelled out."""
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
