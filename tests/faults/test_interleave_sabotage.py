"""The interleavings must notice a guard that is missing, and their story must name the calls.

Each test takes one guard out of Celeriac's own code, and plays schedules until one breaks a promise.
"""

import pytest

from celeriac.leases import claim_write, lease
from celeriac.relay import held
from tests.faults.interleave import Played, every
from tests.faults.plants import PLANTS
from tests.faults.scenes import SCENES
from tests.support.sabotage import plant


def _broken(scene: str, first: str, time_passes: str = "never", *, by: str, since: int = 1) -> Played:
    """The first schedule of the scene that breaks the promise. `first` begins, and stops at call `since` or later."""
    (second,) = SCENES[scene].actors.keys() - {first}
    schedules = every(scene, first, second, time_passes, since=since)
    return next(played for played in schedules if any(by in problem for problem in played.problems))


def _without_numbers(played: Played) -> list[str]:
    """The story without the receives that a worker outside of Lambda makes itself, so its calls have other numbers."""
    lines = [" ".join(word for word in line.split() if not word.isdigit()) for line in played.story]
    return [line for line in lines if "ReceiveMessage" not in line]


def test_a_lease_taken_over_while_its_new_holder_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS["takes a lease over after another"].plant(monkeypatch)
    found = _broken("take-over", "first", by="depend:a ran in two workers at once, and both held its lease")
    # Both have met the record of the dead worker. The second one takes over, and before it commits the first one does.
    assert _without_numbers(found)[2:6] == [
        "first stops before UpdateItem idempotency",
        "second PutItem idempotency: ConditionalCheckFailedException",
        "second UpdateItem idempotency",
        "second stops before TransactWriteItems",
    ]


def test_a_worker_that_commits_after_it_has_lost_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS["commits without its lease"].plant(monkeypatch)
    found = _broken("copies", "first", "at switch 1", by="'transfer:a': 2")
    assert any(line.startswith("--- ") for line in found.story)


def test_a_relay_that_does_not_wait_for_the_sweeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "hold", lambda rows, held: set())
    found = _broken("relay behind sweeper", "relay", by="ran in the order ['book:b', 'book:a']")
    assert "relay        2 SendMessageBatch matrix-ledger.fifo" in found.story


def test_a_sweep_that_frees_an_aggregate_though_the_relay_has_left_its_next_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch, held.release, ', "#last <= :last"', "")
    found = _broken("relay batch by batch", "sweeper", by="ran in the order ['book:a', 'book:c', 'book:b']", since=9)
    # The sweeper has looked which aggregates are held. Before it frees this one, the relay leaves its next row.
    stops = found.story.index("sweeper    stops before UpdateItem idempotency")
    assert [line.split()[0] for line in found.story[stops + 1 :]][:3] == ["relay"] * 3


def test_a_redrive_during_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, lease.claim, ' or wanted.redriven == found.get("redriven")', "")
    found = _broken("redrive in a retry", "consumer", by="depend_late:a ran 3 times instead of 2")
    assert "operator     3 SendMessageBatch matrix" in found.story


def test_two_redrives_of_one_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS["brings back a letter that is not the last"].plant(monkeypatch)
    found = _broken("two redrives in vain", "operator", "at switch 1", by="refuse:a is 2 dead letters")
    assert "operator     3 SendMessageBatch matrix" in found.story
    assert "aws          2 SendMessage matrix" in found.story


def test_a_message_that_runs_while_a_worker_holds_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS["takes a live lease over"].plant(monkeypatch)
    found = _broken("copies", "first", by="transfer:a ran in two workers at once, and both held its lease")
    assert "second     stops before TransactWriteItems" in found.story


def test_a_lease_that_ends_before_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS["ends a lease before its worker"].plant(monkeypatch)
    found = _broken("copies", "first", "shortly at switch 1", by="both held its lease")
    assert any(line.startswith("--- ") for line in found.story)


def test_a_failure_that_is_recorded_over_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS["records a failure without its lease"].plant(monkeypatch)
    _broken("stale failure", "first", "at switch 1", by="'depend:a': 2")


def test_a_copy_of_an_earlier_attempt_that_takes_over_a_lost_run(monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS["runs a copy of an earlier attempt"].plant(monkeypatch)
    found = _broken("late copy of a lost run", "first", by="fail_once:a ran 2 times instead of 1")
    story = _without_numbers(found)
    refused = next(i for i, line in enumerate(story) if line.endswith("ConditionalCheckFailedException"))
    assert story[refused + 1] == f"{story[refused].split()[0]} UpdateItem idempotency"  # takes over


def test_a_second_message_of_a_key_that_may_run_at_most_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, claim_write._free, "if not claim.once:", "if True:")
    found = _broken("one key at most once", "first", by="launch:a ran 1 times instead of 0")
    assert "first UpdateItem idempotency" in _without_numbers(found)
