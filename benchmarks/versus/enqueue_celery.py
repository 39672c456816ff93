"""The cost of apply_async over stubbed HTTP: reads numbers of messages, answers with their CPU and wall seconds.

python enqueue_celery.py LATENCY_SECONDS, run by benchmarks/enqueue_rate.py
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from botocore.handlers import BUILTIN_HANDLERS
from celery import Celery
from quiet import say
from stub import Stub

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/celery"
app = Celery(
    broker="sqs://none:none@",
    task_ignore_result=True,
    broker_transport_options={"region": "eu-west-1", "predefined_queues": {"celery": {"url": URL}}},
)


@app.task(name="pay")
def pay(payment_id: str, order_id: str, amount_cents: int, note: str = "") -> None: ...


def main() -> None:
    stub = Stub()
    BUILTIN_HANDLERS.append(("before-send.sqs", stub))  # kombu makes its clients itself
    stub.latency_seconds = float(sys.argv[1])
    for line in sys.stdin:
        cpu, wall = time.process_time(), time.perf_counter()
        for number in range(int(line)):
            arguments = {"payment_id": f"p-{number}", "order_id": "o-1", "amount_cents": 500, "note": "x" * 100}
            pay.apply_async(kwargs=arguments)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        assert stub.calls["SendMessage"] == int(line), stub.calls
        stub.calls.clear()
        say(f"{cpu} {wall}")


if __name__ == "__main__":
    main()
