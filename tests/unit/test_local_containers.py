"""What the local cloud makes of a container: a process with its command, its variables and its role."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from celeriac_local.cloud import processes, workers
from celeriac_local.cloud.processes import Process
from celeriac_local.cloud.state import Cloud

DEFINITION = {
    "family": "celeriac-local--videos",
    "taskRoleArn": "arn:aws:iam::000000000000:role/videos",
    "containerDefinitions": [
        {
            "name": "Worker",
            "command": ["python -m celeriac.entry.worker videos 2 10"],
            "environment": [{"name": "CELERIAC_STAGE", "value": "local"}, {"name": "BUCKET", "value": "films"}],
        }
    ],
}
SESSION = {
    "AccessKeyId": "ASIA1",
    "SecretAccessKey": "secret",
    "SessionToken": "token",
    "Expiration": datetime(2026, 1, 1, tzinfo=UTC),
}


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "celeriac.toml").write_text('name = "shop"\n')
    monkeypatch.chdir(tmp_path)


def test_a_process_has_the_containers_variables_and_none_of_the_shells_accounts() -> None:
    found = workers.container("celeriac-local--videos", DEFINITION)
    assert found.command == ("python", "-m", "celeriac.entry.worker", "videos", "2", "10")
    assert found.role == DEFINITION["taskRoleArn"]

    shell = {
        "PATH": "/bin",
        "AWS_PROFILE": "prod",
        "AWS_SECRET_ACCESS_KEY": "real",
        "HTTPS_PROXY": "p",
        "PYTHONPATH": "x",
    }
    variables = workers.of_worker(4600, {**shell, "PYTHONPATH": "x"}, found, SESSION)  # type: ignore[arg-type]  # no metadata
    assert (variables["BUCKET"], variables["CELERIAC_STAGE"], variables["PATH"]) == ("films", "local", "/bin")
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4600"
    assert (variables["AWS_ACCESS_KEY_ID"], variables["AWS_SESSION_TOKEN"]) == ("ASIA1", "token")
    assert "AWS_PROFILE" not in variables
    assert "HTTPS_PROXY" not in variables
    assert "real" not in variables.values()
    assert variables["PYTHONPATH"].split(os.pathsep) == [f"{Path.cwd() / 'functions'}", "x"]


def test_a_cloud_goes_on_without_a_worker_that_has_ended_and_none_is_started_while_all_run() -> None:
    me = Process(os.getpid(), f"{processes._start_time(os.getpid())}")
    gone = Process(2**22 + 1, "never")
    assert Cloud(port=1, emulator=me, workers=(gone,)).is_whole
    whole = Cloud(port=1, emulator=me, workers=(me,))
    assert workers.keep(whole) is whole
