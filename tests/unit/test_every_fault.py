"""A user's scenario, or a user's whole test, runs once for every call and every kind of fault."""

from collections import Counter
from collections.abc import Iterator

import pytest

from celeriac import Context, Queue, task
from celeriac.testing import Call, Sandbox, every_fault
from celeriac.testing.endless import NotQuietError
from celeriac.testing.kinds import KINDS

jobs = Queue("every-fault")
mails: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    yield
    mails.clear()


@task(jobs, key="order")
def place(ctx: Context, order: str) -> None:
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": order})


@task(jobs, key="order")
def place_in_two_steps(ctx: Context, order: str) -> None:
    """The planted fault: the mail is sent before the order is committed."""
    mails[order] += 1
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": order})


def _place(sandbox: Sandbox) -> None:
    place.enqueue("a")


def test_a_task_whose_effects_are_in_a_transaction_holds_at_every_point() -> None:
    runs = every_fault(_place)
    seen = 0
    for sandbox in runs:
        seen += 1
        assert [item["pk"] for item in sandbox.items("orders")] == ["a"]
        assert sandbox.dead_letters(jobs) == []
    # Each of two calls has every kind, but a transaction has a token, so that it can't be carried out twice.
    assert seen == 2 + 2 * len(KINDS) - 1
    assert runs.summary.startswith(f"{seen - 2} points held (2 dies before, 2 dies after, ")


def test_a_mail_before_the_commit_is_found_and_its_story_told() -> None:
    def scenario(sandbox: Sandbox) -> None:
        mails.clear()
        place_in_two_steps.enqueue("a")

    runs = every_fault(scenario)
    with pytest.raises(AssertionError):
        for _ in runs:
            assert mails == {"a": 1}
    assert runs.story.splitlines() == [
        "dies before, TransactWriteItems 1",
        "",
        "the calls of the workers:",
        "    1  PutItem 1 of idempotency",
        ">   2  TransactWriteItems 1: its worker died before AWS got it",
        *runs.story.splitlines()[5:],
    ]


def test_calls_and_kinds_can_be_chosen() -> None:
    by_name = every_fault(_place, calls={"PutItem"}, kinds={"throttled", "dies after"})
    by_call = every_fault(_place, calls=lambda call: "PutItem" in call.operation, kinds={"throttled", "dies after"})
    for runs in (by_name, by_call):
        assert len(list(runs)) == 2 + 2
        assert runs.summary == "2 points held (1 dies after, 1 throttled)"


