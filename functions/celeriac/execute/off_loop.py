"""Calls for async producers, in threads of Celeriac's own: AWS is slow, and the event loop must go on turning.

The loop's default threads aren't used, because others fill them: a hundred slow DNS look-ups would hold up each send.
docs/decisions/0041-async-producers-use-threads.md has the figures.
"""

from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING

from celeriac.model.forks import Lock, after_fork_in_child

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

# Calls at once, in all event loops of a process together; the others wait for a thread. With more, throughput falls:
# threads then mostly wait for the interpreter.
THREADS = 32

_pool: "ThreadPoolExecutor | None" = None
_making = Lock()


async def off_loop[**P, R](function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call the function in a thread, with the context variables of the caller, and return what it returns.

    If the caller is cancelled, a call that waits for its thread isn't made; one that was begun goes on to its end, and
    nobody hears of it. The end of the event loop cancels nothing either, and Python's own end waits for what was begun.

    Raises RuntimeError if no event loop of asyncio runs.
    """
    import asyncio  # noqa: PLC0415 - sync producers don't need it: it costs 17 ms

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError as error:
        raise RuntimeError(
            "Celeriac's async calls need asyncio's event loop, and none runs here. With trio, call the sync twin in a "
            "thread: await trio.to_thread.run_sync(...)"
        ) from error
    context = copy_context()
    return await loop.run_in_executor(_threads(), lambda: context.run(function, *args, **kwargs))


def _threads() -> "ThreadPoolExecutor":
    global _pool  # noqa: PLW0603 - a process has one
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - sync producers don't need it

    with _making:
        if _pool is None:
            _pool = ThreadPoolExecutor(THREADS, thread_name_prefix="celeriac")
        return _pool


def _forget_threads() -> None:
    global _pool  # noqa: PLW0603 - the threads are the parent's
    _pool = None


after_fork_in_child(_forget_threads)
