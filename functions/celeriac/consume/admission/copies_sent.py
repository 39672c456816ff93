"""Sends the fresh copies of messages that wait, ten at a time: a call for each would cost more than the task."""

from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from math import ceil
from threading import Lock

from msgspec.structs import replace

from celeriac.aws import sqs
from celeriac.consume.settle import Settled
from celeriac.consume.sqs_record import SqsRecord
from celeriac.model.failure import error_type
from celeriac.observe.log import logger


class Copies:
    """The copies that one invocation hasn't sent yet. Lanes add to them from several threads."""

    def __init__(self, settled: MutableMapping[str, Settled], only_runs: Callable[[], bool]) -> None:
        """settled: where a message is marked as acknowledged once its copy is sent.

        only_runs: whether a task still runs, and no further copy is to be expected.
        """
        self._settled = settled
        self._only_runs = only_runs
        self._lock = Lock()
        self._unsent: list[tuple[SqsRecord, Settled, sqs.Entry]] = []

    def take(self, sqs_record: SqsRecord, settled: Settled) -> None:
        """Keep the copy of a message, if it has one, and send the copies that fill a call, or all if it is the last.

        The invocation may go on for minutes, and the slot of the copy comes meanwhile.
        """
        if settled.copy is not None:
            self._settled[sqs_record.message_id] = settled  # before another lane may send the copy, and say so
            with self._lock:
                self._unsent.append((sqs_record, settled, settled.copy))
                is_full = len(self._unsent) >= sqs.BATCH_ENTRIES
            if is_full or self._only_runs():
                self.send()

    def send(self) -> None:
        """Send all that are left. A message whose copy SQS refuses comes again itself."""
        with self._lock:
            unsent, self._unsent = self._unsent, []
        for positions in sqs.batches([copy.size for *_, copy in unsent]):
            some = [unsent[i] for i in positions]
            try:
                refusals = sqs.send_batch(some[0][0].queue_name, [_in_time(settled, copy) for _, settled, copy in some])
            except Exception as error:  # noqa: BLE001 - the messages come again themselves
                logger.warning("waiting messages not sent on", extra={"error": error_type(error)})
                continue
            for (sqs_record, settled, _), refusal in zip(some, refusals, strict=True):
                if refusal is None:
                    self._settled[sqs_record.message_id] = replace(settled, acknowledged=True, again_at=None, copy=None)
                else:
                    logger.warning("a waiting message not sent on", extra={"error": refusal.why.partition(":")[0]})


def _in_time(settled: Settled, copy: sqs.Entry) -> sqs.Entry:
    """The copy with the delay that is left: it may have lain here while others ran."""
    if settled.again_at is None:
        return copy
    left = ceil(max((settled.again_at - datetime.now(UTC)).total_seconds(), 0))
    return replace(copy, delay_seconds=min(copy.delay_seconds, left))
