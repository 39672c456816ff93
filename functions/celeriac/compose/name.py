"""The name of a batch: one that was begun by a failed attempt is found again by the next one."""

from celeriac.enqueue.current import is_in_transaction
from celeriac.model.message import new_id
from celeriac.observe import running


def name_of(task: str, key: str | None) -> str:
    """The name of a batch that is begun here: by its key, by the run that begins it, or a new one.

    task: the name of its callback's task. Raises TransactionError in an open transaction: members would leave before
    its commit.
    """
    if is_in_transaction():
        from celeriac.enqueue.action import TransactionError  # noqa: PLC0415 - it needs boto3 and Powertools

        raise TransactionError(
            "a batch in a transaction would send its members before the commit: fill it afterwards, or in a task that "
            "the transaction enqueues"
        )
    if key is not None:
        return f"{task}:{key}"
    run = running.current()
    if run is None:
        return new_id()
    run.batches += 1
    return f"/{run.id}/{run.life or '-'}/{run.batches}"
