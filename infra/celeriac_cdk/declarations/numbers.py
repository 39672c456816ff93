"""The numbers that a stage gives to its queues, otherwise than they are declared."""

from collections.abc import Sequence

from celeriac.model import settings
from celeriac.model.queue import Queue
from celeriac.model.stages import ProjectError
from celeriac_cdk.config import StageConfig


def with_numbers(queues: Sequence[Queue], config: StageConfig) -> list[Queue]:
    """The queues with the stage's own numbers. Raises ProjectError for a queue that isn't declared."""
    file = f"{settings.FILE}: stages.{config.stage}." if not config.hosted else f"the stage {config.stage}: "
    known = {queue.name for queue in queues}
    for key, named in (("queues", config.settings.queues), ("producers", config.settings.producers)):
        for name in sorted(named.keys() - known):
            raise ProjectError(f"{file}{key}.{name}: no queue has that name; there are {', '.join(sorted(known))}")
    where = f"{file}queues"
    return [config.settings.applied(queue, f"{where}.{queue.name}") for queue in queues]
