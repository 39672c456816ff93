"""Stand in for Lambda's event source mappings, in real time: receive, invoke, delete what the answer doesn't name.

Each runs in a separate thread. A worker that dies, is frozen or takes too long is replaced. What it held comes back
by its visibility timeout, or with the next read of the stream. Outside of Lambda a worker polls, and is only replaced.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from celeriac.model.queue import Queue
from celeriac.testing import lambda_
from celeriac.worker import event
from tests.kill.invoked import Invoked
from tests.kill.polling import Polling
from tests.kill.stage import Stage
from tests.kill.worker import Worker

POLL_SECONDS = 0.15
# That of the stack is three minutes. A frozen relay would be replaced only then.
RELAY_TIMEOUT = timedelta(seconds=4)


class Pump[W: Worker](threading.Thread):
    """Has one worker after another. `make_worker` starts one, the first one with its stop."""

    def __init__(self, stage: Stage, make_worker: Callable[[], W]) -> None:
        super().__init__(daemon=True)
        self.stage, self._make_worker = stage, make_worker
        self.workers = [make_worker()]
        self.is_busy = False
        self.over = threading.Event()
        self.failure: Exception | None = None

    @property
    def worker(self) -> W:
        return self.workers[-1]

    @property
    def frozen(self) -> list[W]:
        return [worker for worker in self.workers if worker.is_frozen.is_set()]

    @property
    def lost(self) -> int:
        """How many workers died, were frozen or took too long."""
        return len(self.workers) - 1 - sum(worker.is_told.is_set() for worker in self.workers)

    def run(self) -> None:
        try:
            while not self.over.wait(POLL_SECONDS):
                self.is_busy = True
                while not self.over.is_set() and self.turn():
                    pass
                self.is_busy = False
        except Exception as error:  # noqa: BLE001 - the run tells of it
            self.failure = error

    def turn(self) -> bool:
        """Do what is to be done now. Returns whether there was something."""
        raise NotImplementedError

    def replace(self) -> None:
        """Start the next worker."""
        if not self.worker.is_alive and not self.worker.is_told.is_set():
            self.worker.story.dead.add(self.worker.name)
            self.worker.story.tell(self.worker.name, f"is dead: {self.worker.kill()}")
        self.workers.append(self._make_worker())


class Mapping(Pump[Invoked]):
    """Feeds the workers of one function."""

    def __init__(self, stage: Stage, timeout: timedelta, make_worker: Callable[[], Invoked]) -> None:
        super().__init__(stage, make_worker)
        self.timeout = timeout

    def invoke(self, event: Any) -> Any:
        """The worker's answer. None if it is to be replaced, and then it is."""
        worker, answer = self.worker, None
        if worker.is_ready():
            worker.story.tell(worker.name, f"gets {len(event['Records'])}")
            answer = worker.invoke(event, self.timeout)
        if answer is not None:
            worker.story.tell(worker.name, f"answers {answer}")
            return answer
        if worker.is_alive and not worker.is_frozen.is_set():
            worker.story.tell(worker.name, "is overdue, and killed")
            worker.kill()
            self.workers.append(self._make_worker())
            return None
        self.replace()
        return None


class Messages(Mapping):
    """The mapping of a queue."""

    def __init__(self, stage: Stage, queue: Queue, make_worker: Callable[[], Invoked]) -> None:
        super().__init__(stage, queue.timeout, make_worker)
        self._batch = queue.batch
        self._url = stage.urls[queue.physical_name(stage.name)]
        self._arn = f"arn:aws:sqs:eu-west-1:000000000000:{queue.physical_name(stage.name)}"

    def turn(self) -> bool:
        sqs = self.stage.aws.sqs
        messages = sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=self._batch,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return False
        answer = self.invoke({"Records": [event.record(message, self._arn) for message in messages]})
        done = finished(answer, [message["MessageId"] for message in messages])
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
            for number, message in enumerate(messages)
            if message["MessageId"] in done
        ]
        if entries:
            sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
        return True


class Rows(Mapping):
    """The mapping of the outbox's stream. It reads on behind the last record that is finished."""

    def __init__(self, stage: Stage, make_worker: Callable[[], Invoked]) -> None:
        super().__init__(stage, RELAY_TIMEOUT, make_worker)
        self._finished: set[str] = set()

    def pending(self) -> list[Any]:
        """The records that aren't finished, as far as DynamoDB Local tells: it refuses a read now and then."""
        with suppress(self.stage.aws.streams.exceptions.TrimmedDataAccessException):
            return self._pending()
        return []

    def _pending(self) -> list[Any]:
        streams, arn = self.stage.aws.streams, self.stage.stream
        found = []
        for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            iterator = streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            found += streams.get_records(ShardIterator=iterator)["Records"]
        return [
            record
            for record in found
            if record["eventName"] == "INSERT" and record["dynamodb"]["SequenceNumber"] not in self._finished
        ]

    def turn(self) -> bool:
        records = self.pending()
        if not records:
            return False
        answer = self.invoke({"Records": [lambda_._stream_record(record, self.stage.stream) for record in records]})
        for sequence in (record["dynamodb"]["SequenceNumber"] for record in records):
            if sequence not in finished(answer, [record["dynamodb"]["SequenceNumber"] for record in records]):
                break  # Lambda delivers it again, and all behind it
            self._finished.add(sequence)
        return True


class Service(Pump[Polling]):
    """Keeps one worker outside of Lambda going, as ECS does: one that is told to end has its successor at once."""

    def turn(self) -> bool:
        if not self.worker.is_alive or self.worker.is_frozen.is_set() or self.worker.is_told.is_set():
            self.replace()
        is_busy = self.worker.is_at_work or any(each.is_told.is_set() and each.is_alive for each in self.workers)
        return is_busy and not self.over.wait(POLL_SECONDS)


def finished(answer: Any, ids: list[str]) -> set[str]:
    """The ids that the answer lets Lambda delete. None of them if the worker has not answered, or with an error."""
    if not isinstance(answer, dict):
        return set()
    return set(ids) - lambda_._named(answer, set(ids))
