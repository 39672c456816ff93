"""An AWS login that ends while the page is open: each screen says so, and works again after a new one."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import (
    ClientError,
    LoginRefreshRequired,
    NoCredentialsError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

import celeriac
from celeriac import Breaker, Queue, Reject, task
from celeriac.model.errors import NotConfiguredError
from celeriac.testing import Sandbox
from celeriac_console.explain import explanation, is_of_login
from celeriac_console.stage import clients
from celeriac_console.web.screens import ROOMS
from tests.web.conftest import Opens, Page

ferry = Queue("ferries", history=True)
HOUR = timedelta(hours=1)
ASKS_NOTHING = {"/tasks", "/jobs", "/jobs/{number}"}
"""The screens that show only what this process knows."""


@task(ferry, limits=[Breaker("fares")])
def page_crosses(number: int) -> None:
    raise Reject("fog")


@dataclass
class Login:
    """The operator's credentials, as botocore gets them again and again from a program."""

    file: Path
    sandbox: Sandbox
    key: str = ""
    at: dict[str, Callable[[], object]] = field(default_factory=dict)
    """What happens once before an operation."""

    def begin(self, key: str, lasts: timedelta = HOUR) -> None:
        """Log in. The key is another one each time."""
        self.key = key
        found = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": "s", "SessionToken": "t"}
        self.file.write_text(json.dumps(found | {"Expiration": (self.sandbox.now + lasts).isoformat()}))

    def end(self) -> None:
        """Log out."""
        self.file.unlink()


@pytest.fixture
def login(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Login]:
    """AWS takes the newest key only."""
    found = Login(tmp_path / "login.json", sandbox)
    config = tmp_path / "config"
    config.write_text(f"[profile operator]\nregion = eu-central-1\ncredential_process = cat {found.file}\n")
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def checked(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        found.at.pop(operation, lambda: None)()
        key = client._request_signer._credentials.get_frozen_credentials().access_key
        if key != found.key:
            raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "by the test"}}, operation)
        return real(client, operation, arguments)

    with monkeypatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_CONFIG_FILE", str(config))
        patch.setenv("AWS_PROFILE", "operator")
        found.begin("first")
        clients.forget()
        patch.setattr(BaseClient, "_make_api_call", checked)
        yield found
    clients.forget()


def _urls(page: Page) -> dict[str, str]:
    """Of each screen its path, and a URL."""
    [group] = page.json("/dead-letters/ferries")["groups"]
    [letter] = page.json("/dead-letters/ferries", kind=group["kind"])["letters"]
    given = {"queue": "ferries", "name:path": "page_crosses", "id": letter["message_id"], "number": "1"}
    given["name"] = "fares"
    given["ref:path"] = "page_crosses/1@ferries"
    paths = [screen.path for room in ROOMS for screen in room.screens]
    found = {path: path for path in paths}
    for path in paths:
        for name, value in given.items():
            found[path] = found[path].replace(f"{{{name}}}", value)
    found["/status"] += "?ref=some-id"
    found["/delayed/choose"] += "?do=cancel&task=page_crosses"
    found["/limits/{name}/change"] += "?do=open"
    found["/batches/one"] += "?id=ferries%23page_crosses%3Ab"
    found["/run-again"] += "?task=page_crosses&of=1"
    return found


def _die(sandbox: Sandbox) -> None:
    with celeriac.batch(then=page_crosses.bind(number=1), key="b") as batch:
        batch.enqueue(page_crosses, 1)
    sandbox.drain()


def test_each_screen_says_that_the_login_has_ended_and_works_after_a_new_one(
    opened: Opens, sandbox: Sandbox, login: Login
) -> None:
    _die(sandbox)
    page = opened().enter()
    page.act("/dead-letters/ferries/jobs", what="redrive")
    page.shared.jobs.get("1").join(30)
    sandbox.drain()
    urls = _urls(page)
    before = {path: page.browser.get(url).status_code for path, url in urls.items()}
    assert {path: code for path, code in before.items() if code != 200} == {}
    sandbox.advance(2 * HOUR)
    login.end()
    for path, url in urls.items():
        shown = page.browser.get(url)
        assert ("log in again" in shown.text) is (path not in ASKS_NOTHING), path
        assert shown.status_code in {200, 502}, path
    login.begin("second")
    sandbox.advance(timedelta(seconds=6))  # the next tick of an open tab
    for path, url in urls.items():
        shown = page.browser.get(url)
        assert shown.status_code == 200, path
        assert "log in again" not in shown.text, path


def test_a_key_that_aws_refuses_before_its_end_is_read_again(opened: Opens, sandbox: Sandbox, login: Login) -> None:
    page = opened().enter()
    page.json("/activity")
    login.key = "another"  # the file still has the first one
    assert "log in again" in page.browser.get("/activity").text
    login.begin("another")
    page.json("/activity")


def test_an_action_without_a_login_does_nothing(opened: Opens, sandbox: Sandbox, login: Login) -> None:
    _die(sandbox)
    page = opened().enter()
    login.key = "another"
    assert "log in again" in page.act("/dead-letters/ferries/jobs", status=502, what="redrive")
    assert "log in again" in page.act("/quarantine/add", status=502, task="page_crosses")
    assert page.shared.jobs.all() == []
    login.begin("another")
    assert len(sandbox.dead_letters(ferry)) == 1
    assert page.json("/activity")["lines"] == []


def test_a_job_waits_for_a_new_login_and_takes_it(opened: Opens, sandbox: Sandbox, login: Login) -> None:
    page_crosses.enqueue_many({"number": number} for number in range(40))
    sandbox.drain()
    page = opened().enter()
    login.at["SendMessageBatch"] = lambda: setattr(login, "key", "another")
    page.act("/dead-letters/ferries/jobs", what="redrive")
    job = page.shared.jobs.get("1")
    assert job.wait_for(frozenset({"paused"}), 30)
    assert "log in again" in page.html("/jobs/1")
    # Resumed without a login, it says so once more.
    page.act("/jobs/1/resume")
    assert job.wait_for(frozenset({"paused"}), 30)
    login.begin("another")
    sandbox.advance(timedelta(minutes=1))  # a login takes a while: letters that couldn't be given back are visible
    page.act("/jobs/1/resume")
    job.join(30)
    assert (job.progress().state, job.progress().count) == ("done", 40)
    assert page.json("/activity")["lines"][0]["outcome"] == "done"


@pytest.mark.parametrize(
    "error",
    [
        NoCredentialsError(),
        NotConfiguredError(),
        UnauthorizedSSOTokenError(),
        LoginRefreshRequired(),
        TokenRetrievalError(provider="sso", error_msg="expired"),
        *(ClientError({"Error": {"Code": code}}, "GetItem") for code in ("ExpiredToken", "ExpiredTokenException")),
        ClientError({"Error": {"Code": "InvalidAccessKeyId"}}, "GetObject"),
    ],
)
def test_what_a_new_login_cures_is_known(error: Exception) -> None:
    if isinstance(error, NotConfiguredError):
        error.__cause__ = NoCredentialsError()
    assert is_of_login(error)
    found = explanation(error)
    assert found is not None
    assert "log in again" in found[0] or "Set AWS_PROFILE" in found[0]


def test_other_errors_arent_cured_by_a_login() -> None:
    assert not is_of_login(ClientError({"Error": {"Code": "AccessDenied"}}, "GetItem"))
    assert not is_of_login(NotConfiguredError("no region"))
