"""What a record remembers of how its message ran, on a queue that keeps a history.

The write that ends a message also puts its record into an index, which lists what has ended. A claim takes it out
again. So a history costs no call. The index is spread over shards: a partition of an index that is written too often
makes DynamoDB refuse the writes of its table, and these are all leases.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/gsi-throttling.html
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from celeriac.leases.claim import Claim
from celeriac.leases.states import DEAD, INPROGRESS, RETRYING
from celeriac.leases.status import milliseconds
from celeriac.leases.tombstones import state_is_over
from celeriac.model.continuing import CONTINUES
from celeriac.model.failure import Failure

type Ended = Literal["succeeded", "dead", "cancelled"]
type Outcome = Literal["succeeded", "failed", "given back", "continued", "cancelled", "lost"]

ENDED: tuple[Ended, ...] = ("succeeded", "dead", "cancelled")
RUN_OF, ENDED_AT, RUNS = "run_of", "run_ended_at", "runs"
"""The index's keys, and the attempts. Nothing else in the table has them: DynamoDB takes no other type for a key."""
LISTED = ("task_id", RUNS)
"""What the index has of a record beside its keys."""

# A partition takes 1,000 writes a second, so the ends of one task in one state may come 16 times as often.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
SHARDS = 16
MOST_ATTEMPTS = 10
WORKER_CRASHED = "WorkerCrashedError"
"""The name of the error of a task whose workers died: `celeriac.consume.visiting`, a room above, raises it."""
# Characters. Each write of a record costs a unit for each KB.
_MOST_ERROR = 100


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One run of a task by a worker. The parts of an attempt that continues are one run."""

    attempt: int
    started_at: datetime
    ended_at: datetime
    """Of a worker that died: when its lease ended."""
    outcome: Outcome
    """failed: charged as an attempt. given back: not charged. lost: the worker died. continued: it was to go on."""
    error: str = ""
    """The error's class, with its module unless it is a builtin; or the reason, if there was no error."""
    request_id: str = ""
    """The request id of the invocation, which leads to its logs; empty for a worker that died."""


class Ending(NamedTuple):
    """A run that ends: what its claim has found and written."""

    found: Mapping[str, Any]
    claim: Claim
    token: str
    started_at: datetime
    attempt: int


def of_success(run: Ending) -> Any:
    """The attributes of a success, as DynamoDB has them; none if the queue keeps no history."""
    if not run.claim.history:
        return {}
    now = max(datetime.now(UTC), run.started_at)  # a clock may have been set back
    its = Attempt(run.attempt, run.started_at, now, "succeeded", request_id=run.claim.request_id)
    return {
        RUN_OF: _partition(run.claim.task, "succeeded", run.token),
        ENDED_AT: {"N": milliseconds(now)},
        RUNS: _text(run, its),
    }


def of_failure(run: Ending, failure: Failure, *, status: str, charged: bool) -> Any:
    """The attributes of a failed run, as DynamoDB has them; none if the queue keeps no history.

    status: that of the record after it.
    """
    if not run.claim.history:
        return {}
    now, found = datetime.now(UTC), run.found
    ended = failure.last_at or now
    # Of a run that another worker has ended, this one sends what follows. It may be the second that tries.
    has_run_elsewhere = "unsent" in found and "started_at" in found
    started = _instant(found["started_at"]) if has_run_elsewhere else run.started_at
    error = (failure.type or failure.reason)[:_MOST_ERROR]
    outcome = _outcome(failure, charged=charged)
    its = Attempt(run.attempt, min(started, ended), ended, outcome, error, failure.request_id)
    if status == DEAD and _is_a_verdict(failure, run.attempt):
        kept = {RUNS: _verdict(run, failure.reason[:_MOST_ERROR])}
    else:
        kept = {RUNS: _text(run, its)}
    if status != DEAD:
        return kept
    state: Ended = "cancelled" if failure.is_cancelled else "dead"
    return {RUN_OF: _partition(run.claim.task, state, run.token), ENDED_AT: {"N": milliseconds(now)}, **kept}


