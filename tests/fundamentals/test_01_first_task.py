"""Chapter 1: a task is a function on a queue. Enqueue it, let the sandbox run it, read its result."""

from celeriac import Context, Queue, task
from celeriac.testing import Sandbox

greetings = Queue("chapter-1")
greeted: list[str] = []


@task(greetings)
def greet(name: str) -> str:
    greeted.append(name)
    return f"Hello, {name}!"


@task(greetings)
def whoami(ctx: Context) -> str:
    return f"{ctx.task}, attempt {ctx.attempt}"


def test_enqueue_sends_and_the_consumer_runs(sandbox: Sandbox) -> None:
    handle = greet.enqueue("Ada")
    assert greeted == []  # the message is in the queue; nothing has run

    sandbox.drain()  # run all messages, and move the time over all delays

    assert greeted == ["Ada"]
    assert handle.result() == "Hello, Ada!"
    greeted.clear()


def test_a_task_can_be_called_like_any_function() -> None:
    assert greet("Bob") == "Hello, Bob!"
    greeted.clear()


def test_many_messages_are_sent_in_batches(sandbox: Sandbox) -> None:
    handles = greet.enqueue_many({"name": name} for name in ("Ada", "Bob", "Cleo"))
    sandbox.drain()
    assert [handle.result() for handle in handles] == ["Hello, Ada!", "Hello, Bob!", "Hello, Cleo!"]
    greeted.clear()


def test_the_context_tells_a_task_about_its_run(sandbox: Sandbox) -> None:
    handle = whoami.enqueue()
    sandbox.drain()
    assert handle.result() == "whoami, attempt 1"
