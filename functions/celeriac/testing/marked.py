"""The mark `every_fault`: a test runs once for every AWS call of its workers and every kind of fault.

Each run is a whole test, with its fixtures, so that nothing is left of the run before.
"""

import pytest
from _pytest.runner import runtestprotocol  # pytest has no public way to run a test again; its own plugins use this one

from celeriac.testing.strikes import NothingToStrikeError, Strikes

STRIKES = pytest.StashKey[Strikes]()
PROPERTY = "every_fault"
TAKEN = {"calls", "kinds"}


def made(mark: pytest.Mark) -> Strikes:
    """The strikes that a mark asks for. Raises ValueError with what is wrong with the mark."""
    if mark.args or mark.kwargs.keys() - TAKEN:
        wrong = [*map(repr, mark.args), *(f"{name}=" for name in mark.kwargs if name not in TAKEN)]
        raise ValueError(f"the mark every_fault takes `calls=` and `kinds=`, not {', '.join(wrong)}")
    return Strikes(**mark.kwargs)


def run(item: pytest.Item, nextitem: pytest.Item | None, strikes: Strikes) -> None:
    """Run the test until it fails, or has been struck at every point. One report is logged.

    A run that is skipped says nothing about its point, and the next one follows. A run without a fault that is skipped
    ends the test.
    """
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    item.stash[STRIKES] = strikes
    reports: list[pytest.TestReport] = []
    goes_on = True
    while goes_on:
        last: list[pytest.TestReport] = runtestprotocol(item, log=False, nextitem=nextitem)
        skipped = _is_skipped(last)
        # The test is skipped as a whole only if no run with a fault came to its end.
        if not (skipped and strikes.held):
            reports = last
        ended_well = strikes.is_struck if skipped else all(report.passed for report in last)
        goes_on = ended_well and _next(item, strikes, last, skipped=skipped)
        if goes_on:
            item._initrequest()  # type: ignore[attr-defined]  # noqa: SLF001 - fresh fixtures for the next run
    for report in reports:
        if report.failed:
            report.sections.append(("every_fault", strikes.story))
        elif report.when == "call":
            report.user_properties.append((PROPERTY, strikes.summary))
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _is_skipped(reports: list[pytest.TestReport]) -> bool:
    """Whether the run skipped itself. An expected failure is no skip."""
    skipped = any(report.skipped and not hasattr(report, "wasxfail") for report in reports)
    return skipped and not any(report.failed for report in reports)


def _next(item: pytest.Item, strikes: Strikes, reports: list[pytest.TestReport], *, skipped: bool) -> bool:
    try:
        return strikes.next(skipped=skipped)
    except NothingToStrikeError as error:
        complaint: object = str(error)
    except Exception as error:  # noqa: BLE001 - the mark's own function chooses the calls
        complaint = item.repr_failure(pytest.ExceptionInfo.from_exception(error))
    for report in reports:
        if report.when == "call":
            report.outcome, report.longrepr = "failed", complaint  # type: ignore[assignment]  # pytest's own types differ
    return False
