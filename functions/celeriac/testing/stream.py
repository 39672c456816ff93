"""The outbox table's stream and its event source mapping, from the oldest record on (TRIM_HORIZON)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from celeriac.aws.client import client
from celeriac.testing.calls import Calls
from celeriac.testing.lambda_ import invoke_relay

# The values of the stack's mapping.
BATCH = 100
MOST_TRIES = 10
MOST_AGE = timedelta(hours=12)


class Stream:
    """Reads the stream's shards and hands their INSERTs to the relay, in order, from the last checkpoint on."""

    def __init__(self, table: str, calls: Calls) -> None:
        self._calls = calls
        self._client = client("dynamodbstreams")
        self._arn = client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
        self._read_up_to: dict[str, str] = {}
        self._pending: list[dict[str, Any]] = []
        self._tries = 0

    @property
    def behind(self) -> bool:
        """Whether records wait for another try."""
        return bool(self._pending)

    @property
    def backoff(self) -> timedelta:
        """How long Lambda waits before its next try: longer each time."""
        return min(timedelta(seconds=2 ** max(self._tries - 1, 0)), timedelta(minutes=1))

    def pump(self, function: str) -> int:
        """Invoke the relay on new records, and on records that failed before. Returns how many invocations it took."""
        self._read()
        invocations = 0
        while batch := self._pending[:BATCH]:
            invocations += 1
            with self._calls.observed():
                done = invoke_relay(self._calls, function, batch, self._arn)
            del self._pending[:done]
            if done:
                self._tries = 0
                continue
            self._tries += 1
            if self._tries == MOST_TRIES:
                # Lambda gives up on the record; its row stays in the outbox.
                del self._pending[0]
                self._tries = 0
            break
        return invocations

    def _read(self) -> None:
        """Fetch the records since the last read.

        Each read takes a new iterator: after moto has rolled a transaction back, older iterators return records that
        were never committed.
        """
        for shard in self._client.describe_stream(StreamArn=self._arn)["StreamDescription"]["Shards"]:
            shard_id = shard["ShardId"]
            iterator = self._client.get_shard_iterator(
                StreamArn=self._arn, ShardId=shard_id, **self._position(shard_id)
            )["ShardIterator"]
            records = self._client.get_records(ShardIterator=iterator)["Records"]
            if records:
                self._read_up_to[shard_id] = records[-1]["dynamodb"]["SequenceNumber"]
            self._pending += [dict(record) for record in records if record["eventName"] == "INSERT"]
        # Lambda gives up on older records; their rows stay in the outbox.
        oldest = datetime.now(UTC) - MOST_AGE
        self._pending = [r for r in self._pending if r["dynamodb"]["ApproximateCreationDateTime"] >= oldest]

    def _position(self, shard_id: str) -> Any:
        last = self._read_up_to.get(shard_id)
        if last is None:
            return {"ShardIteratorType": "TRIM_HORIZON"}
        return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": last}
