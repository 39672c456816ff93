"""dramatiq's actor, used by its worker and its producer: python with_dramatiq.py"""

import os
import time

import dramatiq
from dramatiq_sqs import SQSBroker
from driver import serve
from note import note

broker = SQSBroker(
    endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    region_name=os.environ["AWS_REGION"],
    aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
    aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    visibility_timeout=180,
)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=os.environ["BENCH_QUEUE"])
def work(sent: float) -> None:
    note(sent)


def enqueue(count: int) -> None:
    for _ in range(count):  # dramatiq's SQS broker has no call for many
        work.send(time.time())


if __name__ == "__main__":
    serve(enqueue)
