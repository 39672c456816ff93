"""The shop's queues."""

from celeriac import Queue

documents = Queue("documents")
mail = Queue("mail")
