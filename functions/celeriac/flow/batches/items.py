"""The items of a batch: their keys, and how long they are kept.

- `batch#<queue>#<name>`, the root: `epoch`, `then`, `dead`, `opened_at`, `late_at`; once it is sealed `total` and
  `sealed_at`; `dead_seen`, `dead_told`, `fired`; `due` and `due_at` until it has fired.
- `<root>#<epoch>#<level>#<node>`: `done` and `dead`, sets of numbers from 0 to 255; once it is sealed, the last node of
  a level `size` and `top`; `told`.
- `<root>#<epoch>#dead#<index>`: `ref` and `queue`, which task is dead, and where it came from.

An epoch is one run of the block that fills a batch. What a run that was aborted has sent reports to nodes of its own
epoch, which nobody reads.
"""

from datetime import UTC, datetime, timedelta

from celeriac.flow import rows
from celeriac.flow.batches.tree import Place
from celeriac.model.following import OfBatch

OPEN_FOR = timedelta(days=400)
"""How long a batch may take. A delay of a year fits in."""
KEPT_FOR = timedelta(days=35)
"""How long it is kept after its `then`."""
LATE_AFTER = timedelta(hours=1)
"""How long the block that fills a batch may take before somebody is told: most likely its producer has died."""


def root_of(batch_id: str) -> str:
    """The key of a batch's root. Its id is `<queue of the callbacks>#<name>`."""
    return rows.BATCH + batch_id


def id_of(root: str) -> str:
    """The id of a batch, from the key of its root."""
    return root.removeprefix(rows.BATCH)


def queue_of(batch_id: str) -> str:
    """The name of the queue of a batch's callbacks."""
    return batch_id.partition("#")[0]


def node_of(batch: OfBatch, place: Place) -> str:
    """The key of the node that counts a child."""
    return f"{root_of(batch.id)}#{batch.epoch}#{place.level}#{place.node}"


def dead_of(batch: OfBatch, index: int) -> str:
    """The key of the item that tells which task a dead member is."""
    return f"{root_of(batch.id)}#{batch.epoch}#dead#{index}"


def long() -> int:
    """Until when the items of a batch are kept that hasn't fired, in microseconds since 1970."""
    return rows.microseconds(datetime.now(UTC) + OPEN_FOR)
