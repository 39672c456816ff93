"""The runs that a worker has begun and not ended."""

from collections import defaultdict

from celeriac_console.tail.lines import Line


class UnfinishedRuns:
    """The unfinished runs of each worker. Such a run has logged a line, and has not logged its outcome yet."""

    def __init__(self) -> None:
        self._of: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def follow(self, stream: str, line: Line) -> None:
        """Note a line of the worker that writes to `stream`."""
        run = f"{line.fields.get('task')} {line.fields.get('id')}"
        if "outcome" in line.fields:
            self._of[stream].pop(run, None)
        elif {"task", "id", "attempt"} <= line.fields.keys():
            self._of[stream][run] = None

    def lost(self, stream: str) -> str:
        """The unfinished runs of the worker that wrote to `stream` and died. They are returned once, then forgotten."""
        return ", ".join(self._of.pop(stream, ()))