@pytest.mark.parametrize(
    ("scenario", "chosen", "complaint"),
    [
        (_place, {"kinds": {"explodes"}}, "unknown kinds of fault: explodes. There are: dies before, "),
        (_place, {"kinds": "throttled"}, "kinds='throttled': name kinds of fault in a set"),
        (_place, {"kinds": set()}, r"kinds=set\(\): name kinds"),
        (_place, {"calls": "PutItem"}, "calls='PutItem': name operations in a set"),
        (_place, {"calls": 3}, "calls=3: name operations in a set"),
        (_place, {"calls": {"PutItems"}}, "no worker made a call that a fault could strike"),
        (lambda _: None, {}, "no worker made a call that a fault could strike: enqueue something"),
    ],
)
def test_nothing_to_strike_is_an_error(scenario: object, chosen: dict[str, set[str]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        list(every_fault(scenario, **chosen))  # type: ignore[arg-type]  # parametrized


MARKED = """
import pytest
from celeriac import Context, Queue, task

jobs = Queue("marked")
mails = []

@task(jobs, key="order", name="marked_place")
def place(ctx: Context, order: str) -> None:
    {first}
    with ctx.transaction() as tx:
        tx.put("orders", {{"pk": order}})

@pytest.fixture(autouse=True)
def empty():
    mails.clear()

@pytest.fixture
def placed(sandbox):
    return place.enqueue("a")

@pytest.mark.every_fault({chosen})
def test_an_order(sandbox, placed):
    sandbox.drain()
    assert placed.status().state == "succeeded"
    assert len(mails) <= 1

def test_another(sandbox):
    assert sandbox.items("orders") == []
"""


def test_a_marked_test_runs_whole_for_every_point(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MARKED.format(first="pass", chosen='calls={"PutItem", "TransactWriteItems"}'))
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_an_order: 11 points held (2 dies before, 2 dies after, *"])


def test_a_marked_test_that_fails_tells_the_story(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MARKED.format(first="mails.append(order)", chosen=""))
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*every_fault*", "dies before, TransactWriteItems 1", "> * its worker died before AWS got it"]
    )


def test_a_marked_test_without_a_call_fails_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.every_fault
        def test_nothing(sandbox): ...

        @pytest.mark.every_fault
        def test_without_a_sandbox(): ...
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*no worker made a call*", "*didn't use its sandbox*"])


WRONG_MARKS = """
import pytest

@pytest.mark.every_fault(kinds={"dies bfore"})
def test_unknown_kind(sandbox): ...

@pytest.mark.every_fault(kind={"dies before"})
def test_unknown_name(sandbox): ...

@pytest.mark.every_fault("dies before")
def test_no_name(sandbox): ...

@pytest.mark.every_fault(kinds="throttled")
def test_text(sandbox): ...

def test_another(): ...
"""


def test_a_wrong_mark_fails_its_test_only(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(WRONG_MARKS)
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(passed=1, errors=4)
    result.stdout.fnmatch_lines(
        [
            "unknown kinds of fault: dies bfore. There are: dies before, *",
            "the mark every_fault takes `calls=` and `kinds=`, not kind=",
            "the mark every_fault takes `calls=` and `kinds=`, not 'dies before'",
            "kinds='throttled': name kinds of fault in a set, *",
        ]
    )


def test_a_wrong_mark_fails_the_session_of_several_processes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(WRONG_MARKS)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-n", "1")
    result.assert_outcomes(passed=1, errors=4)
    assert result.ret == 1


def test_a_function_that_cannot_choose_fails_its_test_only(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MARKED.format(first="pass", chosen="calls=lambda call: call.name == 'PutItem'"))
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*AttributeError: 'Call' object has no attribute 'name'*"])


def test_an_operation_that_no_worker_called_is_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MARKED.format(first="pass", chosen='calls={"PutItem", "TransactWriteItem"}'))
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.stdout.fnmatch_lines(["*6 points held (*); never called: TransactWriteItem"])


SKIPPING = """
import pytest
from celeriac import Queue, task

jobs = Queue("skipping")
runs = []

@task(jobs, key="order", name="skipping_note")
def note(order: str) -> None: ...

@pytest.mark.every_fault(calls={{"PutItem"}})
def test_an_order(sandbox):
    runs.append(1)
    note.enqueue("a")
    sandbox.drain()
    if {skips}:
        pytest.skip("not today")
    assert {holds}
"""


@pytest.mark.parametrize(
    ("skips", "holds", "outcomes", "line"),
    [
        ("len(runs) in {4, 8}", "True", {"passed": 1}, "*test_an_order: 4 points held (*); skipped: 2"),
        ("len(runs) == 4", "len(runs) < 7", {"failed": 1}, "throttled, PutItem 1 of idempotency"),
        ("len(runs) == 1", "False", {"skipped": 1}, "*1 skipped*"),
        ("len(runs) > 2", "True", {"skipped": 1}, "*1 skipped*"),
    ],
)
def test_a_run_that_skips_itself_leaves_the_others(
    pytester: pytest.Pytester, skips: str, holds: str, outcomes: dict[str, int], line: str
) -> None:
    pytester.makepyfile(SKIPPING.format(skips=skips, holds=holds))
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(**outcomes)
    result.stdout.fnmatch_lines([line])


def test_a_fixture_that_skips_a_run_before_its_sandbox_leaves_the_others(pytester: pytest.Pytester) -> None:
    skipping = "@pytest.fixture(autouse=True)\ndef a_skip():\n    if len(runs) == 3: runs.append(1); pytest.skip()\n"
    pytester.makepyfile(SKIPPING.format(skips="False", holds="True") + "\n" + skipping)
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*5 points held (*); skipped: 1"])


def test_what_is_left_of_the_first_run_is_not_taken_for_a_fault(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SKIPPING.format(skips="False", holds="runs == [1]"))
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["without any fault, in the second run: the first one held, and something is left *"])


def test_a_scenario_that_leaves_something_is_told_so() -> None:
    runs = every_fault(lambda _: place_in_two_steps.enqueue("a"))
    with pytest.raises(AssertionError):
        for _ in runs:
            assert mails == {"a": 1}
    assert "in the second run: the first one held" in runs.story


@task(jobs)
def again() -> None:
    again.enqueue()


def test_a_task_that_enqueues_itself_ends_with_the_reason() -> None:
    runs = every_fault(lambda _: again.enqueue())
    with pytest.raises(NotQuietError, match="messages in every-fault"):
        next(iter(runs))


def test_only_workers_are_struck() -> None:
    seen: list[str] = []

    def note(call: Call) -> bool:
        seen.append(call.operation)
        return True

    list(every_fault(_place, calls=note, kinds={"throttled"}))
    assert "SendMessage" not in seen  # the scenario's own call
