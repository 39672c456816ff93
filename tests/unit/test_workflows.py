"""The workflows can be read, run only commands that exist, and have no more rights than they need."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no stubs; moto brings it

from tests.unit.test_docs_commands import check, simple

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github/workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
ON = True  # YAML 1.1 reads the key `on` so
RIGHTS = {"contents", "id-token"}

every_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)


def read(file: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(file.read_text())
    return found


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read(file)["jobs"]
    return found


def commands(file: Path) -> Iterator[str]:
    for job in jobs(file).values():
        yield from (step["run"] for step in job.get("steps", []) if "run" in step)


def test_there_are_workflows() -> None:
    names = {"audit", "ci", "deploy", "preview", "pull-request", "realities", "release", "rollback", "stage"}
    assert {file.stem for file in WORKFLOWS} == names


@every_workflow
def test_each_action_is_pinned_by_its_commit_with_its_version_beside_it(file: Path) -> None:
    used = re.findall(r"^\s*(?:- )?uses: (.*)$", file.read_text(), flags=re.MULTILINE)
    assert used
    for each in used:
        if each.startswith("./"):
            assert (ROOT / each).is_file(), each
        else:
            assert PINNED.fullmatch(each), each


def test_an_action_has_one_version_in_all_workflows() -> None:
    used = {each for file in WORKFLOWS for each in re.findall(r"uses: ([\w-]+/.*)", file.read_text())}
    assert len({each.partition("@")[0] for each in used}) == len(used)


@every_workflow
def test_each_job_may_read_the_repository_and_says_what_else_it_may(file: Path) -> None:
    assert read(file)["permissions"] == {"contents": "read"}
    for name, job in jobs(file).items():
        may = job.get("permissions", {})
        assert may.keys() <= RIGHTS, name
        if "steps" in job:
            assert job["timeout-minutes"] <= 60, name
            # Who can deploy can't write to the repository, and the other way round.
            assert not (may.get("id-token") == "write" and may.get("contents") == "write"), name
            writes = may.get("contents") == "write"
            for step in job["steps"]:
                if str(step.get("uses")).startswith("actions/checkout@"):
                    assert step.get("with", {}).get("persist-credentials", True) is writes, name


@every_workflow
def test_no_text_from_outside_gets_into_a_command(file: Path) -> None:
    assert not [each for each in commands(file) if "${{" in each]
    assert "pull_request_target" not in read(file)[ON]


@every_workflow
def test_each_command_exists(file: Path) -> None:
    for command in commands(file):
        for line in command.splitlines():
            for script in re.findall(r"(?:^|sh )(\S+/\S+)", line):
                assert script.startswith("docs/") or (ROOT / script).is_file(), script
            typed = re.sub(r'^sh local/summary\.sh "[^"]*" ', "", line)  # it runs the command behind it
            for _, words, _ in simple(typed, whole=True):
                check(words, whole=True)


@pytest.mark.parametrize("file", ["stage", "preview"])
def test_a_stage_is_deployed_once_at_a_time_and_never_interrupted(file: str) -> None:
    deploys = [job for job in jobs(FOLDER / f"{file}.yml").values() if "environment" in job]
    assert deploys
    for job in deploys:
        assert job["concurrency"]["group"].startswith("stage-")
        assert job["concurrency"]["cancel-in-progress"] is False


@pytest.mark.parametrize(("file", "names"), [("pull-request", ["diff"]), ("preview", ["deploy", "destroy"])])
def test_a_pull_request_from_a_fork_gets_no_job_with_a_role(file: str, names: list[str]) -> None:
    found = jobs(FOLDER / f"{file}.yml")
    assert [name for name, job in found.items() if job.get("permissions", {}).get("id-token")] == names
    for name in names:
        assert "github.event.pull_request.head.repo.full_name == github.repository" in found[name]["if"]
        assert "vars.AWS_" in found[name]["if"]


def test_packages_are_installed_before_there_are_credentials() -> None:
    for file in WORKFLOWS:
        for job in jobs(file).values():
            steps = [step.get("run") or step["uses"].partition("@")[0] for step in job.get("steps", [])]
            if "aws-actions/configure-aws-credentials" in steps:
                assert steps.index("make setup") < steps.index("aws-actions/configure-aws-credentials")


def test_each_lock_file_is_kept_up_to_date() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    cared_for = {
        (each["package-ecosystem"], folder)
        for each in updates
        for folder in each.get("directories", [each.get("directory")])
    }
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607
    locks = {"uv.lock": "uv", "package-lock.json": "npm"}
    there = {
        (locks[Path(name).name], f"/{Path(name).parent}".removesuffix("/.") or "/")
        for name in listed.splitlines()
        if Path(name).name in locks
    }
    assert there | {("github-actions", "/")} == cared_for
