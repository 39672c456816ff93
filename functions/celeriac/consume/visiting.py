"""Before anything of a message is touched: whether an earlier worker died of it."""

from celeriac.consume.insist import while_there_is_time
from celeriac.consume.outcome import Dead, HandedBack, RunAlone
from celeriac.consume.received import Received, failure
from celeriac.consume.report import log_lost_visitor
from celeriac.leases import visit
from celeriac.leases.lease import Busy
from celeriac.model.errors import CeleriacError
from celeriac.model.failure import error_type
from celeriac.model.reason import Reason
from celeriac.observe.log import logger

# A message becomes a dead letter after this many workers died while they ran only this message.
MOST_DEATHS_ALONE = 3


class WorkerCrashedError(CeleriacError):
    """The worker of a task died, out of memory or killed, so no code could record why."""


def begin(received: Received) -> visit.Visit | HandedBack | RunAlone | Dead | None:
    """The visit, or the outcome of a message that must not be touched now. None at the first receive: it has no note.

    Raises AWS's errors.
    """
    sqs_record, queue = received.sqs_record, received.queue
    until, alone, before = received.worker.lease_until, received.alone, sqs_record.deaths_alone
    if sqs_record.is_first_receive and before is None:
        return None
    try:
        try:
            begun = visit.begin(queue, sqs_record.message_id, until=until, alone=alone, deaths_alone=before or 0)
            if before is None or alone:
                return begun
            close(begun, received)
            return RunAlone(before)
        except visit.VisitorDied as died:
            if died.deaths_alone >= MOST_DEATHS_ALONE:
                why = WorkerCrashedError(
                    f"{died.deaths_alone} workers died while they read it alone, before its task was started"
                )
                return Dead(None, failure(Reason.WORKER_LOST, why, sqs_record, received))
            if not alone:
                return RunAlone(died.deaths_alone)
            log_lost_visitor(queue.name, sqs_record.message_id, deaths_alone=died.deaths_alone)
            return visit.begin(queue, sqs_record.message_id, until=until, alone=alone, after=died)
    except Busy as busy:
        return HandedBack("another worker has received it too", busy.until)
    except visit.Unanswered as lost:
        close(lost.visit, received)
        raise lost.__cause__ or lost from None


def close(begun: visit.Visit, received: Received) -> None:
    """End a visit. It is tried as long as there is time: an open note of a living worker would count as its death."""
    try:
        while_there_is_time(begun.close, received.worker)
    except Exception as error:  # noqa: BLE001 - one such note does no harm yet
        logger.warning("visit not closed", extra={"error": error_type(error)})
