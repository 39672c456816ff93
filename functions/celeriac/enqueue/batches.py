"""Checkpoints in the block of a batch are refused."""

from celeriac.model.following import BatchError
from celeriac.observe import running


def check_no_block(what: str) -> None:
    """Raise BatchError in the block of a batch: the task would go on behind the cursor, and begin the batch anew there.

    What was added before would be missing in the batch, and its `then` would come early. what: the call.
    """
    run = running.current()
    if run is not None and run.open_batches:
        raise BatchError(
            f"{what} in the block of a batch: the next part would begin the batch anew, without the members before the "
            "cursor. Fill the batch in one part, or fill one batch, with a key=, for each part"
        )
