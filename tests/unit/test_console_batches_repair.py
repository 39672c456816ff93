"""`celeriac batches repair`: what a person can do for a batch that hasn't ended."""

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import celeriac
from celeriac import Backoff, Batch, Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.flow.batches import root
from celeriac.testing import Sandbox, WorkerDied
from celeriac_console.dlq import redriver
from celeriac_console.dlq.queue_reader import Taken
from celeriac_console.dlq.redriver import Redriver
from celeriac_console.main import app
from celeriac_console.terminal.errors import UserError
from tests.support.terminal import AtTerminal

parts = Queue("mend-parts", batch_size=10)
others = Queue("mend-others")
ends = Queue("mend-ends")
IMPORT = "mend-ends#m_then:import-7"
DEAD = -1
bad: set[int] = set()
ran: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _empty() -> None:
    bad.clear()
    ran.clear()


@task(parts, retry=Backoff(attempts=1))
def m_part(number: int) -> None:
    if number in bad:
        raise Reject("not this one")
    ran["part"] += 1


@task(others, retry=Backoff(attempts=1))
def m_other(number: int) -> None:
    if number in bad:
        raise Reject("not this one")
    ran["other"] += 1


@task(ends)
def m_then() -> None:
    ran["then"] += 1


@task(ends, retry=Backoff(attempts=1))
def m_dead() -> None:
    if DEAD in bad:
        raise Reject("not this one")
    ran["dead"] += 1


@task(ends, retry=Backoff(attempts=1))
def m_end(number: int) -> None:
    if number in bad:
        raise Reject("not this one")


