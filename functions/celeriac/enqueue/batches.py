"""What a task may not do beside a batch, or a chain: a later part or attempt would do it again, in another way."""

from celeriac.enqueue.current import is_in_transaction
from celeriac.model.following import BatchError
from celeriac.observe import running


def begin_part(what: str) -> None:
    """Note that the task's next part begins behind a cursor. what: the call.

    Raises BatchError in the block of a batch: the next part would begin the batch again, behind the cursor. What was
    added before it would be missing in the batch, and its `then` would come early. Also after a batch without a key,
    which is known by the task's message: the next part couldn't tell its own batch from that one.
    """
    run = running.current()
    if run is None:
        return
    run.has_cursor = True
    if run.open_batches:
        raise BatchError(
            f"{what} in the block of a batch: the next part would begin the batch again, without the members before "
            "the cursor. Fill the batch in one part, or fill one batch, with a key=, for each part"
        )
    if run.batches:
        refuse_unnamed_batch(run.task)


def refuse_unnamed_batch(task: str) -> None:
    """Raise BatchError for a batch without a key in a task with a cursor."""
    raise BatchError(
        f"task {task!r} has checkpoints, and fills a batch without a key: a later part couldn't tell its batches "
        "apart. Give each batch a key="
    )


def check_may_begin(what: str) -> None:
    """Raise TransactionError where a batch or a chain can't begin. what: `a batch` or `a chain`.

    In an open transaction it would start before the commit. After the commit the task's success is recorded, and no
    later attempt would begin it again.
    """
    run = running.current()
    is_open = is_in_transaction()
    if not is_open and (run is None or not run.has_committed):
        return
    from celeriac.enqueue.action import TransactionError  # noqa: PLC0415 - it needs boto3 and Powertools

    why = (
        "in a transaction would start before the commit"
        if is_open
        else "after the task's transaction is lost if AWS refuses a call or the worker dies, because the success is "
        "recorded and the task doesn't run again"
    )
    raise TransactionError(f"{what} {why}: let the transaction enqueue a task that begins it, with tx.enqueue(...)")
