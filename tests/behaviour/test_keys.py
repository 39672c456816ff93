"""An idempotency key is the same text for the same work: in every process, from every producer, at every attempt."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, Task, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.declare.handle import Handle
from celeriac.leases import lease
from celeriac.leases.claim import Claim
from celeriac.model.message import decode, encode
from celeriac.testing import Sandbox

shop = Queue("shop", batch_size=10)
keys: list[str] = []
type Send = Callable[[Queue, object], None]


@pytest.fixture(autouse=True)
def _empty() -> None:
    keys.clear()


@task(shop, key="what")
def anything(ctx: Context, what: Any, how: str = "") -> str:
    keys.append(ctx.key)
    return how


@task(shop, key="numbers")
def pick(ctx: Context, numbers: set[int]) -> None:
    keys.append(ctx.key)


@task(shop, key="size")
def weigh(ctx: Context, size: float) -> None:
    keys.append(ctx.key)


@task(shop, key="what", delivery="at_most_once")
def once(ctx: Context, what: Any) -> None:
    keys.append(ctx.key)
    raise ConnectionError


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (7, 7.0),
        ([7], [7.0]),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        ({"b": [{"d": 1, "c": 2.0}]}, {"b": [{"c": 2, "d": 1}]}),
    ],
)
def test_the_same_value_in_another_spelling_is_the_same_key(sandbox: Sandbox, one: object, other: object) -> None:
    for first, second in ((one, other), (other, one)):
        handles = [anything.enqueue(first), anything.enqueue(second), anything.handle(key=first)]
        assert len({handle.key for handle in handles}) == 1
        sandbox.drain()
    assert keys == [handles[0].key]


def test_other_programs_need_not_know_how_numbers_are_spelled(sandbox: Sandbox, send: Send) -> None:
    for number in ("7", "7.0", "7e0"):
        send(shop, f'{{"task": "anything", "args": {{"what": {number}}}}}')
        send(shop, f'{{"task": "weigh", "args": {{"size": {number}}}}}')
    sandbox.drain()
    assert sorted(keys) == ["anything:7", "weigh:7.0"]


@pytest.mark.parametrize("nothing", [None, "", [], {}, [None], [[], {}, ""], {"a": None, "b": [""]}])
def test_nothing_is_no_key(sandbox: Sandbox, send: Send, nothing: object) -> None:
    handles = [anything.enqueue(nothing), anything.enqueue(nothing)]
    send(shop, {"task": "anything", "id": "by hand", "args": {"what": nothing}})
    sandbox.drain()
    assert sorted(keys) == sorted([*(f"anything:{handle.id}" for handle in handles), "anything:by hand"])
    assert [handle.key for handle in handles] == [f"anything:{handle.id}" for handle in handles]
    with pytest.raises(ValueError, match="the value of 'what'"):
        anything.handle(key=nothing)


@pytest.mark.parametrize("value", [0, False, [0], [False], {"a": 0}, " "])
def test_zero_and_false_are_something(sandbox: Sandbox, value: object) -> None:
    anything.enqueue(value)
    anything.enqueue(value)
    sandbox.drain()
    assert keys == [f"anything:{value}"]


# Each value was a good key before keys had a form. Its record must be found for ever, so its text must not change.
@dataclass
class Place:
    town: str
    number: int
    at: tuple[float, float] = (0.0, 1.5)


KEPT = [
    (str, "p-1", "p-1"),
    (str, "7", "7"),
    (int, 7, "7"),
    (int, -1, "-1"),
    (bool, True, "True"),
    (float, 7.0, "7.0"),
    (float, 7, "7.0"),
    (float, 1e300, "1e+300"),
    (Any, 7.5, "7.5"),
    (list[str], ["b", "a", "it's"], """['b', 'a', "it's"]"""),
    (list[float], [1, 2.5], "[1.0, 2.5]"),
    (tuple[int, str], (1, "x"), "(1, 'x')"),
    (dict[str, int], {"a": 1, "b": 2}, "{'a': 1, 'b': 2}"),
    (dict[int, bool], {1: True, 2: False}, "{'1': True, '2': False}"),
    (Place, Place("Ulm", 7), "{'town': 'Ulm', 'number': 7, 'at': (0.0, 1.5)}"),
]


@pytest.mark.parametrize(("annotation", "value", "text"), KEPT)
def test_a_key_that_was_good_stays_what_it_was(annotation: Any, value: object, text: str) -> None:
    def take(what: Any) -> None: ...

    take.__annotations__["what"] = annotation
    made: Task[..., Any, Any] = task(Queue("kept", batch_size=10), key="what")(take)
    message = made.parcel(what=value).message
    assert made.signature.key("what", made.signature.decode(message.args)["what"]).former == text
    assert made.key_of(made.signature.decode(message.args), message).full == f"take:{text}"
    assert message.key == text  # an older consumer takes this key
    by_hand = decode(json.dumps({"task": "take", "args": {"what": json.loads(bytes(message.args))["what"]}}))
    assert made.key_of(made.signature.decode(by_hand.args), by_hand).full == f"take:{text}"
    assert made.key_for(value) == f"take:{text}"


IN_A_PROCESS = """
import sys
from dataclasses import dataclass
from celeriac import Queue, task

