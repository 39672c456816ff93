"""Celery's app, used by its worker and its producer: python with_celery.py"""

import os
import time
from urllib.parse import urlsplit

from celery import Celery
from driver import serve
from note import note

ENDPOINT = urlsplit(os.environ["AWS_ENDPOINT_URL"])
app = Celery(
    broker=f"sqs://{os.environ['AWS_ACCESS_KEY_ID']}:{os.environ['AWS_SECRET_ACCESS_KEY']}@{ENDPOINT.netloc}//",
    task_acks_late=True,  # at least once: by default a task is deleted from the queue before it runs
    task_ignore_result=True,
    # By default (4 and a second) Celery stops polling for a second whenever 8 messages are in flight.
    worker_prefetch_multiplier=10,
    task_default_queue="celery",
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "region": os.environ["AWS_REGION"],
        "is_secure": ENDPOINT.scheme == "https",
        "visibility_timeout": 180,
        "polling_interval": 0.01,
        "wait_time_seconds": 10,
        "predefined_queues": {"celery": {"url": os.environ["BENCH_QUEUE_URL"]}},
    },
)


@app.task(name="work")
def work(sent: float) -> None:
    note(sent)


def enqueue(count: int) -> None:
    for _ in range(count):  # Celery has no call for many
        work.apply_async(kwargs={"sent": time.time()})


if __name__ == "__main__":
    serve(enqueue)
