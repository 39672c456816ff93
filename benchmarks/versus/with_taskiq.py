"""taskiq's broker, used by its worker and its producer: python with_taskiq.py"""

import asyncio
import os
import time

from driver import serve
from note import note
from taskiq_aio_sqs import SQSBroker

broker = SQSBroker(
    os.environ["BENCH_QUEUE"],
    endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    region_name=os.environ["AWS_REGION"],
    aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
    aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    max_number_of_messages=10,
    visibility_timeout=180,
)


@broker.task
async def work(sent: float) -> None:
    note(sent)


async def enqueue(count: int) -> None:
    await asyncio.gather(*(work.kiq(time.time()) for _ in range(count)))


def main() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(broker.startup())
    serve(lambda count: loop.run_until_complete(enqueue(count)))


if __name__ == "__main__":
    main()
