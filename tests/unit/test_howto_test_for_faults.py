"""docs/howto/test-for-faults.md: its task fails its test with the page's story, and the cure passes it."""

import sys
from pathlib import Path

import pytest

from tests.support.howto import ROOT, blocks, check_style, copied, run, typed_in

PAGE = ROOT / "docs" / "howto" / "test-for-faults.md"
TASK, TEST, CURE, PRODUCER, SCENARIO = blocks(PAGE, "python")
STORY, SUMMARY = (text.strip() for text in PAGE.read_text().split("```")[1::2] if text.startswith("\n"))

STRICT = 'assert shipping.sent == ["o-1 is on its way"]'
HONEST = 'assert set(shipping.sent) == {"o-1 is on its way"}'


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    made = copied(tmp_path)
    typed_in(made, 'parcels = Queue("parcels")', "queues")
    tables = made / "functions" / "tasks" / "tables.py"
    tables.write_text(tables.read_text() + '\nstock = Table("stock")\n')
    (made / "functions" / "tasks" / "shipping.py").write_text(TASK)
    (made / "tests").mkdir()
    (made / "tests" / "test_shipping.py").write_text(TEST)
    return made


def _cured(copy: Path) -> None:
    shipping = copy / "functions" / "tasks" / "shipping.py"
    shipping.write_text(TASK[: TASK.index("@task")] + CURE)


def test_the_mail_before_the_commit_is_found_with_the_pages_story(copy: Path) -> None:
    check_style(copy, "functions/tasks/shipping.py", "tests/test_shipping.py")
    with pytest.raises(AssertionError) as failed:
        run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    for line in STORY.splitlines():
        assert line in str(failed.value).splitlines()


def test_the_cure_holds_at_every_point(copy: Path) -> None:
    _cured(copy)
    assert HONEST in PAGE.read_text()
    (copy / "tests" / "test_shipping.py").write_text(TEST.replace(STRICT, HONEST))
    check_style(copy, "functions/tasks/shipping.py", "tests/test_shipping.py")
    told = run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert SUMMARY.removesuffix(" ...)") in told


def test_a_producer_is_struck_too(copy: Path) -> None:
    _cured(copy)
    (copy / "tests" / "test_shipping.py").write_text(f"{TEST}\n\n{PRODUCER}")
    told = run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", "-k", "taken")
    assert "test_an_order_that_was_taken_ships_once: " in told


def test_the_scenario_runs_without_pytest(copy: Path) -> None:
    _cured(copy)
    assert "points held" in run(copy, sys.executable, "-c", SCENARIO)
