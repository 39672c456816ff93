"""What AWS reads of the caller in each call."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac.aws import client as clients
from celeriac.model.version import VERSION
from celeriac.testing import Sandbox


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    clients.user_agent.cache_clear()
    yield
    clients.user_agent.cache_clear()


def test_each_client_sends_our_name_and_version(sandbox: Sandbox) -> None:
    sent: list[str] = []

    def note(request: Any, **_: object) -> None:
        agent = request.headers["User-Agent"]
        sent.append(agent.decode() if isinstance(agent, bytes) else agent)

    for patience in clients.PATIENCE:
        dynamodb = clients.make("dynamodb", patience)
        dynamodb.meta.events.register_first("before-send.dynamodb", note)
        dynamodb.list_tables()
    assert len(sent) == len(clients.PATIENCE)
    assert [agent for agent in sent if not agent.startswith(f"celeriac/{VERSION} Boto3/")] == []
    assert "exec-env/" not in sent[0]


def test_it_says_where_it_runs_and_for_which_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "shop")
    assert clients.user_agent().endswith(" exec-env/AWS_Lambda_python3.13 app/shop")


def test_a_name_cannot_end_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "shop\r\nHost: evil ä (x)")
    assert clients.user_agent().endswith(" app/shop--Host--evil----x-")
    assert re.fullmatch(r"[!-~ ]+", clients.user_agent())
