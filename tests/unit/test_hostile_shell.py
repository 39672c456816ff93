"""A shell that is set up for a real account: no local command and no test may reach that account."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from celeriac.model import settings
from celeriac.testing import Sandbox
from celeriac.testing.elsewhere import leads_elsewhere
from celeriac_console.main import app
from celeriac_local.cloud import environment
from celeriac_local.cloud.processes import Process, _start_time
from celeriac_local.cloud.state import Cloud

# One call to every service that the command, the demo or the deploy uses.
CALLS = """
import boto3
for service, operation in {
    "sqs": "list_queues", "dynamodb": "list_tables", "logs": "describe_log_groups", "ses": "get_send_quota",
    "lambda": "list_functions", "sts": "get_caller_identity", "s3": "list_buckets", "events": "list_rules",
    "scheduler": "list_schedules", "cloudformation": "list_stacks", "cloudwatch": "describe_alarms",
}.items():
    try:
        getattr(boto3.client(service), operation)()
    except Exception as error:
        print(service, repr(error))
"""
LOCAL = f"""
import os, sys
from celeriac_console.stage import local_cloud
os.chdir(sys.argv[1])
local_cloud.enter()
{CALLS}
"""
TEST = f"""
from celeriac.testing import Sandbox
with Sandbox():
{"".join(f"    {line}\n" for line in CALLS.splitlines())}
"""

# A module that makes its client at the top level.
EARLY = """
import boto3
early = boto3.client("sns")
from celeriac.testing import Sandbox
with Sandbox():
    try:
        print(early.list_topics()["Topics"])
    except RuntimeError as error:
        print(error)
"""


class _Recorder(ThreadingHTTPServer):
    """Answers every request with an error, and records the requests."""

    daemon_threads = True
    block_on_close = False  # a client keeps its connection open

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: _Recorder

    def do_POST(self) -> None:
        self.server.calls.append(self.path)
        self.send_error(400)

    def do_GET(self) -> None:
        self.do_POST()

    def do_CONNECT(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base class has this name


@contextmanager
def _serving() -> Iterator[_Recorder]:
    with _Recorder() as recorder:
        thread = threading.Thread(target=recorder.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield recorder
        recorder.shutdown()
        thread.join()


@pytest.fixture
def account() -> Iterator[_Recorder]:
    """Stands for a real account."""
    with _serving() as recorder:
        yield recorder


@pytest.fixture
def cloud() -> Iterator[_Recorder]:
    """Stands for the local cloud."""
    with _serving() as recorder:
        yield recorder


@pytest.fixture
def shell(request: pytest.FixtureRequest, account: _Recorder, tmp_path: Path) -> dict[str, str]:
    """Every variable and file that can lead to `account`. The profile is a parameter; the file has the profile dev."""
    profile = getattr(request, "param", "dev")
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "config").write_text(f"""
[default]
endpoint_url = {account.url}
[profile dev]
region = eu-central-1
role_arn = arn:aws:iam::123456789012:role/admin
source_profile = default
endpoint_url = {account.url}
services = mine
[services mine]
sqs =
  endpoint_url = {account.url}
