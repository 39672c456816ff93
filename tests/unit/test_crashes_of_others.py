"""The counts of a key's record: how many workers died of which of its messages."""

from celeriac.leases import crashes


def _record(task_id: str, died: int, others: str = "") -> dict[str, str | int]:
    return {"task_id": task_id, "crashes": died, crashes.OTHERS: others}


def test_the_deaths_of_a_message_are_remembered_until_it_takes_the_record_over_again() -> None:
    others = crashes.of_others(_record("a", 2), "b")
    assert crashes.before(_record("b", 0, others), "a") == 2
    assert crashes.before(_record("b", 0, others), "b") == 0
    assert crashes.of_others(_record("b", 0, others), "a") == ""


def test_deaths_before_and_after_another_message_are_added() -> None:
    others = crashes.of_others(_record("a", 2), "b")
    assert crashes.before(_record("c", 0, crashes.of_others(_record("a", 1, others), "c")), "a") == 3


def test_the_oldest_of_too_many_is_forgotten() -> None:
    others = ""
    for number in range(crashes.MOST + 1):
        others = crashes.of_others(_record(f"m{number}", 1, others), "last")
    assert [crashes.before(_record("last", 0, others), f"m{number}") for number in (0, 1)] == [0, 1]


def test_a_record_of_an_older_release_has_no_counts() -> None:
    assert crashes.before({"task_id": "a", "crashes": "2"}, "b") == 0