def _repair(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", "batches", "repair", *arguments])


def _done(*arguments: str) -> str:
    answer = _repair(*arguments)
    assert answer.exit_code == 0, answer.output
    return " ".join(answer.output.split())


def _refused(*arguments: str) -> str:
    answer = _repair(*arguments)
    assert answer.exit_code == 2, answer.output
    return " ".join(answer.output.split())


def _fill(count: int, key: str = "import-7") -> Batch:
    with celeriac.batch(then=m_then.bind(), dead=m_dead.bind(), key=key) as batch:
        batch.enqueue_many(m_part, ({"number": number} for number in range(count)))
        batch.enqueue_many(m_other, ({"number": number} for number in range(count)))
    return batch


def _dies_open(sandbox: Sandbox) -> None:
    with suppress(WorkerDied), sandbox.worker():
        sandbox.crash_at(2, after=True)
        _fill(1)


def _dies_sealed(sandbox: Sandbox) -> None:
    """After the seal, before the nodes are told of it."""
    with suppress(WorkerDied), sandbox.worker():
        sandbox.crash_at(4, after=True)
        _fill(1)


def _members_run(sandbox: Sandbox) -> None:
    while sandbox.run_once():
        pass


@pytest.fixture
def keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage keeps its data."""
    (tmp_path / "celeriac.toml").write_text('name = "celeriac"\n[stages.test]\n')
    monkeypatch.chdir(tmp_path)


def _dead_letters(*queues: Queue) -> int:
    return sum(sum(sqs.counts(sqs.url(queue.dead_letter_name("test"))).values()) for queue in queues)


def test_the_callback_that_a_death_has_kept_back_is_sent_once(sandbox: Sandbox) -> None:
    _dies_sealed(sandbox)
    _members_run(sandbox)
    assert ran == {"part": 1, "other": 1}
    assert "All members have succeeded, and `then` was sent." in _done(IMPORT)
    _members_run(sandbox)
    assert ran["then"] == 1
    assert "has ended: all its members have succeeded. There is nothing to repair" in _refused(IMPORT)


def test_the_news_of_a_dead_member_that_a_death_has_kept_back_is_sent(sandbox: Sandbox) -> None:
    bad.add(0)
    batch = celeriac.batch(then=m_then.bind(), dead=m_dead.bind(), key="import-7").__enter__()
    batch.enqueue_many(m_part, [{"number": 0}])
    _members_run(sandbox)
    with suppress(WorkerDied), sandbox.worker():
        sandbox.crash_at(1, after=True)  # the seal
        batch.__exit__(None, None, None)
    assert ran["dead"] == 0
    shown = CliRunner().invoke(app, ["--stage", "test", "batches", "show", IMPORT]).output
    assert "`dead` isn't sent yet" in shown
    said = _done(IMPORT)
    assert "`dead` was sent." in said
    assert "1 member is dead" in said
    assert f"redrive what has a letter: celeriac --stage test batches repair '{IMPORT}' --redrive" in said
    _done(IMPORT)
    _members_run(sandbox)
    assert ran["dead"] == 1


def test_a_batch_that_waits_for_members_says_so(sandbox: Sandbox) -> None:
    _fill(1)
    assert "2 members are missing" in _done(IMPORT)
    answer = json.loads(_repair(IMPORT, "--json").stdout)
    assert (answer["state"], answer["missing"], answer["has_fired"]) == ("running", 2, False)
    sandbox.drain()
    assert ran["then"] == 1


def test_a_release_without_the_callbacks_queue_is_told(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    _dies_sealed(sandbox)
    _members_run(sandbox)
    known: Any = registry.queues()
    monkeypatch.setattr(registry, "queues", lambda: {name: it for name, it in known.items() if name != ends.name})
    said = _refused(IMPORT)
    assert "the queue 'mend-ends' of a batch's callbacks isn't declared in this release" in said
    assert "deploy it" in said


def test_redrive_takes_the_letters_of_this_batch_from_all_queues_and_no_others(sandbox: Sandbox) -> None:
    bad.update({0, 1})
    _fill(3)
    _fill(2, "import-8")
    m_part.enqueue(number=0)
    sandbox.drain()
    assert _dead_letters(parts, others) == 9
    bad.clear()
    said = _done(IMPORT, "--redrive")
    assert f"2 of 2 dead letters of {IMPORT} redriven to mend-others" in said
    assert f"2 of 2 dead letters of {IMPORT} redriven to mend-parts" in said
    assert _dead_letters(parts, others) == 5
    sandbox.drain()
    assert (ran["then"], ran["dead"]) == (1, 2)
    answer = json.loads(_repair("mend-ends#m_then:import-8", "--redrive", "--json").stdout)
    assert (answer["dead"], answer["matched"], answer["redriven"], answer["problems"]) == (4, 4, 4, [])


def test_redrive_goes_no_faster_than_its_rate(sandbox: Sandbox) -> None:
    bad.update(range(12))
    with celeriac.batch(then=m_then.bind(), key="import-7") as batch:
        batch.enqueue_many(m_part, ({"number": number} for number in range(12)))
    sandbox.drain()
    start = sandbox.now
    _done(IMPORT, "--redrive", "--rate", "0.2/s")
    assert sandbox.now - start >= timedelta(seconds=11 / 0.2)


def test_the_command_that_shows_letters_of_missing_members_shows_no_others(sandbox: Sandbox) -> None:
    _fill(1)
    _fill(1, "import-8")
    for queue in (parts, others):
        for _ in range(queue.receive_limit + 1):
            client("sqs").receive_message(
                QueueUrl=sqs.url(queue.physical_name("test")), MaxNumberOfMessages=10, VisibilityTimeout=0
            )
    said = _done(IMPORT)
    assert "2 members are missing" in said
    command = said.partition("see dead letters: celeriac ")[2].partition(" see ")[0]
    answer = CliRunner().invoke(app, [*shlex.split(command), "--json"])
    assert answer.exit_code == 0, answer.output
    assert sorted(each["task"] for each in json.loads(answer.stdout)) == ["m_other", "m_part"]


def test_redrive_leaves_members_of_a_run_that_was_aborted(sandbox: Sandbox) -> None:
    bad.add(0)
    with suppress(ZeroDivisionError), celeriac.batch(then=m_then.bind(), key="import-7") as batch:
        batch.enqueue_many(m_part, [{"number": 0}])
        _ = 1 / 0
    with celeriac.batch(then=m_then.bind(), key="import-7") as batch:
        batch.enqueue_many(m_part, [{"number": 0}])
    sandbox.drain()
    assert _dead_letters(parts) == 2
    assert "1 of 1 dead letter" in _done(IMPORT, "--redrive")
    assert _dead_letters(parts) == 1


def test_redrive_leaves_the_letters_of_the_batchs_callbacks(sandbox: Sandbox) -> None:
    bad.update({0, DEAD})
    with celeriac.batch(then=m_then.bind(), dead=m_dead.bind(), key="import-7") as batch:
        batch.enqueue(m_end, 0)
    sandbox.drain()
    assert _dead_letters(ends) == 2
    assert "1 of 1 dead letter" in _done(IMPORT, "--redrive")
    assert _dead_letters(ends) == 1


def test_an_interrupted_redrive_says_how_to_go_on(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    bad.add(0)
    _fill(1)
    sandbox.drain()
    visit = Redriver.visit

    def interrupted(self: Redriver, taken: Sequence[Taken]) -> set[str]:
        if self.target is parts:
            raise KeyboardInterrupt
        return visit(self, taken)

    monkeypatch.setattr(Redriver, "visit", interrupted)
    monkeypatch.setattr("sys.argv", ["celeriac", "batches", "repair", IMPORT, "--redrive"])
    answer = _repair(IMPORT, "--redrive")
    assert answer.exit_code == 130
    said = " ".join(answer.output.split())
    assert f"1 dead letter of {IMPORT} sent back, the others are still dead letters" in said
    assert f"Go on: celeriac batches repair '{IMPORT}' --redrive" in said
    assert _dead_letters(parts, others) == 1


def _refuse(*_: object) -> None:
    raise UserError("its arguments are gone")


def test_a_letter_that_cant_be_sent_is_told_and_stays(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    bad.add(0)
    _fill(1)
    sandbox.drain()
    monkeypatch.setattr(redriver, "entry", _refuse)
    answer = _repair(IMPORT, "--redrive")
    assert answer.exit_code == 1
    assert "1 letter was not redriven. The first:" in answer.stderr
    assert len(json.loads(_repair(IMPORT, "--redrive", "--json").stdout)["problems"]) == 2
    assert _dead_letters(parts, others) == 2


def test_a_dead_member_without_a_letter_is_told(sandbox: Sandbox) -> None:
    bad.add(0)
    _fill(1)
    sandbox.drain()
    CliRunner().invoke(app, ["--stage", "test", "dlq", "discard", "mend-others", "--yes"])
    said = _done(IMPORT, "--redrive")
    assert "1 dead member has no letter" in said


def test_redrive_without_dead_members_is_refused(sandbox: Sandbox) -> None:
    _fill(1)
    assert f"no member of {IMPORT} is known to be dead" in _refused(IMPORT, "--redrive")


def test_a_stage_that_keeps_its_data_asks_before_a_redrive(
    sandbox: Sandbox, keeps: None, at_terminal: AtTerminal
) -> None:
    bad.add(0)
    _fill(1)
    sandbox.drain()
    assert "add --yes to do it without being asked" in _refused(IMPORT, "--redrive")
    code, said = at_terminal("n\n", "--stage", "test", "batches", "repair", IMPORT, "--redrive")
    assert code == 1
    assert f"Redrive 2 dead members of {IMPORT} in the stage test?" in said
    assert _dead_letters(parts, others) == 2
    _done(IMPORT, "--redrive", "--yes")
    assert _dead_letters(parts, others) == 0


def test_a_block_whose_program_died_is_given_up(sandbox: Sandbox) -> None:
    _dies_open(sandbox)
    assert "isn't complete, so no callback is due" in _refused(IMPORT)
    assert f"{IMPORT} is given up" in _done(IMPORT, "--give-up")
    assert not [one for shard in root.shards(root.RUNNING) for one in root.listed(shard, 9)]
    assert f"nobody waits for {IMPORT}" in _refused(IMPORT, "--give-up")
    _fill(1)
    sandbox.drain()
    assert ran["then"] == 1


def test_a_stage_that_keeps_its_data_asks_before_it_gives_up(
    sandbox: Sandbox, keeps: None, at_terminal: AtTerminal
) -> None:
    _dies_open(sandbox)
    code, said = at_terminal("n\n", "--stage", "test", "batches", "repair", IMPORT, "--give-up")
    assert code == 1
    assert f"Give up {IMPORT}, in the stage test?" in said
    assert json.loads(_repair(IMPORT, "--give-up", "--yes", "--json").stdout)["given_up"] is True


def test_a_batch_that_has_changed_meanwhile_is_not_given_up(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    _dies_open(sandbox)
    real = root.leave_index

    def late(batch: root.Batch) -> bool:
        _fill(1)
        return real(batch)

    monkeypatch.setattr(root, "leave_index", late)
    assert "has changed meanwhile: another program has completed it" in _refused(IMPORT, "--give-up")


def test_a_complete_batch_whose_member_wont_succeed_is_given_up(sandbox: Sandbox) -> None:
    _fill(1)
    assert "`then` comes" in _done(IMPORT, "--give-up")
    assert f"nobody waits for {IMPORT}" in _refused(IMPORT, "--give-up")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["mend-ends#no"], "no batch has the id mend-ends#no"),
        (["no"], "'no' is no id of a batch"),
        ([IMPORT, "--redrive", "--give-up"], "give one of them"),
        ([IMPORT, "--rate", "5/s"], "--rate is for --redrive"),
    ],
)
def test_what_cant_be_repaired_is_refused_with_its_cure(sandbox: Sandbox, arguments: list[str], sentence: str) -> None:
    _fill(1)
    assert sentence in _refused(*arguments)
