"""A producer says where it sends, or is told what is missing. It never sends to a stage that nobody named."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

import celeriac
from celeriac import AlreadyConfiguredError, CeleriacError, NotConfiguredError, Queue, task
from celeriac.aws import client as clients
from celeriac.aws import sqs
from celeriac.declare import registry
from celeriac.model import given, names, settings
from celeriac.testing import Sandbox
from celeriac.testing.elsewhere import SHUT, leads_elsewhere
from tests.support import endpoint

jobs = Queue("configured-jobs", batch_size=10)
SECRET = "4111-1111"


@task(jobs, key="who")
def work(who: str) -> None: ...


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A process that has neither configured nor used anything, in a shell without variables."""
    for name in [name for name in os.environ if leads_elsewhere(name)]:
        monkeypatch.delenv(name)
    for name, value in SHUT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(given, "_given", given.Given())
    monkeypatch.setattr(given, "_is_used", False)
    monkeypatch.setattr(given, "_environment_decides", False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(sqs, "urls", {})
    clients._client.cache_clear()
    yield monkeypatch
    clients._client.cache_clear()


def _transact() -> None:
    with celeriac.transaction() as tx:
        tx.enqueue(work, who=SECRET)


async def _atransact() -> None:
    async with celeriac.transaction() as tx:
        tx.enqueue(work, who=SECRET)


USES: list[Callable[[], object]] = [
    lambda: work.enqueue(SECRET),
    lambda: work.options(delay=timedelta(days=1)).enqueue(SECRET),
    lambda: work.enqueue_many([{"who": SECRET}] * 25),
    lambda: asyncio.run(work.aenqueue(SECRET)),
    lambda: asyncio.run(work.aenqueue_many([{"who": SECRET}])),
    lambda: work.handle(key=SECRET).status(),
    lambda: asyncio.run(work.handle(key=SECRET).astatus()),
    _transact,
    lambda: asyncio.run(_atransact()),
]


@pytest.mark.parametrize("use", USES)
def test_without_a_stage_nothing_is_sent_and_the_error_has_three_cures(
    producer: pytest.MonkeyPatch, use: Callable[[], object]
) -> None:
    producer.setattr(clients, "make", lambda *_: pytest.fail("a client was made"))
    with pytest.raises(NotConfiguredError) as raised:
        use()
    for cure in ("celeriac.configure(stage=...)", "CELERIAC_STAGE", "`sandbox`"):
        assert cure in str(raised.value)
    assert SECRET not in str(raised.value)
    assert isinstance(raised.value, CeleriacError)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("missing", "given_", "cure"),
    [
        ("region", {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}, "celeriac.configure(region=...)"),
        ("credentials", {"AWS_REGION": "eu-west-1"}, "celeriac.configure(session=...)"),
        ("credentials", {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "k"}, "celeriac.configure(session=...)"),
    ],
)
def test_without_a_region_or_credentials_the_error_has_the_cure(
    producer: pytest.MonkeyPatch, use: Callable[[], object], missing: str, given_: dict[str, str], cure: str
) -> None:
    celeriac.configure(stage="prod")
    for name, value in given_.items():
        producer.setenv(name, value)
    with pytest.raises(NotConfiguredError, match=f"no AWS {missing}") as raised:
        use()
    assert cure in str(raised.value)
    assert SECRET not in str(raised.value)


def test_what_is_missing_can_be_given_after_the_error(producer: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotConfiguredError):
        work.enqueue("w")
    celeriac.configure(stage="prod")
    with pytest.raises(NotConfiguredError, match="no AWS region"):
        work.enqueue("w")
    celeriac.configure(stage="prod", region="eu-west-1")
    with pytest.raises(NotConfiguredError, match="no AWS credentials"):
        work.enqueue("w")
    celeriac.configure(stage="prod", session=boto3.Session("key", "secret", region_name="eu-west-1"))
    assert clients.client("sqs").meta.region_name == "eu-west-1"


def test_a_call_comes_before_the_environment_and_the_environment_before_the_file(
    producer: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "celeriac.toml").write_text('name = "filed"\n')
    producer.chdir(tmp_path)
    producer.setenv("CELERIAC_STAGE", "staging")
    celeriac.configure()
    assert names.prefix(settings.stage()) == "filed-staging"
    producer.setenv("CELERIAC_APPLICATION", "shell")
    assert names.prefix(settings.stage()) == "shell-staging"
    celeriac.configure(stage="prod", application="shop")
    assert names.prefix(settings.stage()) == "shop-prod"


