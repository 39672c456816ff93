"""The tasks, in an AWS account in memory: `sandbox` is a fixture of Celeriac."""

from celeriac.testing import Sandbox
from tasks.queues import words
from tasks.words import count_words, greet


def test_a_task_is_a_function() -> None:
    assert greet("Ada") == "Hello, Ada"


def test_a_task_that_was_sent_has_a_result(sandbox: Sandbox) -> None:
    handle = count_words.enqueue(text="one two three")

    sandbox.drain()

    assert handle.status().result == 3


def test_nobody_is_greeted_as_a_dead_letter(sandbox: Sandbox) -> None:
    greet.enqueue(name="")

    sandbox.drain()

    (letter,) = sandbox.dead_letters(words)
    assert letter.failure is not None
    assert letter.failure.message == "there is nobody to greet"
