"""Its queues. Most tests declare their own beside their tasks; this one is for what needs a deployed application."""

from celeriac import Queue

desk = Queue("desk")