def test_the_region_is_the_given_one_or_that_of_the_session_or_of_the_environment(
    producer: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        producer.setenv(name, "test")
    session = boto3.Session(region_name="eu-north-1")

    def region(**values: Any) -> str:
        producer.setattr(given, "_is_used", False)
        clients._client.cache_clear()
        celeriac.configure(**values)
        return clients.client("sqs").meta.region_name

    producer.setenv("AWS_REGION", "eu-west-1")
    assert region() == "eu-west-1"  # boto3 alone doesn't know this variable
    producer.setattr(boto3, "DEFAULT_SESSION", None)
    producer.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert region() == "eu-west-2"
    assert region(session=session) == "eu-north-1"
    assert region(session=session, region="eu-south-1") == "eu-south-1"


def test_the_session_has_the_credentials(producer: pytest.MonkeyPatch) -> None:
    session = boto3.Session("from-the-session", "secret", region_name="eu-north-1")
    celeriac.configure(stage="prod", session=session)
    assert clients.client("sqs")._request_signer._credentials.access_key == "from-the-session"  # type: ignore[attr-defined]  # botocore's own


@pytest.mark.parametrize(
    ("values", "error", "says"),
    [
        ({"stage": "Prod"}, ValueError, "the stage 'Prod' can't be part"),
        ({"stage": ""}, ValueError, "the stage '' can't be part"),
        ({"application": "my-shop"}, ValueError, "without a hyphen"),
        ({"region": "europe"}, ValueError, "'europe' is no AWS region"),
        ({"stage": 5}, TypeError, r"configure\(stage=...\) takes a text, not int"),
        ({"session": "default"}, TypeError, "takes a boto3.Session, not str"),
        ({"stag": "prod"}, TypeError, "stag"),
    ],
)
def test_a_wrong_value_is_refused_at_once(
    producer: pytest.MonkeyPatch, values: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        celeriac.configure(**values)
    assert given.values() == given.Given()


@pytest.mark.parametrize("region", ["eu-central-1", "us-gov-west-1", "cn-north-1", "ap-southeast-5", "eusc-de-east-1"])
def test_every_kind_of_region_is_one(producer: pytest.MonkeyPatch, region: str) -> None:
    celeriac.configure(region=region)


def test_before_the_first_use_the_last_call_counts(producer: pytest.MonkeyPatch) -> None:
    celeriac.configure(stage="prod", application="shop")
    celeriac.configure(stage="staging")
    assert given.values() == given.Given("staging")


def test_after_the_first_client_other_values_are_refused(producer: pytest.MonkeyPatch) -> None:
    session = boto3.Session("key", "secret", region_name="eu-north-1")
    celeriac.configure(stage="prod", session=session)
    clients.client("sqs")
    celeriac.configure(stage="prod", session=session)
    for values in ({"stage": "staging"}, {"stage": "prod", "session": session, "region": "eu-west-1"}, {}):
        with pytest.raises(AlreadyConfiguredError, match="call it once, before the first use"):
            celeriac.configure(**values)
    assert settings.stage() == "prod"
    assert clients.client("sqs").meta.region_name == "eu-north-1"


def test_a_place_of_the_environment_that_was_used_is_not_replaced(producer: pytest.MonkeyPatch) -> None:
    for name in ("CELERIAC_STAGE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        producer.setenv(name, "staging")
    producer.setenv("AWS_REGION", "eu-west-1")
    clients.client("sqs")
    with pytest.raises(AlreadyConfiguredError):
        celeriac.configure(stage="prod")


def test_in_a_sandbox_it_has_no_effect(producer: pytest.MonkeyPatch) -> None:
    celeriac.configure(stage="prod", region="us-east-1", application="shop")
    with Sandbox() as sandbox:
        celeriac.configure(stage="staging")
        work.enqueue("w")
        assert settings.stage() == "test"
        assert sandbox.calls == {("sqs", "SendMessage"): 1}
    assert given.values().stage == "prod"


def test_in_a_worker_it_has_no_effect(producer: pytest.MonkeyPatch) -> None:
    producer.setenv("CELERIAC_STAGE", "staging")
    producer.setattr(registry, "_by_home", {})  # a worker forgets tasks that it can't use
    registry.load_what_works()
    celeriac.configure(stage="prod")
    assert settings.stage() == "staging"


def test_a_forked_process_has_the_values_of_its_parent_and_clients_of_its_own() -> None:
    seen = endpoint.run("""
        import os
        import celeriac
        from celeriac import Queue, task

        @task(Queue("jobs", batch_size=10))
        def work(who: str) -> None: ...

        celeriac.configure(stage="prod", region="eu-west-3", application="shop")
        work.enqueue(who="parent")
        pid = os.fork()
        if pid == 0:
            celeriac.configure(stage="prod", region="eu-west-3", application="shop")
            work.enqueue(who="a child")
            from celeriac.aws.client import client
            os._exit(client("sqs").meta.region_name != "eu-west-3")
        assert os.waitpid(pid, 0)[1] == 0
        """)
    assert len({port for operation, _, port in seen if operation == "SendMessage"}) == 2


def test_a_thread_cannot_configure_while_another_one_makes_the_first_client(producer: pytest.MonkeyPatch) -> None:
    refused: list[bool] = []

    class Session(boto3.Session):
        def client(self, *args: Any, **kwargs: Any) -> Any:
            def other() -> None:
                with pytest.raises(AlreadyConfiguredError):
                    celeriac.configure(stage="staging")
                refused.append(True)

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            return super().client(*args, **kwargs)

    celeriac.configure(stage="prod", session=Session("key", "secret", region_name="eu-west-1"))
    clients.client("sqs")
    assert refused == [True]
