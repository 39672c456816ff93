"""The name of a batch: one that was begun by a failed attempt is found again by the next one."""

from collections.abc import Sequence

from celeriac.enqueue import batches
from celeriac.model.following import BatchError
from celeriac.model.message import new_id
from celeriac.observe import running


def name_of(callbacks: Sequence[str], key: str | None) -> str:
    """The name of a batch that is begun here: by its key, by the run that begins it, or a new one.

    callbacks: the names of the tasks of `then` and `dead`, empty if there is none. Raises TransactionError in an open
    transaction and after the commit, and BatchError for a batch that only a key could tell from another one.
    """
    batches.check_may_begin("a batch")
    if key is not None:
        return f"{next(filter(None, callbacks))}:{key}"
    run = running.current()
    if run is None:
        return new_id()
    if run.has_cursor:
        batches.refuse_unnamed_batch(run.task)
    # Two tasks' messages may have one id.
    # Not by its number in the run: an attempt that fills two batches in another order would take one for the other.
    name = f"/{run.sent_as or run.task}/{run.id}/{run.life or '-'}/{'+'.join(callbacks)}"
    if name in run.batches:
        raise BatchError(
            f"task {run.task!r} fills two batches with the same callbacks, and a later attempt couldn't tell them "
            "apart: give each batch a key="
        )
    run.batches.add(name)
    return name
