"""Faults to plant in Celeriac's own code, at least three of different kinds for each promise.

`make sabotage` plants one after the other, and shows which harness finds it. A fault that none finds is a gap.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celeriac.aws import payloads, scheduler
from celeriac.consume import (
    claiming,
    decide,
    handler,
    outage,
    prepare,
    received,
    run,
    settle,
    sqs_record,
    unrun,
    visiting,
)  # fmt: skip
from celeriac.enqueue import outbox_row
from celeriac.leases import claim_write, lease, store, visit
from celeriac.model import retry
from celeriac.relay import mark, publish, sweeper
from tests.support.sabotage import plant

PROMISES = {
    1: "no accepted message is lost",
    2: "effects of a transaction happen once",
    3: "one bad message harms only itself",
    4: "nothing is retried in vain or in lockstep",
    5: "nothing fails silently",
    6: "a payload is never logged",
    7: "a message's life is bounded",
    8: "an outage charges nobody",
    9: "two releases side by side lose nothing",
    10: "who may send to one queue can do nothing else",
}


@dataclass(frozen=True)
class Plant:
    """One fault."""

    promise: int
    kind: str
    function: Callable[..., Any]
    line: str
    """A part of the function's text that occurs once."""
    fault: str
    """What stands there instead."""

    def plant(self, monkeypatch: Any) -> None:
        """Let the function have the fault. Fails if the function has no such line any more."""
        plant(monkeypatch, self.function, self.line, self.fault)


