from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import NoSuchQueueError, Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.declare.task import PartialFailureError


@given(st.lists(st.integers(1, sqs.BATCH_BYTES), max_size=60))
def test_batches_hold_all_entries_in_order_within_the_limits_of_sqs(sizes: list[int]) -> None:
    batches = list(sqs.batches(sizes))
    assert [i for batch in batches for i in batch] == list(range(len(sizes)))
    for batch in batches:
        assert 1 <= len(batch) <= 10
        assert sum(sizes[i] for i in batch) <= sqs.BATCH_BYTES


def test_full_batches_are_not_split() -> None:
    assert len(list(sqs.batches([1] * 100))) == 10


@pytest.mark.usefixtures("sandbox")
def test_a_missing_queue_is_named_with_what_to_check() -> None:
    with pytest.raises(NoSuchQueueError, match="no queue celeriac-test--nowhere in eu-west-1: is it deployed"):
        sqs.url("celeriac-test--nowhere")


@pytest.mark.usefixtures("sandbox")
def test_messages_that_sqs_refuses_are_listed_apart_from_those_it_accepted() -> None:
    @task(Queue("jobs"))
    def work(number: int) -> None: ...

    def refuse_the_last(parsed: dict[str, Any], **_: object) -> None:
        refused = parsed["Successful"].pop()
        parsed["Failed"] = [
            {"Id": refused["Id"], "Code": "InternalError", "Message": "try again", "SenderFault": False}
        ]

    events = client("sqs").meta.events
    events.register("after-call.sqs.SendMessageBatch", refuse_the_last)
    with pytest.raises(
        PartialFailureError, match=r"2 of 13 messages for work were not taken, .* InternalError"
    ) as caught:
        work.enqueue_many({"number": i} for i in range(13))

    events.unregister("after-call.sqs.SendMessageBatch", refuse_the_last)
    assert [item for item, _ in caught.value.unsent] == [{"number": 9}, {"number": 12}]
    assert len(caught.value.sent) == 11
