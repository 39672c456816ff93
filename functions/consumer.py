"""Lambda entry: SQS batch -> tasks."""

from celeriac.consume.handler import handler
from celeriac.declare import registry
from celeriac.observe.log import tell_of_tasks

tell_of_tasks()
registry.load_what_works()

__all__ = ["handler"]
