"""Lambda entry: SQS batch -> tasks."""

import gc

gc.disable()  # what is imported stays, so looking for garbage meanwhile only takes time: a twentieth of a cold start

from celeriac.consume.handler import handler  # noqa: E402 - after the line above
from celeriac.declare import registry  # noqa: E402
from celeriac.observe.log import tell_of_tasks  # noqa: E402

tell_of_tasks()
registry.load_what_works()
gc.freeze()  # nor is it looked through later
gc.enable()

__all__ = ["handler"]
