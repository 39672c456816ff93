"""Checkpoints in the block of a batch are refused."""

from celeriac.model.following import BatchError
from celeriac.observe import running


def check_no_block(what: str) -> None:
    """Raise BatchError in the block of a batch: the task's next part would begin the batch again, behind the cursor.

    What was added before it would be missing in the batch, and its `then` would come early. what: the call.
    """
    run = running.current()
    if run is not None and run.open_batches:
        raise BatchError(
            f"{what} in the block of a batch: the next part would begin the batch again, without the members before "
            "the cursor. Fill the batch in one part, or fill one batch, with a key=, for each part"
        )