def of_take_over(found: Mapping[str, Any], claim: Claim, token: str) -> Any:
    """The attributes of a claim over the record of a worker that died, as DynamoDB has them: it may not be the last."""
    run = Ending(found, claim, token, datetime.now(UTC), claim.attempt)
    if not claim.history or _lost(run) is None:
        return {}
    return {RUNS: _written(run, _before(run))}


def of_cancel(task: str, found: Mapping[str, Any], message_id: str) -> Any:
    """The attributes of a message that was cancelled between two of its runs, as DynamoDB has them.

    found: the record as it was. There are none if it isn't this message's, which has run on a queue with a history.
    """
    if found.get("status") != RETRYING or not attempts_in(found, message_id) or state_is_over(found, datetime.now(UTC)):
        return {}
    return of_expiry(task, str(found["token"]))


def of_expiry(task: str, token: str) -> Any:
    """The attributes of a message that has expired before any run, as DynamoDB has them."""
    return {RUN_OF: _partition(task, "cancelled", token), ENDED_AT: {"N": milliseconds(datetime.now(UTC))}}


def attempts_in(record: Mapping[str, Any], message_id: str) -> tuple[Attempt, ...]:
    """The last attempts of a message, the earliest first; empty if the record has none of it."""
    holder, _, text = str(record.get(RUNS, "")).partition(" ")
    if not text or holder != message_id:
        return ()
    try:
        return msgspec.json.decode(text, type=tuple[Attempt, ...])
    except msgspec.MsgspecError:
        return ()  # a newer release wrote it


def partitions(task: str, state: Ended) -> list[str]:
    """The index's partitions of a task's runs that have ended in one way."""
    return [f"{task}#{state}#{shard}" for shard in range(SHARDS)]


def _partition(task: str, state: Ended, token: str) -> dict[str, str]:
    return {"S": partitions(task, state)[int(token, 16) % SHARDS]}


def _is_a_verdict(failure: Failure, attempt: int) -> bool:
    """Whether a dead letter's task wasn't run before it: its workers have died, or it came too late."""
    if failure.is_cancelled:
        return False
    return failure.type.endswith(WORKER_CRASHED) or failure.attempts < attempt


def _verdict(run: Ending, reason: str) -> dict[str, str]:
    """The attempts before a verdict. The last one has its reason."""
    before = _before(run)
    if before:
        before[-1] = msgspec.structs.replace(before[-1], error=before[-1].error or reason)
    return _written(run, before)


def _before(run: Ending) -> list[Attempt]:
    """The attempts before this run."""
    # The record is this worker's since its claim, so what the claim has found is what there is.
    known = [] if state_is_over(run.found, datetime.now(UTC)) else [*attempts_in(run.found, run.claim.task_id)]
    lost = _lost(run)
    return known if lost is None else [*known, lost]


def _written(run: Ending, attempts: list[Attempt]) -> dict[str, str]:
    return {"S": f"{run.claim.task_id} {msgspec.json.encode(attempts[-MOST_ATTEMPTS:]).decode()}"}


def _text(run: Ending, its: Attempt) -> dict[str, str]:
    before = _before(run)
    if before and before[-1].outcome == "continued" and before[-1].attempt == its.attempt:
        its = msgspec.structs.replace(its, started_at=before.pop().started_at)
    return _written(run, [*before, its])


def _lost(run: Ending) -> Attempt | None:
    """The run of the worker that died before this claim, if one did and ran this message."""
    found = run.found
    if found.get("status") != INPROGRESS or found.get("token") == run.token or "unsent" in found:
        return None
    if found.get("task_id") != run.claim.task_id or "started_at" not in found:
        return None
    started, ended = _instant(found["started_at"]), _instant(found.get("in_progress_expiration", 0))
    return Attempt(int(found.get("attempt", 0)), started, max(started, ended), "lost")


def _outcome(failure: Failure, *, charged: bool) -> Outcome:
    if failure.reason == CONTINUES:
        return "continued"
    if failure.is_cancelled:
        return "cancelled"
    return "failed" if charged else "given back"


def _instant(stored: str | int) -> datetime:
    return datetime.fromtimestamp(int(stored) / 1000, UTC)
