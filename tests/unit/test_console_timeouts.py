"""`celeriac doctor` and timeouts that Lambda's documentation doesn't promise."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from celeriac import Queue, task
from celeriac.testing import Sandbox
from celeriac_console.main import app
from celeriac_console.stage.clients import client

films = Queue("timeouts-films", timeout=timedelta(minutes=30), timeout_stands_on="api-model")
clips = Queue("timeouts-clips", timeout=timedelta(minutes=15))


@task(films)
def cut() -> None: ...


@task(clips)
def clip() -> None: ...


@contextmanager
def lambda_has(seconds: int | None, *quotas: Any, error: str = "") -> Iterator[list[str]]:
    """Let Lambda have a function with this timeout, and Service Quotas these quotas. Moto has neither."""
    asked: list[str] = []

    def function(params: Any, **_: object) -> Any:
        asked.append(params["url_path"].split("/")[-2])
        if seconds is None:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "GetFunction")
        return type("Answer", (), {"status_code": 200}), {"Timeout": seconds}

    def quota(**_: object) -> Any:
        if error:
            raise ClientError({"Error": {"Code": error, "Message": "no"}}, "ListServiceQuotas")
        return type("Answer", (), {"status_code": 200}), {"Quotas": list(quotas)}

    answers: Any = [
        ("lambda", "GetFunctionConfiguration", function),
        ("service-quotas", "ListServiceQuotas", quota),
    ]
    with ExitStack() as exits:
        for service, operation, answer in answers:
            events, name = client(service).meta.events, f"before-call.{service}.{operation}"
            events.register(name, answer)
            exits.callback(events.unregister, name, answer)
        yield asked


def doctor() -> list[str]:
    output = CliRunner().invoke(app, ["--stage", "test", "doctor"], env={"COLUMNS": "400"}).output
    lines = output.splitlines()
    return [line for at, line in enumerate(lines) if "timeout " in line or (at and "timeout " in lines[at - 1])]


@pytest.mark.usefixtures("sandbox")
def test_a_timeout_that_lambda_has_taken_is_well_and_only_such_functions_are_looked_at() -> None:
    with lambda_has(1800) as asked:
        (line,) = [line for line in doctor() if "timeout timeouts-films" in line]
    assert line == "ok    timeout timeouts-films: 0:30:00, and Lambda has taken it"
    assert asked == ["celeriac-test--timeouts-films"]


def test_one_that_it_has_not_taken_yet_says_what_it_stands_on_and_the_way_back(sandbox: Sandbox) -> None:
    del sandbox
    with lambda_has(900, {"QuotaName": "Function timeout", "Value": 900.0, "Unit": "Seconds"}):
        found = "\n".join(doctor())
    assert "WRONG timeout timeouts-films: 0:30:00 stands on AWS's API model of Lambda of 2026-11-19" in found
    assert "its function has 0:15:00. Service Quotas has 900 seconds" in found
    assert "if Lambda refuses the timeout, set 0:15:00 or less" in found


@pytest.mark.parametrize(
    ("quotas", "error", "says"),
    [
        ([], "", "Service Quotas has no quota for it"),
        ([{"QuotaName": "Function timeout", "Value": 1800.0, "Unit": "Seconds"}], "", "has 1,800 seconds"),
        ([], "UnknownService", "can't be seen: UnknownService"),
    ],
)
def test_before_the_first_deploy_it_says_what_service_quotas_says(
    sandbox: Sandbox, quotas: list[Any], error: str, says: str
) -> None:
    del sandbox
    with lambda_has(None, *quotas, error=error):
        found = "\n".join(doctor())
    assert "it isn't deployed" in found
    assert says in found