""")
    (home / ".aws" / "credentials").write_text("[default]\naws_access_key_id = mine\naws_secret_access_key = mine\n")
    (home / ".boto").write_text("[Credentials]\naws_access_key_id = mine\naws_secret_access_key = mine\n")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_PROFILE": profile,
        "AWS_DEFAULT_PROFILE": profile,
        "AWS_SESSION_TOKEN": "mine",
        "AWS_ENDPOINT_URL": account.url,
        "AWS_ENDPOINT_URL_SQS": account.url,
        "AWS_ENDPOINT_URL_DYNAMODB": account.url,
        "HTTP_PROXY": account.url,
        "https_proxy": account.url,
        "AWS_S3_ENDPOINT_URL": account.url,
        "CELERIAC_STAGE": "prod",
        "TEST_SERVER_MODE": "true",
        "TEST_SERVER_MODE_ENDPOINT": account.url,
        "MOTO_CALL_RESET_API": "false",
    }


def _run(program: str, *arguments: object, env: dict[str, str]) -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_SECRET_KEY"),
        *(
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_DEFAULTS_MODE",
            "AWS_CA_BUNDLE",
        ),
        *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CREDENTIAL_FILE", "BOTO_CONFIG", "AWS_DATA_PATH"),
        *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT"),
        *("AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_LOGIN_CACHE_DIRECTORY"),
        *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"),
        *("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_METADATA_SERVICE_TIMEOUT", "AWS_S3_USE_ARN_REGION"),
        *("AWS_S3_ACCESS_KEY_ID", "AWS_S3_SECRET_ACCESS_KEY", "AWS_S3_ENDPOINT_URL", "AWS_S3_SESSION_PROFILE"),
        *("AWS_LAMBDA_FUNCTION_NAME", "AWS_EXECUTION_ENV", "AWS_MAX_ATTEMPTS", "AWS_SDK_LOAD_CONFIG"),
        *("CDK_DEFAULT_ACCOUNT", "CDK_PROFILE", "CELERIAC_STAGE", "https_proxy", "MOTO_PORT", "TEST_SERVER_MODE"),
    ],
)
def test_a_variable_that_selects_an_aws_account_is_removed(name: str) -> None:
    assert leads_elsewhere(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "AWS_STORAGE_BUCKET_NAME",
            "AWS_S3_CUSTOM_DOMAIN",
            "AWS_S3_REGION_NAME",
            "AWS_LOCATION",
            "AWS_QUERYSTRING_AUTH",
        ),
        *("AWS_S3_OBJECT_PARAMETERS", "AWS_MEDIA_BUCKET", "AWS_SES_FROM_EMAIL", "DATABASE_URL", "TEST_SERVER"),
    ],
)
def test_a_variable_of_the_users_own_stays(name: str) -> None:
    assert not leads_elsewhere(name)
    assert environment.of_command(4566, {name: "mine"})[name] == "mine"


def test_a_task_reads_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_STORAGE_BUCKET_NAME", "mine")
    with Sandbox():
        assert os.environ["AWS_STORAGE_BUCKET_NAME"] == "mine"


def test_without_protection_the_shell_reaches_the_account(account: _Recorder, shell: dict[str, str]) -> None:
    """Otherwise the tests below would prove nothing."""
    _run(CALLS, env=shell)

    assert account.calls


@pytest.mark.parametrize("shell", ["dev", "nosuch"], indirect=True)
def test_a_command_on_the_stage_local_calls_only_the_local_cloud(
    account: _Recorder, cloud: _Recorder, shell: dict[str, str], tmp_path: Path
) -> None:
    project = tmp_path / "a project, with blanks"
    project.mkdir()
    (project / "celeriac.toml").write_text('name = "shop"\n')
    me = Process(os.getpid(), _start_time(os.getpid()) or "")
    up = Cloud(port=cloud.server_port, emulator=me, provider_port=1, provider=me, deployed="today's")
    (project / ".celeriac").mkdir()
    (project / ".celeriac" / "cloud.json").write_text(json.dumps(asdict(up)))

    _run(LOCAL, project, env=shell)

    assert account.calls == []
    assert len(cloud.calls) == 11


def test_a_sandbox_makes_no_network_call(account: _Recorder, shell: dict[str, str]) -> None:
    said = _run(TEST, env=shell)

    assert said == ""
    assert account.calls == []


def test_a_client_made_before_the_sandbox_is_answered_by_moto(shell: dict[str, str]) -> None:
    outside = {name: shell[name] for name in ("PATH", "HOME")} | {"AWS_CONFIG_FILE": os.devnull}

    assert _run(EARLY, env=outside | {"AWS_DEFAULT_REGION": "eu-west-1"}) == "[]\n"


def test_a_client_made_before_the_sandbox_does_not_reach_the_account(account: _Recorder, shell: dict[str, str]) -> None:
    said = _run(EARLY, env=shell | {"AWS_PROFILE": "default", "AWS_DEFAULT_REGION": "eu-west-1"})

    assert said.startswith(f"a Sandbox has no network, and moto doesn't answer {account.url}")
    assert account.calls == []


def test_a_command_that_needs_the_local_cloud_says_how_to_start_it(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "celeriac.toml").write_text(f'name = "{settings.application()}"\n')
    monkeypatch.chdir(tmp_path)

    queues = CliRunner().invoke(app, ["--stage", "local", "queues"])
    tasks = CliRunner().invoke(app, ["--stage", "local", "tasks"])

    assert (queues.exit_code, tasks.exit_code) == (1, 0)
    assert "The local cloud isn't up. Start it: celeriac local up" in queues.output