PLANTS = {
    "acknowledges, then settles": Plant(
        1,
        "order swapped",
        handler.Batch._settle,
        "settled = settle(outcome, received)",
        "self._delete([sqs_record]); settled = settle(outcome, received)",
    ),
    "acknowledges, then sends the retry of a task without a record": Plant(
        1,
        "order swapped",
        handler.Batch._settle,
        "settled = settle(outcome, received)",
        "not isinstance(outcome, Dead) and getattr(outcome, 'lease', '') is None and "
        "self._delete([sqs_record]); settled = settle(outcome, received)",
    ),
    "acknowledges in an outage": Plant(
        1,
        "acknowledged without a send",
        handler.Batch._hand_back,
        "Settled(acknowledged=False, again_at=until)",
        "Settled(acknowledged=True)",
    ),
    "marks rows, then publishes": Plant(
        1, "order swapped", sweeper._Sweep._publish, "swept = publish(rows)", "mark(rows, []); swept = publish(rows)"
    ),
    "takes a retry for an earlier schedule": Plant(
        1, "name not unique", scheduler._run, "[turn, message.enqueued_at.isoformat()]", "[turn]"
    ),
    "lets a row expire that waits": Plant(
        1,
        "lifetime forgotten",
        outbox_row.new_row,
        "WAITING: shard(pk), **content",
        'WAITING: shard(pk), "expires_at": int(datetime.now(UTC).timestamp()), **content',
    ),
    "does not renew a payload": Plant(
        1,
        "lifetime forgotten",
        payloads.renewed,
        "if read_key(key, {ARGS, SCHEDULED}, queue_of(queue_name)).is_fresh(_today(), scheduled=long):",
        "if True:",
    ),
    "takes a live lease over": Plant(
        2,
        "condition removed",
        lease._claim_in_progress,
        ">= dt.datetime.now(dt.UTC)",
        "< dt.datetime.fromtimestamp(0, dt.UTC)",
    ),
    "takes a lease over after another": Plant(
        2, "lock widened", claim_write._same, '"#token = :after AND #status', '"#token <> :after OR #status'
    ),
    "commits without its lease": Plant(
        2,
        "condition removed",
        store.FencedStore._completion,
        '"ConditionExpression": "#token = :token AND #status = :inprogress",',
        '"ConditionExpression": "#token = :token OR #status <> :inprogress OR #status = :inprogress",',
    ),
    "runs a copy of an earlier attempt": Plant(
        2, "check left out", lease._claim_in_progress, "if ran > (wanted.attempt, wanted.step):", "if False:"
    ),
    "ends a lease before its worker": Plant(
        2,
        "time bound halved",
        lease._put,
        "int(left / dt.timedelta(milliseconds=1))",
        "int(left / dt.timedelta(milliseconds=2))",
    ),
    "records a failure without its lease": Plant(
        2,
        "condition removed",
        store.FencedStore.fail,
        'ConditionExpression="#token = :token AND #status = :inprogress"',
        'ConditionExpression="#token = :token OR #status = :inprogress OR attribute_exists(id)"',
    ),
    "lets an error of one message stop its batch": Plant(
        3,
        "errors not caught",
        handler.Batch._settle,
        "except Exception as error:  # noqa: BLE001 - AWS can't be reached",
        "except MemoryError as error:  # noqa: BLE001 - AWS can't be reached",
    ),
    "runs suspects beside others": Plant(
        3, "guard removed", claiming._claim, "if verdict is None and not received.alone:", "if False:"
    ),
    "lets a malformed row stop its shard": Plant(
        3, "errors not caught", publish._parcels, "except Exception as error:", "except MemoryError as error:"
    ),
    "lets one refused row stop the marking": Plant(
        3, "guard removed", mark._write, "if len(marks) > 1 and is_of_entry(refused):", "if False:"
    ),
    "tries once more than the policy": Plant(
        4,
        "limit moved",
        retry.Backoff.decide,
        "if charged and attempt >= self.attempts:",
        "if charged and attempt > self.attempts:",
    ),
    "retries in lockstep": Plant(4, "randomness removed", retry.Backoff.decide, "_random.uniform(-1, 1)", "0"),
    "retries what was rejected": Plant(
        4, "check left out", retry.Backoff.decide, "if isinstance(error, Reject):", "if False:"
    ),
    "sends dead letters without a reason": Plant(
        5,
        "value left out",
        settle._dead_letter,
        "msgspec.structs.replace(dead.message, failure=dead.failure, **NEWCOMER)",
        "dead.message",
    ),
    "leaves the last receive to SQS": Plant(
        5, "check left out", outage.is_over, "received.sqs_record.receives >= received.queue.receive_limit", "False"
    ),
    "retries on FIFO until SQS forgets": Plant(
        5, "check left out", decide._decide, "if queue.fifo and is_last:", "if False:"
    ),
    "logs the text of an error": Plant(
        6, "text instead of its kind", handler._log_unsettled, "error_type(error)", "str(error)"
    ),
    "logs the text of a policy's error": Plant(
        6, "text instead of its kind", decide._decide_by_policy, "error_type(broken)", "str(broken)"
    ),
    "logs the text of a lost queue's error": Plant(
        6, "text instead of its kind", publish._unsent, '"error": error_type(error)', '"error": str(error)'
    ),
    "trusts a date of the first send": Plant(
        7,
        "date trusted",
        sqs_record.read,
        "min(first_sent_in(found, newer=False) or sent_at, sent_at)",
        "first_sent_in(found, newer=False) or sent_at",
    ),
    "trusts a due date": Plant(
        7,
        "date trusted",
        received.as_it_came,
        "min(_zoned(message.due_at), sqs_record.sent_at + MAX_DELAY)",
        "_zoned(message.due_at)",
    ),
    "never gives up a body that kills": Plant(
        7, "limit removed", visiting.begin, "if died.deaths_alone >= MOST_DEATHS_ALONE:", "if False:"
    ),
    "forgets a visit at once": Plant(
        7, "lifetime forgotten", visit.begin, "(now + queue.record_retention)", "(now + 0 * queue.record_retention)"
    ),
    "forgets with each copy when a message was redriven": Plant(
        7,
        "date of the copy",
        prepare._addressed,
        "redriven_at = received.sqs_record.first_sent_at",
        "redriven_at = received.sqs_record.sent_at",
    ),
    "waits for a newer release for ever": Plant(
        7, "limit removed", unrun._wait_or_die, "if age <= received.queue.patience:", "if True:"
    ),
    "closes a visit once": Plant(
        8, "write not insisted on", visiting.close, "while_there_is_time(begun.close, received.worker)", "begun.close()"
    ),
    "records a success once": Plant(
        8,
        "write not insisted on",
        run._called,
        "while_there_is_time(lambda: held.complete(kept, not_kept=not_kept), worker)",
        "held.complete(kept, not_kept=not_kept)",
    ),
    "leaves an unanswered claim": Plant(
        8, "undo left out", claiming.claimed, "while_there_is_time(lost.undo, received.worker)", "pass"
    ),
    "charges a worker's death as an attempt": Plant(
        8, "charged", lease._lease, "else wanted.attempt", "else wanted.attempt + attempted.deaths"
    ),
    "comes back at once in an outage": Plant(
        8,
        "wait removed",
        outage.wait,
        "growing(sqs_record.receives, LONGEST_WAIT)",
        "timedelta()",
    ),
    "buries what a newer release may read": Plant(
        9, "wait removed", unrun._wait_or_die, "if age <= received.queue.patience:", "if False:"
    ),
    "calls a newer version malformed": Plant(
        9,
        "wrong branch",
        prepare.prepared,
        "return None, newer(error, received)",
        "return None, Dead(None, failure(Reason.MALFORMED, error, sqs_record, received))",
    ),
    "forgets subscribers of a newer release": Plant(
        9, "check left out", publish.publish, "unknown_subscribers(", "frozenset() and unknown_subscribers("
    ),
    "runs the tasks of other queues": Plant(
        10, "check left out", prepare._checked, "if not task.runs_from(queue):", "if False:"
    ),
    "reads any object of the bucket": Plant(
        10, "check left out", payloads._load, "problem = key.problem_of(content)", "problem = ''"
    ),
    "brings back a letter that is not the last": Plant(
        10,
        "word of a stranger believed",
        lease._brings_back,
        "return (failure.last_at, failure.request_id)",
        "return True or (failure.last_at, failure.request_id)",
    ),
}
"""What the workers do with the fault -> the fault."""
