"""Random histories: tasks of every kind, and faults, copies and redrives in any order. The promises hold.

`make test` plays a few histories, always the same. `make states` plays hundreds, and new ones each time.
"""

import io
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
import typer
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import celeriac
from celeriac import Task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume.visiting import MOST_DEATHS_ALONE
from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.model import retry
from celeriac.model.message import MalformedMessageError, decode, new_id
from celeriac.relay import memory
from celeriac.relay.parcels import derived_id
from celeriac.testing import Sandbox, WorkerDied
from celeriac.testing.account import lying_in, oldest_unpublished
from celeriac.testing.calls import Call
from celeriac_console.commands.dlq.redrive import redrive
from tests.faults.crowd import EVENT, KINDS, PLANS, QUEUES, SECRET, Outside, declare, jobs
from tests.faults.fates import MOVED_BY_SQS, STAGE, Accidents, Sent, broken
from tests.faults.faults import FAULTS
from tests.support.histories import contradictions

# A moment, a retry's delay, and longer than: the visibility timeout, SQS's longest delay, every lease and backoff.
STEPS = [timedelta(seconds=seconds) for seconds in (1, 29, 61, 181, 901, 3 * 3600)]
STREAM_GIVES_UP = timedelta(hours=1)
# AWS is out of order for a moment, for some deliveries of a message, and for more than a message's receives last.
OUTAGES = [timedelta(seconds=5), timedelta(minutes=10), timedelta(hours=2)]
# A call takes a moment, or most of a worker's time.
SLOW = [timedelta(seconds=2), timedelta(seconds=20)]
SERVICES = ["dynamodb", "scheduler", "sqs", "sqs jobs", "sqs ledger", "s3"]
CLOCKS = [timedelta(minutes=minutes) for minutes in (0, 0, 0, -10, 10, -3 * 24 * 60, 24 * 60)]
KILLED_READERS = [1, 2, 1_000]
# Relay and sweeper read rows without any code of the user's. So no row kills them again and again.
MOST_KILLED_PUBLISHERS = 2
AT_ONE_CALL = sorted(name for name in FAULTS if not name.startswith(("dies", "slow for")) and "outage" not in name)
NONSENSE = (f"nonsense {SECRET}", f'{{"task": "jobs_at_least_once_quick", "args": {{"name": "{SECRET}"}}}}')

type Order = tuple[str, str, str, str, int, bool]
type Event = tuple[str, str, bool]
# One in four is too large for a message.
IS_LARGE = st.sampled_from([False, False, False, True])
# The names "a" and "b" are used again and again, so several messages have one key. Each "" becomes a new name.
ORDERS = st.tuples(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(PLANS),
    st.sampled_from(["a", "b", "", ""]),
    st.sampled_from(["g", "h"]),
    st.sampled_from([0, 0, 0, 60, 3600]),
    IS_LARGE,
)
EVENTS = st.tuples(st.sampled_from(PLANS), st.sampled_from(["x", "y"]), IS_LARGE)
NEW_IN_A_RELEASE = list(KINDS)
SUBSCRIBED = [name for name, kind in KINDS.items() if kind.on]


class UndoError(Exception):
    """Raised to roll a transaction back."""


