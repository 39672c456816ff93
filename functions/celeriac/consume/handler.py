"""The consumer: an SQS batch in, its partial failures out.

The handler raises for an event that isn't a batch. Exceptions that end the process pass through it. It raises no other
error.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from celeriac.aws import visibility
from celeriac.aws.client import calls_end_by, error_code
from celeriac.consume import following, hooked, note_changes, outage, suspects
from celeriac.consume.admission.admit import Flow
from celeriac.consume.admission.copies_sent import Copies
from celeriac.consume.debouncing import Gathering
from celeriac.consume.outcome import Dead, HandedBack, Outcome, RunAlone
from celeriac.consume.received import Received, Worker, failure
from celeriac.consume.report import Tally, log_outcome
from celeriac.consume.run import run
from celeriac.consume.settle import Settled, settle
from celeriac.consume.sqs_record import SqsRecord, queue_of, read, within_retention
from celeriac.declare import registry
from celeriac.execute import ending
from celeriac.execute.call import TaskCalls
from celeriac.execute.threads import Threads
from celeriac.hooks import broken, registered
from celeriac.leases import watch
from celeriac.leases.held import Held
from celeriac.leases.watch import Watch
from celeriac.model import foreign_events, notice, settings
from celeriac.model.failure import error_place, error_type
from celeriac.model.message import Message
from celeriac.model.queue import MAX_IN_FLIGHT, MAX_VISIBILITY, Queue
from celeriac.model.reason import Reason
from celeriac.observe import metrics, trace
from celeriac.observe.log import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

# The share of the margin after which the handler answers, even if threads still run.
ANSWER_BEFORE = 0.75
# The time that notes of dead letters may take at an invocation's end.
NOTING = timedelta(seconds=1)
# The share of the rest of an invocation for which its end waits to see whether the event loop still turns.
LOOP_MAY_TAKE = 0.5
NOT_YET = Settled(acknowledged=False)


def handler(event: Mapping[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Run every message of the batch, each independently, and name the messages that SQS is to deliver again.

    Raises WrongTriggerError for an event that isn't a batch of a queue: Lambda then counts an error and retries the
    event. Without the error the event would look done.
    """
    if (wrong := foreign_events.wrong_trigger(event)) is not None:
        raise foreign_events.WrongTriggerError(f"this function takes batches from its SQS queue, and {wrong}")
    raws: Sequence[Mapping[str, Any]] = event.get("Records", [])
    batch = Batch(raws, context)
    with calls_end_by(batch.ends_at), watch.running(batch.watch):
        batch.run()
        batch.end_worker_if_useless()
    return {"batchItemFailures": [{"itemIdentifier": i} for i in batch.unacknowledged]}


