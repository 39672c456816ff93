"""The mark `every_fault`: a test runs once for every AWS call of its workers and every kind of fault.

Each run is a whole test, with its fixtures, so that nothing is left of the run before.
"""

import pytest
from _pytest.runner import runtestprotocol  # pytest has no public way to run a test again; its own plugins use this one

from celeriac.testing.strikes import NothingToStrikeError, Strikes

STRIKES = pytest.StashKey[Strikes]()
PROPERTY = "every_fault"


def run(item: pytest.Item, nextitem: pytest.Item | None, mark: pytest.Mark) -> None:
    """Run the test until it fails, or has held at every point. One report is logged."""
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    strikes = item.stash[STRIKES] = Strikes(**mark.kwargs)
    goes_on = True
    while goes_on:
        reports: list[pytest.TestReport] = runtestprotocol(item, log=False, nextitem=nextitem)
        goes_on = all(report.passed for report in reports) and _next(strikes, reports)
        if goes_on:
            item._initrequest()  # type: ignore[attr-defined]  # noqa: SLF001 - fresh fixtures for the next run
    for report in reports:
        if report.failed:
            report.sections.append(("every_fault", strikes.story))
        elif report.when == "call":
            report.user_properties.append((PROPERTY, strikes.summary))
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _next(strikes: Strikes, reports: list[pytest.TestReport]) -> bool:
    try:
        return strikes.next()
    except NothingToStrikeError as error:
        for report in reports:
            if report.when == "call":
                report.outcome, report.longrepr = "failed", str(error)
        return False
