"""A process that forks: no connection, lock, thread or event loop is shared by parent and child.

Each program here really forks.
"""

import os
from collections import Counter
from textwrap import dedent

import pytest

from tests.support import endpoint

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

# The program's task and its end: a child that hangs is killed, and its status is not 0.
COMMON = """
import os, signal, threading
from celeriac import Queue, task

@task(Queue("jobs", batch_size=10))
def work(who: str) -> None: ...

def fork(in_child):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            in_child()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid

def wait(pid):
    assert os.waitpid(pid, 0)[1] == 0, "the child failed or was killed"
"""


def _run(program: str) -> list[endpoint.Seen]:
    return endpoint.run(COMMON + dedent(program))


def _ports(seen: list[endpoint.Seen]) -> dict[str, set[int]]:
    senders = {who for _, who, _ in seen} - {""}
    return {sender: {port for _, who, port in seen if who == sender} for sender in senders}


def test_parent_and_child_send_over_connections_of_their_own() -> None:
    seen = _run("""
        work.enqueue(who="before")
        wait(fork(lambda: work.enqueue(who="a child")))
        work.enqueue(who="parent")
    """)
    assert len(set.union(*_ports(seen).values())) == 3


def test_parent_and_child_get_their_own_answers_if_they_send_at_the_same_time() -> None:
    seen = _run("""
        from botocore.exceptions import ClientError
        work.enqueue(who="before")

        def refused():
            for _ in range(50):
                try:
                    work.enqueue(who="child")
                except ClientError:
                    continue
                raise AssertionError("a refused message was reported as sent")

        child = fork(refused)
        for _ in range(50):
            work.enqueue(who="parent")
        wait(child)
    """)
    senders = [who for _, who, _ in seen]
    assert (senders.count("child"), senders.count("parent")) == (50, 50)  # nothing was sent a second time
    assert [len(ports) for ports in _ports(seen).values()] == [1, 1, 1]


def test_a_status_is_read_over_a_connection_of_its_own_too() -> None:
    seen = _run("""
        # Nothing is stored about this message, which isn't due yet.
        from datetime import UTC, datetime, timedelta
        handle = work.handle_of("i-1", "work:i-1", datetime.now(UTC) + timedelta(minutes=5))

        def read():
            assert handle.status().state == "queued"

        read()
        child = fork(read)
        wait(child)
        read()
    """)
    # The record and the note are read, each time over a connection of that process.
    ports = [port for operation, _, port in seen if operation == "GetItem"]
    assert list(Counter(ports).values()) == [2, 2, 2]


def test_a_child_needs_no_lock_that_another_thread_held_during_the_fork() -> None:
    seen = _run("""
        from celeriac.aws import client
        from celeriac.consume import quarantine
        from celeriac.hooks import broken
        from celeriac.model import message
        held, over = threading.Event(), threading.Event()

        def hold():
            with client.one_at_a_time, message._minting, quarantine._reading, broken._counting:
                held.set()
                over.wait(30)

        threading.Thread(target=hold).start()
        held.wait(30)

        def use():
            work.enqueue(who="anybody")
            assert not quarantine.holds("task:work")

        child = fork(use)
        wait(child)
        over.set()
        work.enqueue(who="parent")
    """)
    assert [who for operation, who, _ in seen if operation == "SendMessage"] == ["anybody", "parent"]


def test_a_child_has_threads_and_an_event_loop_of_its_own() -> None:
    _run("""
        from datetime import timedelta
        from celeriac.execute import threads
        from celeriac.execute.call import TaskCall
        from celeriac.observe.running import RunInfo
        LONG = timedelta(seconds=10)

        async def later():
            return "later"

        def lane(ended):
            for function in (lambda: "now", later):
                ended.append((yield TaskCall(function, (), {}, LONG, RunInfo("work", "i-1", 1, "r-1"))))

        def run():
            ended = []
            threads.Threads([lane(ended)], 1, shortest=LONG, limit=LONG).run()
            assert ended == [("now", None), ("later", None)], ended

        def run_in_child():
            threads.left_behind()
            run()

        run()
        wait(fork(run_in_child))
        run()
    """)


def test_a_session_that_the_application_has_set_up_stays_in_use() -> None:
    _run("""
        import boto3
        from celeriac.aws.client import client
        boto3.setup_default_session(region_name="us-west-2")
        client("sqs")

        def check():
            assert client("sqs").meta.region_name == "us-west-2"

        wait(fork(check))
        check()
    """)


def test_a_session_that_was_made_for_the_clients_is_new_in_the_child() -> None:
    # It refreshes credentials, over a connection and under a lock of its own.
    _run("""
        import boto3
        from celeriac.aws.client import client
        client("sqs")
        before = boto3.DEFAULT_SESSION

        def check():
            client("sqs")
            assert boto3.DEFAULT_SESSION is not before

        wait(fork(check))
    """)
