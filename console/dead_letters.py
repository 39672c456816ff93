"""`celeriac dlq list` and `dlq show`: what is dead, and why."""

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Annotated, Any

import typer
from rich.console import Console

from celeriac.dead_letter import DeadLetter
from console import known
from console.filters import died_at, filter_of, kind_of, reason_of
from console.letters import Pass, Taken, depth, hidden_for, progress, say_missed
from console.mistakes import Mistake
from console.options import Contains, Json, Limit, OfError, OfTask, QueueName, Since, Until
from console.text import line, printable

EXAMPLE_CHARACTERS = 160


@dataclass(slots=True)
class Kind:
    """Letters that failed alike."""

    fingerprint: str
    task: str
    reason: str
    count: int
    first: datetime
    last: datetime
    most_attempts: int
    example_id: str
    example: str

    def add(self, letter: DeadLetter) -> None:
        """Count one more."""
        self.count += 1
        self.first = min(self.first, died_at(letter))
        self.last = max(self.last, died_at(letter))
        self.most_attempts = max(self.most_attempts, _attempts(letter))


class Kinds:
    """Letters counted by kind, by several threads: as much memory as there are kinds."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}
        self._lock = Lock()

    def add(self, letters: Iterable[DeadLetter]) -> None:
        """Count them."""
        with self._lock:
            for letter in letters:
                kind = kind_of(letter)
                if kind in self._kinds:
                    self._kinds[kind].add(letter)
                else:
                    died, failure = died_at(letter), letter.failure
                    example = f"{failure.type}: {failure.message}" if failure is not None else ""
                    self._kinds[kind] = Kind(
                        kind, letter.task, reason_of(letter), 1, died, died, _attempts(letter), letter.id, example
                    )

    def most_first(self) -> list[Kind]:
        """Those with most letters first."""
        return sorted(self._kinds.values(), key=lambda kind: (-kind.count, kind.fingerprint))

    @property
    def total(self) -> int:
        """All letters."""
        return sum(kind.count for kind in self._kinds.values())


def list_letters(
    queue: QueueName,
    *,
    task: OfTask = None,
    error: OfError = None,
    since: Since = None,
    until: Until = None,
    contains: Contains = None,
    limit: Limit = None,
    json_: Json = False,
) -> None:
    """Show dead letters, those that failed alike as one line. Reading takes nothing away.

    Example: celeriac dlq list payments --since 2h
    """
    found = known.queue(queue)
    wanted = filter_of(task, error, since, until, contains)
    kinds, total, lock = Kinds(), depth(found), Lock()
    reading = Pass(found, hidden=hidden_for(total))
    with progress("reading", total) as advance:

        def visit(taken: Sequence[Taken]) -> set[str]:
            with lock:
                meant = [one.letter for one in taken if wanted.matches(one.letter)]
                kinds.add(meant if limit is None else meant[: limit - kinds.total])
                if limit is not None and kinds.total >= limit:
                    reading.stop()
            advance(len(taken))
            return set()

        reading.run(visit)
    show_kinds(queue, kinds, json_=json_)
    say_missed(reading)


def show_kinds(queue: str, kinds: Kinds, *, json_: bool, stderr: bool = False) -> None:
    """Print them."""
    if json_:
        typer.echo(json.dumps([_as_json(kind) for kind in kinds.most_first()]))
        return
    console = Console(highlight=False, soft_wrap=True, emoji=False, stderr=stderr)
    console.print(f"{kinds.total} dead letters of {queue}, of {len(kinds.most_first())} kinds")
    for kind in kinds.most_first():
        span = f"{kind.first:%m-%d %H:%M:%S}" + (f" to {kind.last:%m-%d %H:%M:%S}Z" if kind.count > 1 else "Z")
        console.print(
            f"\n{kind.count} {line(kind.task) or '(unreadable)'}: {line(kind.reason)}", markup=False, style="bold"
        )
        console.print(f"    kind {kind.fingerprint}, {span}, after {kind.most_attempts} attempts", markup=False)
        if kind.example:
            console.print(f"    {line(kind.example.splitlines()[0], EXAMPLE_CHARACTERS)}", markup=False)
        console.print(f"    celeriac dlq show {queue} {shlex.quote(line(kind.example_id))}", markup=False)


def show(
    queue: QueueName,
    id_: Annotated[str, typer.Argument(metavar="ID", help="The task's id, or SQS's message id.")],
    *,
    json_: Json = False,
) -> None:
    """Show one dead letter: its arguments, its failure, and where its logs are.

    Example: celeriac dlq show payments 0198f3c2-7a44-7bd1-a1c5-2f4b8f6f7a11
    """
    found = find(queue, id_)
    letter, failure = found.letter, found.letter.failure
    logs = _log_query(letter)
    if json_:
        typer.echo(json.dumps(as_json(found) | {"logs": logs}))
        return
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    console.print(line(f"{letter.task or '(unreadable)'}  {letter.id}"), markup=False, style="bold")
    console.print(
        f"{line(reason_of(letter))}, after {_attempts(letter)} attempts; kind {kind_of(letter)}", markup=False
    )
    if failure is not None and failure.first_at is not None:
        console.print(f"enqueued {failure.first_at:%Y-%m-%d %H:%M:%S}Z, died {died_at(letter):%Y-%m-%d %H:%M:%S}Z")
    console.print("\narguments" if letter.args else "\nbody")
    content = json.dumps(letter.args, indent=2, ensure_ascii=False) if letter.args else letter.body
    console.print(printable(content), markup=False)
    for name, value in letter.attributes.items():
        console.print(line(f"attribute {name}: {value.get('StringValue') or value.get('BinaryValue')!r}"), markup=False)
    if failure is not None:
        console.print(printable(f"\n{failure.type}: {failure.message}"), markup=False, style="bold")
        console.print(printable(failure.traceback), markup=False)
    if logs:
        console.print(f"\nlogs, in CloudWatch Logs Insights over {logs['log_group']}:")
        console.print(logs["query"], markup=False)


def find(queue: str, id_: str) -> Taken:
    """The dead letter of this id. Raises Mistake."""
    found: list[Taken] = []
    declared = known.queue(queue)
    total = depth(declared)
    reading = Pass(declared, hidden=hidden_for(total))
    with progress("looking for it", total) as advance:

        def visit(taken: Sequence[Taken]) -> set[str]:
            found.extend(one for one in taken if id_ in {one.letter.id, one.message_id})
            advance(len(taken))
            if found:
                reading.stop()
            return set()

        reading.run(visit)
    if not found:
        hidden = f", though {reading.missed} could not be read" if reading.missed else ""
        raise Mistake(
            f"no dead letter of {queue} has the id {id_}{hidden}: celeriac dlq list {queue} shows what there is"
        )
    return found[0]


def as_json(taken: Taken) -> dict[str, Any]:
    """A letter, for scripts and files."""
    letter, failure = taken.letter, taken.letter.failure
    return {
        "id": letter.id,
        "message_id": taken.message_id,
        "task": letter.task,
        "args": letter.args,
        "reason": reason_of(letter),
        "error": failure.type if failure else "",
        "message": failure.message if failure else "",
        "traceback": failure.traceback if failure else "",
        "attempts": _attempts(letter),
        "kind": kind_of(letter),
        "died_at": died_at(letter).isoformat(),
        "function": failure.function if failure else "",
        "request_id": failure.request_id if failure else "",
    }


def _as_json(kind: Kind) -> dict[str, Any]:
    return {
        "kind": kind.fingerprint,
        "count": kind.count,
        "task": kind.task,
        "reason": kind.reason,
        "first": kind.first.isoformat(),
        "last": kind.last.isoformat(),
        "attempts": kind.most_attempts,
        "example_id": kind.example_id,
        "example": kind.example,
    }


def _log_query(letter: DeadLetter) -> dict[str, str]:
    failure = letter.failure
    if failure is None or not failure.function:
        return {}
    wanted = f'id = {json.dumps(line(letter.id))} or @requestId = "{failure.request_id}"'
    query = f"fields @timestamp, level, message, outcome, attempt, error | filter {wanted} | sort @timestamp"
    return {"log_group": f"/aws/lambda/{failure.function}", "query": query}


def _attempts(letter: DeadLetter) -> int:
    return letter.failure.attempts if letter.failure is not None else 0
