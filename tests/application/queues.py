"""The queue of the tests' application. Most tests declare their own queues. This one is for tests of a deployed
application.
"""

from celeriac import Queue

desk = Queue("desk")
