"""The local cloud stops what it started and nothing else, and it never reaches a real account."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from celeriac_local.cloud import environment, lifecycle, processes, state
from celeriac_local.cloud.deploy import expiries, findings, reasons
from celeriac_local.cloud.processes import Process
from celeriac_local.cloud.state import Cloud
from celeriac_local.emulator.serve import paged, with_log, with_time
from celeriac_local.errors import UserError
from celeriac_local.folders import home

ROOT = Path(__file__).parents[2]
# Starts a child that ignores SIGTERM, prints "ready", and waits.
STUBBORN_PARENT = """
import subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True);"
subprocess.Popen([sys.executable, "-c", child + "time.sleep(600)", "marked"])
time.sleep(600)
"""


@pytest.fixture
def stubborn(tmp_path: Path) -> Iterator[Process]:
    """A process with a child in the same group. Only SIGKILL ends the child."""
    log = tmp_path / "log"
    process = processes.spawn([sys.executable, "-c", STUBBORN_PARENT], env=os.environ, folder=tmp_path, log=log)
    assert processes._wait_until(lambda: "ready" in log.read_text(), 20)
    yield process
    if processes._group(process.pid):
        os.killpg(process.pid, signal.SIGKILL)


def test_a_started_process_is_stopped_together_with_its_children(stubborn: Process) -> None:
    assert processes.is_running(stubborn)
    assert len(processes._group(stubborn.pid)) == 2

    assert processes.stop(stubborn, marker="marked")

    assert not processes.is_running(stubborn)
    assert processes._group(stubborn.pid) == []


def test_a_child_is_stopped_even_if_its_parent_was_killed_before(stubborn: Process) -> None:
    os.kill(stubborn.pid, signal.SIGKILL)
    assert processes._wait_until(lambda: not processes.is_running(stubborn), 20)
    assert len(processes._group(stubborn.pid)) == 1

    assert processes.stop(stubborn, marker="marked")

    assert processes._group(stubborn.pid) == []


def test_another_process_with_the_same_id_is_not_stopped(stubborn: Process) -> None:
    stale = Process(stubborn.pid, "another boot 1")

    assert not processes.is_running(stale)
    processes.stop(stale, marker="of somebody else")

    assert processes.is_running(stubborn)
    assert len(processes._group(stubborn.pid)) == 2


def test_a_process_that_has_ended_is_not_running(tmp_path: Path) -> None:
    process = processes.spawn(
        [sys.executable, "-c", "print('gone')"], env=os.environ, folder=tmp_path, log=tmp_path / "log"
    )

    assert processes._wait_until(lambda: not processes.is_running(process), 20)


@pytest.mark.skipif(shutil.which("ps") is None, reason="only machines other than Linux need it, and they have it")
def test_ps_lists_this_process() -> None:
    rows = [row for row in processes._from_ps(zombies=False) if row.pid == os.getpid()]

    assert [row.group for row in rows] == [os.getpgrp()]
    assert Path(sys.executable).name in rows[0].command


@pytest.mark.skipif(shutil.which("ps") is None, reason="only machines other than Linux need it, and they have it")
def test_ps_lists_long_command_lines_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)", "x" * 300, "marked"]
    process = processes.spawn(sleeper, env=os.environ, folder=tmp_path, log=tmp_path / "log")
    try:
        (row,) = [row for row in processes._from_ps(zombies=False) if row.pid == process.pid]
        assert row.command.endswith("marked")
    finally:
        assert processes.stop(process, marker="marked")


@pytest.mark.skipif(shutil.which("git") is None, reason="without git there is no clone")
def test_a_clone_has_unix_line_ends_even_with_autocrlf(tmp_path: Path) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    files = ("Makefile", "local/setup.sh", "uv.lock", ".gitattributes")
    for name in files:
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, origin / name)

    def git(*words: str | Path) -> None:
        subprocess.run(["git", *words], cwd=origin, check=True)  # noqa: S607 - git from the PATH

    git("init", "-q")
    git("add", ".")
    git("-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false", "commit", "-qm", "All")
    git("clone", "-q", "-c", "core.autocrlf=true", origin, clone)

    assert [name for name in files if b"\r" in (clone / name).read_bytes()] == []


@pytest.mark.after_setup
def test_an_activated_shell_finds_every_command_of_the_readme() -> None:
    script = ". .venv/bin/activate && for name in celeriac pytest uv cdk python; do command -v $name; done"

    found = subprocess.run(["/bin/sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert {Path(line).parent for line in found.splitlines()} == {ROOT / ".venv" / "bin"}
    assert len(found.splitlines()) == 5


@pytest.mark.parametrize(("arguments", "workers"), [([], "auto"), (["ARGS=-x"], "auto"), (["ARGS=tests/x.py"], "0")])
def test_make_test_with_a_named_file_starts_no_workers(arguments: list[str], workers: str) -> None:
    make = ["make", "--dry-run", "--no-print-directory", "test", *arguments]

    planned = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert f"pytest -q -n {workers} " in planned


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of the local cloud, in a project of this test."""
    project = tmp_path / "a project, with blanks"
    project.mkdir()
    (project / "celeriac.toml").write_text('name = "shop"\n')
    monkeypatch.chdir(project)
    return project / ".celeriac"


