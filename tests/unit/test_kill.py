"""What `make kill` is made of: the proxy stops a worker where it is told to, and the judge sees each broken promise."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any

import pytest

from tests.kill.bundle import ROOT, SHORTER, Edit
from tests.kill.points import points
from tests.kill.promises import Left, broken
from tests.kill.proxy import OUTSIDE, Backends, Proxy, Stop, call_name
from tests.kill.sabotage import SABOTAGES
from tests.kill.scenes import SCENES
from tests.kill.server import Handler, Server
from tests.kill.story import Charge, Story

BY_NAME = {scene.name: scene for scene in SCENES}
NOTHING_LEFT = Left(records=(), letters=(), effects=Counter(), unpublished=0, waiting=0)
PAID = replace(NOTHING_LEFT, records=(("pay", "COMPLETED", 10.0),))


class _Backend(Server):
    def __init__(self) -> None:
        super().__init__(_Answers)
        self.got: list[str] = []


class _Answers(Handler):
    server: _Backend

    def do_POST(self) -> None:  # noqa: N802 - the name in http.server
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(self.headers["X-Amz-Target"])
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


@pytest.fixture
def backend() -> Iterator[_Backend]:
    server = _Backend()
    yield server
    server.close()


def _put(proxy: Proxy) -> bytes:
    return _call(proxy, "DynamoDB_20120810.PutItem", {"TableName": "celeriac-k0--orders"})


def _call(proxy: Proxy, target: str, asked: dict[str, str]) -> bytes:
    connection = HTTPConnection("127.0.0.1", proxy.server_port, timeout=20)
    try:
        connection.request("POST", "/", json.dumps(asked), {"X-Amz-Target": target})
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize(("side", "carried_out"), [("before", 1), ("after", 2)])
def test_a_worker_that_is_killed_gets_no_answer(backend: _Backend, side: Any, carried_out: int) -> None:
    story = Story()
    proxy = Proxy("jobs 1", Backends(backend.url, backend.url), story, Stop(2, side), lambda: False)
    assert _put(proxy) == b"{}"
    with pytest.raises(RemoteDisconnected):
        _put(proxy)
    proxy.close()
    assert len(backend.got) == carried_out
    assert f"jobs 1     stops {side} call 2, PutItem orders" in [line[9:] for line in story.lines]


@pytest.mark.parametrize(("side", "carried_out"), [("before", 0), ("after", 1)])
def test_the_call_of_a_frozen_worker_goes_on_when_it_is_woken(backend: _Backend, side: Any, carried_out: int) -> None:
    is_frozen, is_woken = threading.Event(), threading.Event()

    def freeze() -> bool:
        is_frozen.set()
        return is_woken.wait(20)

    proxy = Proxy("jobs 1", Backends(backend.url, backend.url), Story(), Stop(1, side), freeze)
    answers: list[bytes] = []
    worker = threading.Thread(target=lambda: answers.append(_put(proxy)))
    worker.start()
    assert is_frozen.wait(20)
    assert len(backend.got) == carried_out
    is_woken.set()
    worker.join()
    proxy.close()
    assert (answers, len(backend.got)) == ([b"{}"], 1)


def test_a_worker_that_was_woken_ends_its_work_and_gets_no_more(backend: _Backend) -> None:
    proxy = Proxy("films 1", Backends(backend.url, backend.url), Story(), None, lambda: False)
    poll = "AmazonSQS.ReceiveMessage", {"QueueUrl": "http://127.0.0.1:1/000000000000/celeriac-k1--films"}
    assert (_call(proxy, *poll), proxy.asks_for_more) == (b"{}", False)
    proxy.is_woken = True
    assert (_put(proxy), proxy.asks_for_more) == (b"{}", False)
    with pytest.raises(RemoteDisconnected):
        _call(proxy, *poll)
    proxy.close()
    assert (len(backend.got), proxy.asks_for_more) == (2, True)


def test_only_a_worker_outside_of_lambda_is_told_to_end_and_none_is_stopped_at_its_last_polls() -> None:
    calls = ["GetQueueUrl films", "ReceiveMessage films", "charge sell", "ReceiveMessage films"]
    its = [str(point) for point in points(BY_NAME["sell"], "films", calls)]
    assert len(its) == 3 * 2 * 4
    assert "tell before call 2 of films" in its
    assert {point.means for point in points(BY_NAME["pay"], "jobs", calls)} == {"kill", "freeze", "meet"}


def test_the_ledger_gets_the_start_and_the_end_of_a_body_and_no_server_does(backend: _Backend) -> None:
    story = Story()
    proxy = Proxy("jobs 1", Backends(backend.url, backend.url), story, None, lambda: False)
    connection = HTTPConnection("127.0.0.1", proxy.server_port, timeout=20)
    for ended in (False, True):
        entry = {"task": "pay", "key": "pay:a", "attempt": 1, "ended": ended}
        connection.request("POST", OUTSIDE, json.dumps(entry))
        connection.getresponse().read()
    connection.close()
    proxy.close()
    assert [[(one.task, one.key) for one in left] for left in (story.charges, story.ends)] == [[("pay", "pay:a")]] * 2
    assert (backend.got, proxy.calls) == ([], ["charge pay", "end pay"])


def test_a_call_is_named_by_its_operation_and_what_it_reaches() -> None:
    queue = {"QueueUrl": "http://127.0.0.1:1/000000000000/celeriac-k1--ledger-dlq.fifo"}
    assert call_name("AmazonSQS.SendMessage", queue) == "SendMessage ledger-dlq.fifo"
    writes = [{"Put": {"TableName": "celeriac-k1--outbox"}}] * 2 + [
        {"Update": {"TableName": "celeriac-k1--idempotency"}}
    ]
    named = call_name("DynamoDB_20120810.TransactWriteItems", {"TransactItems": writes})
    assert named == "TransactWriteItems outbox idempotency"


@pytest.mark.parametrize("edit", [*SHORTER, *(planted.edit for planted in SABOTAGES)], ids=lambda edit: edit.line[:40])
def test_what_is_changed_in_the_copy_of_the_library_is_there(edit: Edit) -> None:
    assert (ROOT / "functions" / edit.file).read_text().count(edit.line) == 1


def _story(*charges: tuple[float, str, bool]) -> Story:
    """Charges: when, the key, whether its worker had been frozen and woken."""
    story = Story()
    story.charges = [Charge(at, "jobs 1", key.partition(":")[0], key, 1, is_late) for at, key, is_late in charges]
    return story


def _attempts(*attempts: int, ended: bool = False, dead: int = 0, seconds: float = 1.2) -> Story:
    """Each attempt of `notify:a` runs in another worker, `seconds` after the last. The first `dead` workers died."""
    story = Story(dead={f"jobs {number}" for number in range(1, dead + 1)})
    story.charges = [
        Charge(5.0 + number * seconds, f"jobs {number}", "notify", "notify:a", attempt, is_late=False)
        for number, attempt in enumerate(attempts, 1)
    ]
    story.ends = [replace(story.charges[-1], ended=True)] if ended else []
    return story


def _scanned(*, told: bool) -> Story:
    """Two runs of `scan:a`."""
    story = _story((5.0, "scan:a", False), (6.0, "scan:a", False))
    story.told = {"films 1"} if told else set()
    return story


ONCE = _story((5.0, "pay:a", False))
TWICE = _story((5.0, "pay:a", False), (6.0, "pay:a", False))
LAUNCHED_TWICE = _story((5.0, "launch:a", False), (6.0, "launch:a", True))
AFTERWARDS = _story((5.0, "pay:a", False), (11.0, "pay:a", False))
LATE = _story((5.0, "pay:a", False), (11.0, "pay:a", True))
SCANNED = replace(NOTHING_LEFT, records=(("scan", "COMPLETED", 10.0),), effects=Counter({"scan:a": 3}))
SOLD = replace(NOTHING_LEFT, records=(("sell", "COMPLETED", 10.0),), effects=Counter({"sell:a": 1}))
TWICE_SOLD = _story((5.0, "sell:a", False), (6.0, "sell:a", False))
MOVED = ("transfer:a", "follow:a", "pay:after-a")


@pytest.mark.parametrize(
    ("scene", "left", "story", "deaths", "problems"),
    [
        ("pay", PAID, ONCE, 0, []),
        ("pay", PAID, TWICE, 1, []),
        ("pay", PAID, LATE, 1, []),
        ("pay", PAID, TWICE, 0, ["pay:a ran 2 times, at most 1 are allowed"]),
        ("pay", PAID, AFTERWARDS, 1, ["pay:a ran 1 times after its success was recorded"]),
        ("pay", NOTHING_LEFT, ONCE, 1, ["pay:a is lost: []"]),
        ("pay", replace(PAID, waiting=1), ONCE, 0, ["1 messages are left"]),
        ("pay", replace(PAID, letters=(("pay", "a", ""),)), ONCE, 1, ["pay:a is a dead letter: ['']"]),
        ("pay", replace(PAID, effects=Counter(a=1)), ONCE, 0, ["the effects are {'a': 1} instead of {}"]),
        ("notify", NOTHING_LEFT, _attempts(1, 2, ended=True), 0, []),
        ("notify", NOTHING_LEFT, _attempts(1, 1, 2, ended=True, dead=1, seconds=5.0), 1, []),
        ("notify", NOTHING_LEFT, _attempts(1), 1, ["notify:a is lost: []"]),
        ("notify", NOTHING_LEFT, _attempts(1, 2), 1, ["notify:a is lost: []"]),
        ("notify", NOTHING_LEFT, _attempts(1, 2, 1, 2, ended=True, dead=1), 1, []),
        (
            "notify",
            NOTHING_LEFT,
            _attempts(1, 2, 1, 2, 2, ended=True, dead=1),
            1,
            ["notify:a ran 5 times, at most 4 are allowed"],
        ),
        # Its worker was frozen, lives on, and has cut the second attempt off.
        ("notify", NOTHING_LEFT, _attempts(1, 2, 3, ended=True, seconds=5.0, dead=1), 1, []),
        (
            "notify",
            NOTHING_LEFT,
            _attempts(1, 2, 3, ended=True, dead=2, seconds=5.0),
            2,
            ["notify:a made attempt 3, at most 2 are allowed"],
        ),
        ("launch", replace(NOTHING_LEFT, letters=(("launch", "a", "interrupted"),)), _story(), 1, []),
        (
            "launch",
            replace(NOTHING_LEFT, letters=(("launch", "a", "interrupted"),)),
            LAUNCHED_TWICE,
            1,
            ["launch:a ran 2 times, at most 1 are allowed"],
        ),
        (
            "launch",
            replace(NOTHING_LEFT, letters=(("launch", "a", "interrupted"),)),
            _story(),
            0,
            ["launch:a is a dead letter: ['interrupted']"],
        ),
        ("scan", SCANNED, _scanned(told=True), 0, []),
        ("scan", SCANNED, _scanned(told=False), 0, ["scan:a ran 2 times, at most 1 are allowed"]),
        ("sell", SOLD, replace(TWICE_SOLD, told={"films 1"}), 0, ["sell:a ran 2 times, at most 1 are allowed"]),
        (
            "roll_back",
            replace(NOTHING_LEFT, letters=(("roll_back", "a", "rejected"),), unpublished=1),
            _story((5.0, "roll_back:a", False), (6.0, "follow:a", False)),
            0,
            ["1 rows of the outbox are left", "follow:a ran, and was never sent"],
        ),
        (
            "transfer",
            replace(
                NOTHING_LEFT,
                records=(("transfer", "COMPLETED", 10.0), ("pay", "COMPLETED", 10.0)),
                effects=Counter({"transfer:a": 1}),
            ),
            _story(*((5.0, key, False) for key in MOVED if key != "follow:a")),
            0,
            ["follow:a is lost: []", "the effects are {'transfer:a': 1} instead of {'transfer:a': 1, 'follow:a': 1}"],
        ),
        (
            "group",
            replace(NOTHING_LEFT, records=(("in_order", "COMPLETED", 10.0),) * 3, effects=Counter({"group:g": 3})),
            _story(*((5.0, f"in_order:m{number}", False) for number in (1, 3, 2))),
            0,
            ["the group ran in the order ['m1', 'm3', 'm2']"],
        ),
    ],
)
def test_the_judge_sees_what_is_broken_and_nothing_else(
    scene: str, left: Left, story: Story, deaths: int, problems: list[str]
) -> None:
    assert list(broken(BY_NAME[scene], left, story, deaths)) == problems
