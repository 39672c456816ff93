"""The task of the tests' application."""

from celeriac import task
from tests.application.queues import desk


@task(desk)
def file_away(paper: str) -> dict[str, str]:
    return {"filed": paper}
