"""Two tasks to begin with. Replace them by yours."""

from datetime import timedelta

from celeriac import Backoff, Reject, task
from tasks.queues import words


@task(words, retry=Backoff(base=timedelta(seconds=10), attempts=5))
def greet(name: str) -> str:
    """Say hello. An error is retried; a Reject makes the message a dead letter at once."""
    if not name:
        raise Reject("there is nobody to greet")
    return f"Hello, {name}"


@task(words)
def count_words(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())