def test_the_state_is_loaded_as_it_was_saved(folders: Path) -> None:
    written = Cloud(port=1, emulator=Process(2, "a"), provider_port=3, provider=Process(4, "b"), deployed="x")

    state.save(written)

    assert state.load() == written
    assert sorted(path.name for path in folders.iterdir()) == [".gitignore", "cloud.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"port": 1}', '{"emulator": 1, "provider": 2}'])
def test_an_unreadable_state_file_counts_as_no_cloud(folders: Path, content: str) -> None:
    folders.mkdir()
    (folders / "cloud.json").write_text(content)

    assert state.load() is None


def test_a_cloud_from_before_a_reboot_is_not_running_and_its_state_is_removed(folders: Path) -> None:
    own = os.getpid()  # alive, but another process than the file names
    state.save(Cloud(port=1, emulator=Process(own, "last boot"), provider_port=2, provider=Process(own, "last boot")))

    assert lifecycle.running() is None
    assert lifecycle.down() is False
    assert not (folders / "cloud.json").exists()


def test_a_busy_port_is_named_with_its_holder_and_a_cure(folders: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]

        with pytest.raises(UserError) as problem:
            lifecycle.start(port)

    assert f"Port {port} of 127.0.0.1 is taken by" in str(problem.value)
    assert f"celeriac local up --port {port + 100}" in str(problem.value)
    if sys.platform == "linux":
        assert f"process {os.getpid()} " in str(problem.value)
    assert not (folders / "cloud.json").exists()


def test_a_reset_leaves_what_was_installed_and_a_worktree_of_git(folders: Path) -> None:
    state.save(Cloud(port=1, emulator=Process(os.getpid(), "last boot")))
    for name in ("emulator", "cdk", "bundles", "earlier", "home", "cdk.out"):
        (folders / name).mkdir()
    (folders / "emulator.log").touch()

    assert lifecycle.reset() == ["cdk.out", "emulator.log", "home"]
    assert lifecycle.reset() == []
    assert lifecycle.reset(everything=True) == ["bundles", "cdk", "emulator"]
    assert sorted(path.name for path in folders.iterdir()) == [".gitignore", "earlier"]


def test_a_project_without_samples_has_no_provider(folders: Path) -> None:
    written = Cloud(port=1, emulator=Process(2, "a"))
    state.save(written)

    assert state.load() == written
    assert written.provider_url == ""
    assert written.processes == [Process(2, "a")]


def test_without_a_named_port_the_first_free_one_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]

        free = lifecycle._first_free(taken)

    assert free > taken
    assert lifecycle._is_free(free)


def test_the_error_for_a_cloud_that_is_not_up_says_how_to_start_it(folders: Path) -> None:
    with pytest.raises(UserError, match="celeriac local up"):
        lifecycle.require()