class Batch:
    """One invocation's messages. They run in parallel; messages that may crash their worker then run one by one.

    raws: records of Lambda's event.
    lease: how long leases last, outside of Lambda: whoever gives it calls `stay` more often than that. None in Lambda,
    where they last to the deadline.
    """

    def __init__(
        self, raws: Sequence[Mapping[str, Any]], context: "LambdaContext", *, lease: timedelta | None = None
    ) -> None:
        self._begun: dict[str, bool] = {}
        """By message. False for what was given back: it doesn't begin, and doesn't stay invisible."""
        self._settled: dict[str, Settled] = {raw["messageId"]: NOT_YET for raw in raws}
        self._sqs_records: list[tuple[SqsRecord, Queue]] = []
        self._suspects: list[tuple[SqsRecord, Queue]] = []
        self._deleted: set[str] = set()
        self._note_changes: list[note_changes.Change] = []
        self._tally = Tally(context.function_version)
        self._may_end = False
        self._ended: dict[str, tuple[Outcome, Message | None, Received, float]] = {}
        queues, stage = registry.queues(), settings.stage()
        for raw in raws:
            try:
                sqs_record = read(raw)
                queue = queue_of(sqs_record, queues, stage)
                self._sqs_records.append((within_retention(sqs_record, queue), queue))
            except Exception as error:  # noqa: BLE001 - not an SQS record of a known queue: SQS keeps it
                _log_unsettled(raw["messageId"], error)
        self._received_at = datetime.now(UTC)
        left = timedelta(milliseconds=context.get_remaining_time_in_millis())
        timeout = self._sqs_records[0][1].timeout if self._sqs_records else left
        # Before the messages are read for their limits, which takes its time for 10,000 of them.
        self._worker = Worker(
            context.function_name,
            context.aws_request_id,
            deadline=datetime.now(UTC) + left,
            margin=min(timeout / 10, timedelta(seconds=1)),
        )
        if lease is not None:
            self._worker.held = Held(lease, self._worker.deadline)
        self._flow = Flow(self._sqs_records)
        self._copies = Copies(self._settled, self._flow.only_runs)
        self._gathering = Gathering(self._sqs_records)
        self._flow.before_a_body = self._copies.send

    @property
    def ends_at(self) -> datetime:
        """When everything but the answer must be done."""
        return self._worker.deadline - self._worker.margin * (1 - ANSWER_BEFORE)

    @property
    def watch(self) -> Watch:
        """The runs that may be cancelled."""
        return self._worker.watch

    @property
    def unacknowledged(self) -> list[str]:
        """The ids of the messages that SQS is to deliver again."""
        return [message_id for message_id, settled in self._settled.items() if not settled.acknowledged]

    def run(self) -> None:
        """Run all messages, then tell SQS when to deliver the handed-back ones again."""
        in_time = self._side_by_side(self._sqs_records, alone=len(self._sqs_records) == 1)
        self._copies.send()
        in_time = in_time and self._one_by_one()
        self._copies.send()
        self._flow.close()
        if in_time and (again := self._again()):
            _in_time(_showing_again(self._sqs_records[0][0].queue_name, again), self.ends_at - datetime.now(UTC))
        self._tally.flush()
        hooks = registered.of_application()
        if in_time and self._ended and (hooks.after_outcome or hooks.on_dead_letter):
            in_time = self._tell_of_those_that_came_again()
        self._may_end = in_time
        metrics.write_failed_hooks(broken.take_count())
        if self._note_changes and in_time:
            # All messages are settled by now. If the table can't be reached, the answer is a second late at most.
            _in_time(note_changes.noting(self._note_changes), min(NOTING, self._worker.left))

    def end_worker_if_useless(self) -> None:
        """End the process if no later invocation should have it: Lambda, or who runs it elsewhere, starts another.

        Lambda counts this invocation as failed and drops its answer. So SQS is told before what the answer would say.
        If it can't be told, the worker answers, and ends after a later invocation.
        """
        if notice.ends_at is not None:
            return  # it ends in any case, and in order
        left = self._worker.deadline - datetime.now(UTC)
        why = ending.useless(left * LOOP_MAY_TAKE)
        if why is not None and self._may_end and self.delete_done():
            logger.error("the worker ends, another one is to start", extra={"why": why})
            ending.end()

    def _side_by_side(self, pairs: Sequence[tuple[SqsRecord, Queue]], *, alone: bool) -> bool:
        """Run lanes in parallel, each in its order; messages that must run alone are added to the suspects."""
        if not pairs:
            return True
        lanes: dict[str, list[tuple[SqsRecord, Queue]]] = defaultdict(list)
        # The messages of a FIFO group form one lane. Any other message is a lane by itself, or shares places.
        for sqs_record, queue in pairs if pairs[0][1].fifo else ():
            lanes[sqs_record.group or sqs_record.message_id].append((sqs_record, queue))
        each = list(lanes.values()) or self._flow.lanes(pairs)
        return self._run_lanes([self._lane(lane, alone=alone) for lane in each], pairs[0][1])

    def _lane(self, lane: Sequence[tuple[SqsRecord, Queue]], *, alone: bool) -> TaskCalls[None]:
        """Run messages one after another. The rest of a FIFO group waits behind a message that isn't acknowledged."""
        for position, (sqs_record, queue) in enumerate(lane):
            if not self._begins(sqs_record):
                return  # its followers are given back too, and none of them may overtake it
            settled = yield from self._settle(sqs_record, queue, alone=alone)
            if isinstance(settled, RunAlone):
                self._suspects.append((replace(sqs_record, deaths_alone=settled.deaths_alone), queue))
            else:
                if settled.copy is None:  # else it is marked when its copy is sent, maybe by another lane
                    self._settled[sqs_record.message_id] = settled
                if sqs_record.is_first_receive:
                    yield from self._tell_hooks(sqs_record.message_id)
            if queue.fifo and (isinstance(settled, RunAlone) or not settled.acknowledged):
                # The followers become visible at once, but SQS delivers none of the group before this message.
                for follower, _ in lane[position + 1 :]:
                    self._settled[follower.message_id] = Settled(acknowledged=False, again_at=datetime.now(UTC))
                return

    def _one_by_one(self) -> bool:
        """Run each suspect alone. Finished messages are acknowledged first, so that a crash can't affect them."""
        waiting = suspects.in_order(self._suspects)
        while waiting := [suspect for suspect in waiting if not self._replaced(*suspect)]:
            suspect, *waiting = waiting
            if not self.delete_done():
                break  # a crash would make finished messages run again; SQS delivers the suspects again
            self._tally.flush()
            if not self._run_lanes([self._lane([suspect], alone=True)], suspect[1]):
                return False
        return True

    def _replaced(self, sqs_record: SqsRecord, queue: Queue) -> bool:
        """Whether a fresh copy has replaced a message that waited too long behind crashing messages."""
        copy = suspects.tired_of_waiting(sqs_record, queue)
        if copy is None:
            return False
        try:
            self._settled[sqs_record.message_id] = settle(copy, Received(sqs_record, queue, self._worker, alone=False))
        except Exception as error:  # noqa: BLE001 - AWS can't be reached: the message waits on
            _log_unsettled(sqs_record.message_id, error)
        return self._settled[sqs_record.message_id].acknowledged

    def _run_lanes(self, lanes: list[TaskCalls[None]], queue: Queue) -> bool:
        """Run lanes to their ends. Returns whether all of them ended while there was time to answer."""
        limits = [task.timeout for task in registry.tasks.values() if task.timeout and task.runs_from(queue)]
        left = self._worker.left
        # Most of the margin is for settling tasks that overran, the rest is for the answer. After a late answer SQS
        # would deliver finished messages again, too.
        limit = left + self._worker.margin * ANSWER_BEFORE
        # So the watch needn't be woken for each call of a hook.
        hooks = [hooked.LONGEST, queue.timeout / hooked.SHARE] if registered.of_application().run_in_workers else []
        shortest = min([left, *limits, *hooks])
        in_time = Threads(
            lanes,
            queue.concurrency,
            shortest=shortest,
            limit=limit,
            ahead=not queue.fifo,
            looks=self.watch,
        ).run()
        if not in_time:
            logger.error("out of time while settling, unsettled messages will be delivered again")
        return in_time

    def stay(self, length: timedelta) -> bool:
        """Let the messages stay invisible, and the leases last, for this long from now. Another thread may call this.

        Messages that are settled are acknowledged instead. Returns whether AWS has done it all.
        """
        # A message that stays invisible meets no other worker, whatever becomes of its lease.
        is_hidden = self._hide(length)
        is_held = self._worker.held is None or self._worker.held.renew()
        return self.delete_done() and is_hidden and is_held

    def _hide(self, length: timedelta) -> bool:
        now = datetime.now(UTC)
        # Beyond that, SQS refuses the call for all of them.
        until = min(now + length, self._received_at + MAX_IN_FLIGHT)
        kept = [
            (sqs_record.receipt, until)
            for sqs_record, _ in self._sqs_records
            if not self._settled[sqs_record.message_id].acknowledged and self._begun.get(sqs_record.message_id, True)
        ]
        if not kept or until <= now:
            return True
        return visibility.show_again(self._sqs_records[0][0].queue_name, kept)

    def give_back(self) -> None:
        """Let SQS deliver at once what has not begun; it won't begin any more. Another thread may call this."""
        now = datetime.now(UTC)
        unbegun = [record for record, _ in self._sqs_records if not self._begun.setdefault(record.message_id, False)]
        if unbegun:
            visibility.show_again(unbegun[0].queue_name, [(record.receipt, now) for record in unbegun])

    def _begins(self, sqs_record: SqsRecord) -> bool:
        """Whether a message may begin: it was not given back."""
        return self._begun.setdefault(sqs_record.message_id, True)

    def delete_done(self) -> bool:
        """Acknowledge finished messages now, instead of with the answer. Returns whether SQS deleted all of them."""
        done = [sqs_record for sqs_record, _ in self._sqs_records if self._settled[sqs_record.message_id].acknowledged]
        return self._delete([sqs_record for sqs_record in done if sqs_record.message_id not in self._deleted])

    def _delete(self, records: Sequence[SqsRecord]) -> bool:
        if records and not visibility.delete(records[0].queue_name, [sqs_record.receipt for sqs_record in records]):
            return False
        self._deleted.update(sqs_record.message_id for sqs_record in records)
        return True

    def _settle(self, sqs_record: SqsRecord, queue: Queue, *, alone: bool) -> TaskCalls[Settled | RunAlone]:
        """Run and settle one message, or return RunAlone if it must run alone."""
        started = time.monotonic()
        received = Received(sqs_record, queue, self._worker, alone)
        message: Message | None = None
        try:
            trace.follow(sqs_record.trace)
            message, outcome = yield from run(received, self._flow, self._gathering)
            trace.follow(received.sqs_record.trace)  # after a timeout another thread resumes here
            if isinstance(outcome, RunAlone):
                return outcome
            if received.follows is not None:
                outcome = following.before_settling(outcome, message, received)
            settled = settle(outcome, received)
            if received.follows is not None and settled.acknowledged:
                following.after_settling(outcome, message, received)
            self._copies.take(sqs_record, settled)
            if isinstance(outcome, Dead) and outcome.failure.reason == Reason.WORKER_LOST and settled.acknowledged:
                # Acknowledge it before another message of its key runs. That one takes over the record; if it then
                # crashed this worker too, SQS would deliver this message again and the record would let it run.
                self._delete([sqs_record])
            if isinstance(outcome, Dead) and message is None and settled.acknowledged:
                following.after_unread(received)
            self._report(outcome, message, received, started)
        except Exception as error:  # noqa: BLE001 - AWS can't be reached, or Celeriac has a bug: SQS delivers it again
            _log_unsettled(sqs_record.message_id, error)
            return self._hand_back(message, received, error, started)
        finally:
            if self._worker.held is not None:
                self._worker.held.leave(sqs_record.message_id)
        return settled

    def _hand_back(self, message: Message | None, received: Received, error: Exception, started: float) -> Settled:
        """Let an unsettled message come again, or dead-letter it with a reason before SQS moves or deletes it."""
        now = datetime.now(UTC)
        until = now + outage.wait(received)
        self._tally.hold_up(now - received.sqs_record.first_sent_at)
        outcome: HandedBack | Dead = HandedBack(
            "AWS can't be reached", until, is_denied="AccessDenied" in error_code(error)
        )
        if outage.is_over(received):
            outcome = Dead(None, failure(Reason.UNSETTLED, error, received.sqs_record, received))
        try:
            settled = settle(outcome, received)
        except Exception as another:  # noqa: BLE001 - SQS can't be reached either
            _log_unsettled(received.sqs_record.message_id, another)
            until = datetime.now(UTC) + outage.wait(received, can_send=False)
            seconds = time.monotonic() - started
            self._tally.add(received.queue, outcome, received.facts, seconds=seconds)
            again = HandedBack("AWS can't be reached", until)
            self._ended[received.sqs_record.message_id] = again, message, received, seconds
            return Settled(acknowledged=False, again_at=until)
        if isinstance(outcome, Dead) and settled.acknowledged:
            following.after_unread(received)
        self._report(outcome, None, received, started)
        seconds = time.monotonic() - started
        self._ended[received.sqs_record.message_id] = outcome, message, received, seconds
        return settled

    def _report(self, outcome: Outcome, message: Message | None, received: Received, started: float) -> None:
        """Log and count a settled message, and remember its note for the invocation's end."""
        seconds = time.monotonic() - started - received.facts.waited_seconds
        self._ended[received.sqs_record.message_id] = outcome, message, received, seconds
        self._note_changes += note_changes.changes(outcome, message, received)
        log_outcome(outcome, message, received, seconds=seconds)
        self._tally.add(received.queue, outcome, received.facts, seconds=seconds)

    def _tell_hooks(self, message_id: str) -> TaskCalls[None]:
        """Tell the hooks what became of a message that is settled. None of them changes that any more."""
        if (ended := self._ended.pop(message_id, None)) is not None:
            yield from hooked.after(*ended)

    def _tell_of_those_that_came_again(self) -> bool:
        """Tell the hooks of messages that were delivered before, one by one: a hook may have killed their last worker.

        It may do so again, and each time SQS would deliver the whole batch again. So what is done is acknowledged
        before. Returns whether there is still time to answer.
        """
        self.delete_done()
        lanes = [self._tell_hooks(message_id) for message_id in list(self._ended)]
        return all(self._run_lanes([lane], self._sqs_records[0][1]) for lane in lanes)

    def _again(self) -> list[tuple[str, datetime]]:
        receipts = {sqs_record.message_id: sqs_record.receipt for sqs_record, _ in self._sqs_records}
        self._begun.update((i, False) for i, settled in self._settled.items() if settled.again_at is not None)
        return [
            # Beyond that, SQS refuses the call for all of them.
            (receipts[message_id], min(settled.again_at, self._received_at + MAX_VISIBILITY))
            for message_id, settled in self._settled.items()
            if settled.again_at is not None
        ]


def _showing_again(queue_name: str, again: Sequence[tuple[str, datetime]]) -> TaskCalls[None]:
    """Tell SQS when to deliver handed-back messages again, as a lane of `Threads`."""
    visibility.show_again(queue_name, again)
    yield from ()


def _in_time(lane: TaskCalls[None], limit: timedelta) -> None:
    """Run a lane whose work the answer doesn't wait for beyond `limit`."""
    Threads([lane], 1, shortest=limit, limit=limit).run()


def _log_unsettled(message_id: str, error: BaseException) -> None:
    # The text of an AWS error may quote a payload, so only its type and place are logged.
    logger.error(
        "message not settled",
        extra={"message_id": message_id, "error": error_type(error), "where": error_place(error)},
    )
