"""Lambda entry: SQS batch -> tasks."""

from celeriac import registry
from celeriac.consumer import handle as handler
from celeriac.log import tell_of_tasks

tell_of_tasks()
registry.load()

__all__ = ["handler"]