# Variables of a shell that decide which AWS a client calls, and how.
SHELL = {
    "AWS_PROFILE": "prod",
    "AWS_DEFAULT_PROFILE": "prod",
    "AWS_ENDPOINT_URL": "https://x",
    "AWS_ENDPOINT_URL_SQS": "https://x",
    "AWS_SESSION_TOKEN": "t",
    "AWS_ROLE_ARN": "arn:aws:iam::1:role/x",
    "AWS_ENDPOINT_URL_OF_NEXT_YEAR": "1",
    "BOTO_CONFIG": "/home/me/.boto",
    "CDK_DEFAULT_ACCOUNT": "1",
    "CELERIAC_KMS_KEY": "arn:aws:kms:x",
    "HTTP_PROXY": "http://proxy",
    "https_proxy": "http://proxy",
    "ALL_PROXY": "socks5://proxy",
    "npm_config_noproxy": "",
    "NO_PROXY": "example.org",
    "HOME": "/home/me",
    "EDITOR": "vi",
}


def test_no_variable_of_the_callers_shell_selects_the_aws_that_a_command_calls() -> None:
    ours = environment.of_client(4566)

    command = environment.of_command(4566, SHELL)

    assert command == {"HOME": "/home/me", "EDITOR": "vi"} | ours
    assert ours["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert environment.of_provider(SHELL) == {"HOME": "/home/me", "EDITOR": "vi"}
    assert not [name for name in environment.of_emulator(4566, SHELL) if name.startswith("AWS_")]
    assert environment.of_emulator(4566, SHELL)["BIND_HOST"] == "127.0.0.1"


def test_the_deploy_gets_neither_the_callers_account_nor_the_home_folder() -> None:
    cdk = environment.of_cdk(4566, SHELL)

    assert {name: cdk[name] for name in cdk.keys() & SHELL.keys()} == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "NO_PROXY": "127.0.0.1,localhost",
        "BOTO_CONFIG": os.devnull,
        "HOME": str(home()),
        "EDITOR": "vi",
    }


def test_the_synth_keeps_what_uv_needs_to_fetch_packages() -> None:
    synth = environment.of_synth(4566, SHELL)

    kept = {name: synth[name] for name in ("HOME", "HTTP_PROXY", "https_proxy", "NO_PROXY", "no_proxy")}
    assert kept == {
        "HOME": "/home/me",
        "HTTP_PROXY": "http://proxy",
        "https_proxy": "http://proxy",
        "NO_PROXY": "example.org,127.0.0.1,localhost",
        "no_proxy": "example.org,127.0.0.1,localhost",
    }
    assert "AWS_PROFILE" not in synth
    assert environment.of_synth(4566, {"no_proxy": "*"})["NO_PROXY"] == "*"


def test_the_printed_shell_lines_select_the_local_cloud() -> None:
    shell = SHELL | {"PATH": os.defpath, "NO_PROXY": "it's $HOME"}
    lines = environment.as_shell(4566, shell)

    shown = subprocess.run(["/bin/sh", "-c", f"{lines}\nenv"], env=shell, capture_output=True, text=True, check=True)

    there = dict(line.split("=", 1) for line in shown.stdout.splitlines())
    exempt = "it's $HOME,127.0.0.1,localhost"
    assert there.items() >= (environment.of_client(4566) | {"NO_PROXY": exempt, "no_proxy": exempt}).items()
    lost = shell.keys() - there.keys()
    assert lost == {name for name in SHELL if name.startswith(("AWS_", "CDK_", "CELERIAC_"))} - {"AWS_ENDPOINT_URL"}


