"""Async producers in processes of their own: from the first use on, nothing that may wait happens on the loop's thread.

Time isn't measured: Python's audit events tell which thread imports a module, opens a file or connects.
"""

import os
from textwrap import dedent

import pytest

from tests.support import endpoint

COMMON = """
import asyncio, sys, threading
import celeriac
from celeriac import Queue, task

@task(Queue("jobs", batch_size=10), key="who")
def work(who: str, text: str = "") -> None: ...

ON_LOOP = threading.get_ident()
SLOW = {"boto3", "botocore", "aws_lambda_powertools", "urllib3", "jmespath", "s3transfer", "http", "ssl"}
blocked = []

def watch(event, arguments):
    if threading.get_ident() != ON_LOOP:
        return
    slow_import = event == "import" and arguments[0].partition(".")[0] in SLOW
    slow_file = event == "open" and ("botocore" in str(arguments[0]) or ".aws" in str(arguments[0]))
    if slow_import or slow_file or event in {"socket.connect", "socket.getaddrinfo", "time.sleep"}:
        blocked.append((event, str(arguments[:1])))

import ssl  # asyncio's own import
sys.addaudithook(watch)
"""


def _run(program: str, *, together: int = 1) -> list[str]:
    """The operations that the program called, in order."""
    seen = endpoint.run(COMMON + dedent(program), together=together)
    return [operation for operation, _, _ in seen]


def test_enqueueing_does_not_block_the_loop_not_even_the_first_time() -> None:
    operations = _run("""
        async def main():
            await work.aenqueue(who="first")
            await work.aenqueue_many([{"who": str(n)} for n in range(12)])
            await work.aenqueue(who="large", text="x" * 600_000)

        asyncio.run(main())
        assert blocked == [], blocked
        """)
    assert operations.count("GetQueueUrl") == 1
    assert [each for each in operations if each != "GetQueueUrl"] == [
        "SendMessage",
        "SendMessageBatch",
        "SendMessageBatch",
        "PutObject",
        "SendMessage",
    ]


def test_reading_a_status_does_not_block_the_loop() -> None:
    operations = _run("""
        from datetime import UTC, datetime, timedelta

        async def main():
            handle = work.handle_of("i-1", "work:i-1", datetime.now(UTC) + timedelta(minutes=5))
            assert (await handle.astatus()).state == "queued"
            try:
                await handle.aresult(timeout=0)
            except TimeoutError:
                pass

        asyncio.run(main())
        assert blocked == [], blocked
        """)
    assert operations.count("GetItem") == 4  # each time the record and the note


def test_a_transaction_does_not_block_the_loop_with_a_large_task_in_it() -> None:
    operations = _run("""
        async def main():
            async with celeriac.transaction() as tx:
                tx.put("orders", {"pk": "o-1"}, condition="attribute_not_exists(pk)")
                tx.emit("order.created", {"order": "o-1"})
                tx.enqueue(work, who="large", text="x" * 600_000)

        asyncio.run(main())
        assert blocked == [], blocked
        """)
    assert operations == ["GetQueueUrl", "PutObject", "TransactWriteItems"]


def test_hooks_are_loaded_off_the_loop_before_a_transaction_emits() -> None:
    _run("""
        import os, pathlib, tempfile

        folder = tempfile.TemporaryDirectory()
        package = pathlib.Path(folder.name, "with_hooks")
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "hooks.py").write_text("import threading\\nloaded_by = threading.get_ident()\\nhooks = []\\n")
        sys.path.insert(0, folder.name)
        os.environ["CELERIAC_TASKS"] = "with_hooks"

        async def main():
            async with celeriac.transaction() as tx:
                tx.emit("order.created", {"order": "o-1"})

        asyncio.run(main())
        assert sys.modules["with_hooks.hooks"].loaded_by != ON_LOOP
        """)


def test_the_watch_sees_what_blocks_the_loop() -> None:
    _run("""
        async def main():
            work.enqueue(who="sync")

        asyncio.run(main())
        events = {event for event, _ in blocked}
        assert {"import", "open", "socket.connect"} <= events, events
        """)


def test_a_cancelled_call_that_waits_for_a_thread_sends_nothing_and_one_that_has_begun_sends() -> None:
    operations = _run(
        """
        from datetime import UTC, datetime, timedelta
        from celeriac.execute import off_loop
        off_loop.THREADS = 2

        async def main():
            # Loads boto3, so that the calls below go to the threads at once.
            work.handle_of("i-1", "work:i-1", datetime.now(UTC) + timedelta(minutes=5)).status()
            calls = [asyncio.create_task(work.aenqueue(who=str(n))) for n in range(5)]
            while threading.active_count() < 3:
                await asyncio.sleep(0.001)
            for call in calls:
                call.cancel()
            ended = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(each) for each in ended] == [asyncio.CancelledError] * 5
            work.enqueue(who="last")

        asyncio.run(main())
        """,
        together=3,  # the two that have begun are answered only when the last one has come
    )
    assert operations.count("SendMessage") == 3


def test_a_loop_that_ends_with_a_send_in_flight_lets_it_arrive() -> None:
    operations = _run("""
        async def main():
            sending = asyncio.create_task(work.aenqueue(who="late"))
            while threading.active_count() < 2:
                await asyncio.sleep(0)

        asyncio.run(main())  # cancels `sending`
        """)
    assert operations.count("SendMessage") == 1


def test_the_loops_of_several_threads_share_client_and_threads() -> None:
    operations = _run("""
        def turn(n):
            asyncio.run(work.aenqueue(who=str(n)))

        threads = [threading.Thread(target=turn, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """)
    assert operations.count("SendMessage") == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    operations = _run("""
        import os, signal, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.run(work.aenqueue(who="parent"))
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            asyncio.run(work.aenqueue(who="a child"))
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """)
    assert operations.count("SendMessage") == 2


def test_other_users_of_the_default_threads_do_not_hold_up_a_send() -> None:
    operations = _run("""
        async def main():
            over = threading.Event()
            loop = asyncio.get_running_loop()
            others = [loop.run_in_executor(None, over.wait, 30) for _ in range(64)]
            await work.aenqueue(who="not held up")
            over.set()
            await asyncio.gather(*others)

        asyncio.run(main())
        """)
    assert operations.count("SendMessage") == 1


def test_without_an_event_loop_of_asyncio_the_error_says_what_to_call() -> None:
    _run("""
        try:
            work.aenqueue(who="w").send(None)
        except RuntimeError as error:
            assert "trio.to_thread.run_sync" in str(error), error
        else:
            raise AssertionError
        """)