class Histories(RuleBasedStateMachine):
    """One stage, and what happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox = Sandbox()
        self.sandbox.__enter__()
        # A Retry's delay gets jitter. Each replay of a history must run in the same way.
        self.chance = patch.object(retry, "_random", random.Random(0))  # noqa: S311 - this randomness decides nothing secret
        self.chance.start()
        self.memory = memory.worker  # relay and sweeper run with one of their own
        self.reading = self.sandbox.crash_when(self._kills)
        self.reading.__enter__()
        self.outside = Outside(self._freeze)
        self.tasks = declare(self.outside)
        self.sent: dict[str, Sent] = {}
        self.bodies: dict[str, str] = {}
        self.nonsense: set[str] = set()
        self.happened = Accidents()
        self.has_two_releases = False
        self.set_back = timedelta()
        self.rollout = ExitStack()
        self.names = 0
        self.unpublished_since: datetime | None = None
        for queue in QUEUES.values():
            sqs.url(queue.physical_name(STAGE))  # look the URL up now: a worker that looks it up would go unobserved

    @initialize(
        orders=st.lists(ORDERS, min_size=2, max_size=6),
        duplicates=st.sampled_from([0.0, 0.0, 0.3]),
        reorders=st.booleans(),
        seed=st.integers(0, 100),
        ahead=st.sampled_from([0, 0, 3]),
    )
    def begin(self, orders: list[Order], duplicates: float, reorders: bool, seed: int, ahead: int) -> None:  # noqa: FBT001 - Hypothesis passes them by name
        self.happened.has_copies = bool(duplicates)
        self.happened.records_behind = bool(ahead)
        self.sandbox._claims_ahead = ahead
        self.sandbox.deliver(duplicates=duplicates, reorders=reorders, seed=seed)
        self.enqueue(orders, timedelta())

    @rule(orders=st.lists(ORDERS, min_size=1, max_size=4), clock=st.sampled_from(CLOCKS))
    def enqueue(self, orders: list[Order], clock: timedelta) -> None:
        """Enqueue from a producer whose clock is right, or wrong."""
        for kind, plan, name, group, delay, is_large in orders:
            arguments = self._arguments(name, plan, is_large=is_large)
            with self.sandbox.producer(clock=clock):
                handle = self._with_options(kind, group, delay).enqueue(**arguments)
            self._sent(handle.id, kind, plan, arguments["name"], group)
        self._note()

    @rule(
        events=st.lists(EVENTS, max_size=3),
        orders=st.lists(ORDERS, max_size=2),
        is_rolled_back=st.sampled_from([False, False, True]),
    )
    def commit(self, events: list[Event], orders: list[Order], is_rolled_back: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        """A transaction outside any task: its events and tasks are sent only if it commits."""
        leaving: list[tuple[str, str, str, str, str]] = []
        with suppress(UndoError), celeriac.transaction() as tx:
            for plan, aggregate, is_large in events:
                data = self._arguments("", plan, is_large=is_large)
                event = tx.emit(EVENT, data, aggregate=aggregate)
                leaving += [(derived_id(event, kind), kind, plan, data["name"], aggregate) for kind in SUBSCRIBED]
            for kind, plan, name, group, delay, is_large in orders:
                data = self._arguments(name, plan, is_large=is_large)
                # Its own group: published messages and sent messages don't wait for each other.
                task, own_group = self._with_options(kind, f"tx-{group}", delay), f"tx-{group}"
                leaving.append((tx.enqueue(task, **data), kind, plan, data["name"], own_group))
            if is_rolled_back:
                raise UndoError
        for one in leaving if not is_rolled_back else []:
            self._sent(*one)
            self.sent[one[0]].is_published = True
            self.unpublished_since = self.unpublished_since or self.sandbox.now

    def _arguments(self, name: str, plan: str, *, is_large: bool) -> dict[str, str]:
        self.names += 1
        return {"name": name or f"own {self.names}", "plan": plan, "secret": SECRET * (40_000 if is_large else 1)}

    def _with_options(self, kind: str, group: str, delay: int) -> Task[..., Any, Any]:
        options: Any = {"group": group} if KINDS[kind].queue == "ledger" else {"delay": timedelta(seconds=delay)}
        return self.tasks[kind].options(**options)

    def _sent(self, message_id: str, kind: str, plan: str, name: str, group: str) -> None:
        in_order = KINDS[kind].queue == "ledger"
        self.sent[message_id] = Sent(message_id, KINDS[kind], name, plan, group if in_order else None)
        # A worker's death in the middle of other runs, or a jump of time, is an accident to all messages.
        self.happened.deaths += {"crash once": 1, "freeze": 1}.get(plan, 0)

    @rule(body=st.sampled_from(NONSENSE))
    def send_nonsense(self, body: str) -> None:
        sent = client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name(STAGE)), MessageBody=body)
        self.nonsense.add(body)
        assert sent["MessageId"]

    @precondition(lambda self: self.bodies)
    @rule(which=st.integers(0, 10_000), delay=st.sampled_from([0, 0, 60, 900]))
    def show_again(self, which: int, delay: int) -> None:
        """Send a copy of an earlier message: SQS delivers at least once, and in any order."""
        body, message_id = sorted(self.bodies.items(), key=lambda item: list(self.bodies).index(item[0]))[
            which % len(self.bodies)
        ]
        sent = self.sent[message_id]
        sent.copies += 1
        sent.redrives += '"failure"' in body
        options: Any = {"MessageGroupId": sent.group, "MessageDeduplicationId": new_id()} if sent.group else {}
        options |= {} if sent.group else {"DelaySeconds": delay}
        queue = QUEUES[sent.kind.queue].physical_name(STAGE)
        client("sqs").send_message(QueueUrl=sqs.url(queue), MessageBody=body, **options)

    @rule()
    def run_once(self) -> None:
        self.sandbox.run_once()
        self._note_outbox()
        self._note()

    @rule(by=st.sampled_from(STEPS))
    def advance(self, by: timedelta) -> None:
        self.sandbox.advance(by)
        self._note_outbox()

    @rule(seconds=st.sampled_from([1, 5]))
    def set_the_clock_back(self, seconds: int) -> None:
        """Set all clocks back, SQS's too: there is only one clock here."""
        self.set_back += timedelta(seconds=seconds)
        self.sandbox._clock._traveller.shift(timedelta(seconds=-seconds))

    @precondition(lambda self: not self.has_two_releases)
    @rule(new=st.sampled_from(sorted(NEW_IN_A_RELEASE)))
    def begin_rollout(self, new: str) -> None:
        """Begin to deploy a release with a new task."""
        self.has_two_releases = True
        self.happened.new_tasks.add(new)
        self.rollout = ExitStack()
        self.rollout.enter_context(self.sandbox.rollout([task for name, task in self.tasks.items() if name != new]))

    @precondition(lambda self: self.has_two_releases)
    @rule()
    def end_rollout(self) -> None:
        self.has_two_releases = False
        self.rollout.close()

    @rule()
    def drain(self) -> None:
        self.sandbox.drain()
        self._note_outbox()
        self._note()

    @rule(service=st.sampled_from(SERVICES), for_=st.sampled_from(OUTAGES))
    def let_aws_refuse_calls(self, service: str, for_: timedelta) -> None:
        """Throttle a service, or one queue, for a time."""
        service, _, queue = service.partition(" ")
        self.sandbox.outage(service, queue=QUEUES[queue] if queue else None, for_=for_)
        self.happened.outages += 1

    @rule(service=st.sampled_from(["dynamodb", "sqs", "scheduler"]), by=st.sampled_from(SLOW))
    def let_aws_be_slow(self, service: str, by: timedelta) -> None:
        """Let calls of a minute take long, or longer than a worker waits for an answer."""
        self.sandbox.slow(service, by=by, for_=timedelta(minutes=1))
        self.happened.outages += 1

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 10_000), times=st.sampled_from(KILLED_READERS))
    def let_reading_kill(self, which: int, times: int) -> None:
        """Let workers die that decode a message, before its task is known."""
        one = list(self.sent.values())[which % len(self.sent)]
        one.kills_readers = times
        one.is_poison |= times > MOST_DEATHS_ALONE
        self.happened.deaths += min(times, MOST_DEATHS_ALONE)

    @rule(call=st.integers(0, 12), after=st.booleans())
    def let_a_worker_die(self, call: int, after: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        self.happened.deaths += 1
        self.sandbox.crash_at(call, after=after)

    @rule(call=st.integers(1, 12), fault=st.sampled_from(AT_ONE_CALL))
    def let_a_call_fail(self, call: int, fault: str) -> None:
        def strike(call: Call) -> Any:
            return FAULTS[fault].strike(self.sandbox)(call) if FAULTS[fault].applies_to(call) else call.make()

        self.happened.deaths += 1
        self.happened.faults += 1
        self.sandbox.fault_at(call, strike)

    @rule(queue=st.sampled_from(sorted(QUEUES)))
    def redrive_with_our_command(self, queue: str) -> None:
        self._note_redrive(queue)
        # However the command ends, the letters that it leaves are still there.
        ends = suppress(WorkerDied, typer.Exit, BotoCoreError, ClientError)
        with ends, self.sandbox.worker(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            redrive(QUEUES[queue].name, rate=10.0)
        self._note()

    @rule(queue=st.sampled_from(sorted(QUEUES)), is_deleted=st.sampled_from([True, True, False]))
    def redrive_as_aws_does(self, queue: str, is_deleted: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        """Receive, send, delete. A letter that was not deleted can be redriven again."""
        dead, source = sqs.url(QUEUES[queue].dead_letter_name(STAGE)), sqs.url(QUEUES[queue].physical_name(STAGE))
        self._note_redrive(queue)
        asked: Any = {"MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"]}
        letters = client("sqs").receive_message(QueueUrl=dead, MessageAttributeNames=["All"], **asked)
        for letter in letters.get("Messages", []):
            group = letter["Attributes"].get("MessageGroupId")
            options: Any = {"MessageGroupId": group, "MessageDeduplicationId": new_id()} if QUEUES[queue].fifo else {}
            if "MessageAttributes" in letter:
                options["MessageAttributes"] = letter["MessageAttributes"]
            client("sqs").send_message(QueueUrl=source, MessageBody=letter["Body"], **options)
            if is_deleted:
                client("sqs").delete_message(QueueUrl=dead, ReceiptHandle=letter["ReceiptHandle"])
        self._note()

    def teardown(self) -> None:
        """Let all work end, and then check the promises."""
        try:
            self.sandbox.drain()
            self.sandbox.advance(self.set_back)  # else a schedule that has fired may seem to be due later
            letters = [letter for queue in QUEUES.values() for letter in self.sandbox.dead_letters(queue)]
            ours = [letter for letter in letters if letter.id in self.sent]
            found = list(broken(list(self.sent.values()), ours, self.outside, self.happened))
            found += self._unread([letter for letter in letters if letter.id not in self.sent])
            found += contradictions(STAGE)
            assert not found, "\n".join(found)
        finally:
            self.chance.stop()
            self.rollout.close()
            self.reading.__exit__(None, None, None)
            self.sandbox.__exit__(None, None, None)

    def _unread(self, letters: Sequence[DeadLetter]) -> Iterator[str]:
        """A body that can't be read is a dead letter for that reason, even after several redrives."""
        reasons: dict[str, set[str]] = {}
        for letter in letters:
            body = json.dumps({"task": letter.task, "args": letter.args}) if letter.task else letter.body
            reasons.setdefault(body, set()).add(letter.failure.reason if letter.failure is not None else MOVED_BY_SQS)
        if reasons != {body: {"malformed"} for body in self.nonsense}:
            yield f"unreadable bodies are dead letters for {reasons}"

    def _freeze(self) -> None:
        """Freeze the worker until its lease and its messages' visibility have passed. Other workers continue, and then
        it wakes up.
        """
        self.sandbox.freeze(jobs.visibility + timedelta(seconds=1))
        self.sandbox.run_once()

    def _kills(self, body: str) -> bool:
        one = next((one for one in self.sent.values() if one.kills_readers and one.id in body), None)
        if one is None:
            return False
        if memory.worker is not self.memory:
            one.killed_publishers += 1
            if one.killed_publishers > MOST_KILLED_PUBLISHERS:
                return False
        one.kills_readers -= 1
        return True

    def _note(self) -> None:
        """Remember every body in the queues, so that copies can be sent at any time."""
        for queue in QUEUES.values():
            for message in lying_in(sqs.url(queue.physical_name(STAGE))):
                try:
                    task_id = decode(message["Body"]).id
                except MalformedMessageError:
                    continue
                if task_id in self.sent:
                    self.bodies.setdefault(message["Body"], task_id)

    def _note_outbox(self) -> None:
        """The sweeper publishes the events that the stream gave up on. A later event may overtake them."""
        if oldest_unpublished(STAGE) is None:
            self.unpublished_since = None
        elif self.unpublished_since is not None and self.sandbox.now - self.unpublished_since > STREAM_GIVES_UP:
            for one in self.sent.values():
                one.is_ordered &= not one.is_published

    def _note_redrive(self, queue: str) -> None:
        for letter in self.sandbox.dead_letters(QUEUES[queue]):
            if letter.id in self.sent:
                self.sent[letter.id].redrives += 1


def test_the_promises_hold_in_random_histories(
    pytestconfig: pytest.Config, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = pytestconfig.getoption("states")
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=wanted or 15,
            stateful_step_count=40 if wanted else 15,
            derandomize=not wanted,
            database=None,
            report_multiple_bugs=False,
            deadline=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert not [record for record in caplog.records if SECRET in str(vars(record))]
    assert SECRET not in capsys.readouterr().out