def test_the_printed_shell_lines_put_the_tasks_in_front_of_what_python_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "with a blank" / "orders_tasks"
    source.mkdir(parents=True)
    (source / "__init__.py").touch()
    (tmp_path / "celeriac.toml").write_text('name = "shop"\nsource = "with a blank/orders_tasks"\n')
    monkeypatch.chdir(tmp_path)
    shell = {"PATH": os.defpath, "PYTHONPATH": f"/mine{os.pathsep}{os.pathsep}{source.parent}"}
    lines = environment.as_shell(4566, shell)

    path = f"{source.parent}{os.pathsep}/mine"
    assert f"export PYTHONPATH='{path}'" in lines.splitlines()
    assert f"export PYTHONPATH='{source.parent}'" in environment.as_shell(4566, {}).splitlines()
    program = f"{lines}\ncd /\n{shlex.quote(sys.executable)} -c 'import orders_tasks; print(orders_tasks.__file__)'"
    shown = subprocess.run(["/bin/sh", "-c", program], env=shell, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == str(source / "__init__.py")


def test_a_failed_deploy_is_explained_by_the_lines_with_its_reasons() -> None:
    output = """
celeriac-local--state | 1/9 | CREATE_COMPLETE | AWS::SQS::Queue
celeriac-local--state | 2/9 | CREATE_FAILED | AWS::DynamoDB::Table | Outbox: table exists
Stack ARN:
❌  celeriac-local--state failed: ToolkitError: The stack could not be created
"""

    assert [line[:25] for line in reasons(output)] == ["celeriac-local--state | 2", "❌  celeriac-local--state "]
    assert reasons("one\n\ntwo") == ["one", "two"]


def test_the_tables_with_expiry_are_read_from_the_templates(tmp_path: Path) -> None:
    def table(name: str, **more: object) -> dict[str, object]:
        return {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": name, **more}}

    expiring = {"TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True}}
    resources = {"A": table("a", **expiring), "B": table("b"), "C": {"Type": "AWS::SQS::Queue"}}
    (tmp_path / "x.template.json").write_text(json.dumps({"Resources": resources}))

    assert expiries(tmp_path) == {"a": "expires_at"}


def test_the_warnings_of_cdk_nag_are_read_from_its_report(tmp_path: Path) -> None:
    names = ("AwsSolutions-S1", "AwsSolutions-IAM5[Resource::*]", "AwsSolutions-IAM5[Action::s3:*]")
    report = [
        {"pluginName": "AwsSolutions", "violations": [{"ruleName": name} for name in names]},
        {"pluginName": "Construct Annotations", "violations": [{"ruleName": "other"}]},
    ]
    (tmp_path / "validation-report.json").write_text(json.dumps({"pluginReports": report}))

    assert findings(tmp_path) == ["IAM5", "S1"]


def test_the_emulators_schedules_insert_the_scheduled_time_of_a_firing() -> None:
    target = {"Arn": "a", "Input": '{"id": "tick@<aws.scheduler.scheduled-time>"}'}
    fired_at = datetime(2026, 1, 1, 3, 0, 7, tzinfo=UTC).timestamp()
    assert with_time(target, fired_at) == {"Arn": "a", "Input": '{"id": "tick@2026-01-01T03:00:00Z"}'}
    assert with_time({"Arn": "a"}, fired_at) == {"Arn": "a"}
    assert with_time({"Arn": "a"}, "2026-01-01T03:00:00Z") == {"Arn": "a"}  # as events of S3 have it


def test_the_emulator_lists_schedules_in_pages_that_survive_a_deletion() -> None:
    there = [f"q.{number:03}" for number in range(250)]

    def all_of(query: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        assert query["MaxResults"] >= len(there)
        return 200, {}, json.dumps({"Schedules": [{"Name": name} for name in reversed(there)]}).encode()

    found, token = [], ""
    while True:
        answer = json.loads(paged(all_of, {"NextToken": token, "MaxResults": "100"})[2])
        found += [one["Name"] for one in answer["Schedules"]]
        if "NextToken" not in answer:
            break
        token = answer["NextToken"]
        there.remove(token)
    assert found == [f"q.{number:03}" for number in range(250)]


def test_the_error_of_a_worker_that_cannot_start_is_in_the_log() -> None:
    body = {"errorType": "RuntimeError", "errorMessage": "Worker init failed: No module named 'httpx'"}
    unheard = {"body": body, "error": True, "log": ""}
    assert with_log(unheard)["log"] == "[ERROR] RuntimeError: Worker init failed: No module named 'httpx'"
    for told in ({"body": {}, "log": ""}, {"body": body, "error": True, "log": "Worker process died"}):
        assert with_log(told) == told