@dataclass(frozen=True)
class Pair:
    one: frozenset[str]
    two: int

@task(Queue("q", batch_size=10), key="what")
def take(what: set[str]) -> None: ...

@task(Queue("q", batch_size=10), key="what")
def mixed(what: dict[str, list[set[str | int]]]) -> None: ...

@task(Queue("q", batch_size=10), key="what")
def nested(what: set[frozenset[str]]) -> None: ...

@task(Queue("q", batch_size=10), key="what")
def pairs(what: set[Pair]) -> None: ...

words = ["x", "yy", "zzz", "w", "vv"]
for each, value in [
    (take, set(words)),
    (mixed, {"b": [{1, "a", "b", "c"}], "a": []}),
    (nested, {frozenset(words[:2]), frozenset(words[2:]), frozenset(words)}),
    (pairs, {Pair(frozenset(words), 1), Pair(frozenset(words[1:]), 2)}),
]:
    parcel = each.parcel(what=value)
    print(each.key_of(each.signature.decode(parcel.message.args), parcel.message).full, parcel.message.key)
"""


def test_a_key_made_of_a_set_is_the_same_in_every_process() -> None:
    def keys_with(seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": seed, "CELERIAC_STAGE": "test"}
        done = subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert len({keys_with(str(seed)) for seed in range(4)}) == 1


def test_a_pydantic_model_with_a_set_is_the_same_key_in_any_order() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Chosen(pydantic.BaseModel):  # type: ignore[misc, name-defined]  # pydantic is an optional package of the user
        words: set[str]
        extra: dict[str, int] = {}  # noqa: RUF012 - pydantic copies defaults

    def choose(what: Chosen) -> None: ...

    made: Task[..., None, None] = task(Queue("models", batch_size=10), key="what")(choose)
    words = ["x", "yy", "zzz", "w"]
    one, other = Chosen(words=words, extra={"b": 1, "a": 2}), Chosen(words=words[::-1], extra={"a": 2, "b": 1})
    assert made.key_for(one) == made.key_for(other)
    assert made.key_for(Chosen(words=words)) == "choose:{'words': ['w', 'x', 'yy', 'zzz'], 'extra': {}}"


def test_a_default_in_a_dataclass_is_the_same_key_whether_it_was_sent_or_not(sandbox: Sandbox, send: Send) -> None:
    @task(shop, key="place")
    def visit(ctx: Context, place: Place) -> None:
        keys.append(ctx.key)

    send(shop, {"task": "visit", "args": {"place": {"town": "Ulm", "number": 7}}})
    visit.enqueue(Place("Ulm", 7))
    sandbox.drain()
    assert keys == ["visit:{'town': 'Ulm', 'number': 7, 'at': (0.0, 1.5)}"]


# Two releases.


def _run_under(name: str, key: str, task_id: str, *, once: bool = False) -> lease.Lease:
    """What a worker of a release without the form has written: a record under its own text of the key."""
    until = datetime.now(UTC) + shop.timeout
    return lease.claim(Claim(name, key, task_id, 1, until, shop.record_retention, once=once))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("p-1", "p-1"),
        ({"b": 1, "a": 2}, "{'b': 1, 'a': 2}"),
        ([7.0], "[7.0]"),
        ([{"b": 1, "a": [1, 2]}], "[{'b': 1, 'a': [1, 2]}]"),
    ],
)
def test_what_an_older_release_has_done_is_not_done_again(sandbox: Sandbox, value: object, text: str) -> None:
    _run_under("anything", f"anything:{text}", "older").complete("done")
    handle: Handle[Any] = anything.enqueue(value)
    sandbox.drain()
    assert keys == []
    assert (handle.status().state, handle.duplicate_of, handle.result()) == ("succeeded", "older", "done")
    assert anything.handle(key=value).status().state == "succeeded"


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_fault_while_the_older_record_is_looked_for_changes_nothing(sandbox: Sandbox, call: int) -> None:
    _run_under("anything", "anything:{'b': 1, 'a': 2}", "older").complete("done")
    anything.enqueue({"b": 1, "a": 2})
    fresh = anything.enqueue({"d": 1, "c": 2})
    sandbox.crash_at(call)
    sandbox.drain()
    assert set(keys) == {fresh.key}
    assert sandbox.dead_letters(shop) == []


def test_a_task_that_crashed_under_an_older_release_is_not_started_again_at_most_once(
    sandbox: Sandbox, send: Send
) -> None:
    for value, message_id in (({"b": 1, "a": 2}, "m-1"), ([None], "m-2")):
        _run_under("once", f"once:{value}", message_id, once=True)
        send(shop, {"task": "once", "id": message_id, "args": {"what": value}})
    sandbox.advance(shop.timeout + timedelta(seconds=1))
    sandbox.drain()
    assert keys == []
    reasons = [letter.failure and letter.failure.reason for letter in sandbox.dead_letters(shop)]
    assert reasons == ["interrupted", "interrupted"]


def test_a_list_of_nothing_is_not_the_duplicate_of_another_that_an_older_release_ran(
    sandbox: Sandbox, send: Send
) -> None:
    _run_under("anything", "anything:[]", "older").complete("done")
    send(shop, {"task": "anything", "id": "newer", "args": {"what": []}})
    handle = anything.enqueue([])
    assert handle.status().state == "queued"
    sandbox.drain()
    assert sorted(keys) == sorted(["anything:newer", handle.key])


def test_the_key_of_the_first_attempt_is_the_key_of_the_last(sandbox: Sandbox, send: Send) -> None:
    """Though the next attempt runs under a release whose default, or whose annotation, is another."""
    attempts: list[str] = []

    def failing(ctx: Context, day: Any = "monday", size: Any = 0) -> None:
        attempts.append(ctx.key)
        if ctx.attempt == 1:
            raise ConnectionError

    def declare(key: str, day: str, annotation: Any) -> Task[..., Any, Any]:
        failing.__defaults__ = (day, 0)
        failing.__annotations__["size"] = annotation
        return task(shop, key=key, name=f"failing_{key}", retry=Backoff(attempts=2, jitter=0))(failing)

    for key in ("day", "size"):
        declare(key, "monday", int)
        send(shop, {"task": f"failing_{key}", "id": key, "args": {"size": 7}})
        sandbox.run_once()
        del registry.tasks[f"failing_{key}"]
        declare(key, "tuesday", float)
        sandbox.drain()
    assert attempts == ["failing_day:monday"] * 2 + ["failing_size:7"] * 2


def test_the_producer_makes_the_key_and_the_message_carries_it(sandbox: Sandbox) -> None:
    handle = anything.options(delay=timedelta(minutes=1)).enqueue({"b": 1, "a": 2})
    sandbox.advance(timedelta(minutes=2))
    url = sqs.url(shop.physical_name("test"))
    (sent,) = client("sqs").receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    message = decode(sent["Body"])
    assert f"anything:{message.key}" == handle.key == "anything:{'a': 2, 'b': 1}"
    assert decode(encode(message)) == message


def test_a_dead_letter_with_another_key_argument_gets_the_key_of_that_argument(sandbox: Sandbox, send: Send) -> None:
    @task(shop, key="payment_id", retry=Backoff(attempts=1))
    def pay(ctx: Context, payment_id: str, to: str) -> None:
        keys.append(ctx.key)
        if to == "nobody":
            raise ConnectionError

    pay.enqueue("p-1", "nobody")
    sandbox.drain()
    (letter,) = sandbox.dead_letters(shop)
    for edited in ('"payment_id":"p-1","to":"Ada"', '"payment_id":"p-2","to":"Ada"'):
        send(shop, letter.body.replace('"payment_id":"p-1","to":"nobody"', edited))
        sandbox.drain()
    assert keys == ["pay:p-1", "pay:p-1", "pay:p-2"]


def test_a_long_key_is_too_long_to_be_carried_and_works_nevertheless(sandbox: Sandbox) -> None:
    first, second = anything.enqueue("x" * 2000), anything.enqueue("x" * 2000)
    sandbox.drain()
    assert keys == [f"anything:{'x' * 2000}"]
    assert {first.status().state, second.status().state} == {"succeeded"}


def test_a_key_with_its_form_costs_no_call(sandbox: Sandbox) -> None:
    anything.enqueue({"a": [1, "x"], "b": 2.5})
    pick.enqueue({1, 2, 3})
    weigh.enqueue(7)
    anything.enqueue([])
    sandbox.calls.clear()
    sandbox.drain()
    assert sandbox.calls == {("dynamodb", "PutItem"): 4, ("dynamodb", "UpdateItem"): 4}
