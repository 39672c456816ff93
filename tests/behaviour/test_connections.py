"""The connections of many threads: each call finds an open one if there was one before."""

from tests.support import endpoint


def test_fifty_threads_open_fifty_connections_and_keep_them() -> None:
    seen = endpoint.run(
        """
        from concurrent.futures import ThreadPoolExecutor
        from celeriac import Queue, task

        @task(Queue("jobs", concurrency=50, batch_size=10))
        def work(who: str) -> None: ...

        with ThreadPoolExecutor(50) as threads:
            for _ in range(4):
                list(threads.map(lambda _: work.enqueue(who="anybody"), range(50)))
        """,
        together=50,
    )
    sent = [port for operation, _, port in seen if operation == "SendMessage"]
    assert len(sent) == 200
    assert len(set(sent)) <= 51  # one more, if the queue's URL was asked for while all others were in use
