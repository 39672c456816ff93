"""local/deliver.sh: a failed smoke test brings back the commit that passed last. `make` and `celeriac` are fakes."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# `make deploy` notes what is deployed. A commit whose file says "broken" fails its smoke test.
MAKE = """#!/bin/sh
echo "deploy $2 $(cat content)" >>"$LOG"
! grep -q undeployable content
"""
CELERIAC = """#!/bin/sh
echo "smoke $2 in $AWS_REGION" >>"$LOG"
! grep -q broken content
"""
PYTHON = """#!/bin/sh
printf 'eu-west-1\\nus-east-1\\n'
"""


class Clone:
    """A clone with commits, and its origin."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder / "clone", folder / "log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "AWS_"))},
            "LOG": str(self.log),
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@example.org",
        }
        self.run("git", "init", "--quiet", "--bare", str(folder / "origin"), at=folder)
        self.run("git", "clone", "--quiet", str(folder / "origin"), str(self.folder), at=folder)
        (self.folder / "local").mkdir()
        shutil.copy(ROOT / "local/deliver.sh", self.folder / "local")
        (self.folder / ".gitignore").write_text(".celeriac/\n")
        for path, script in {
            folder / "bin/make": MAKE,
            self.folder / ".venv/bin/celeriac": CELERIAC,
            self.folder / ".venv/bin/python": PYTHON,
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(script)
            path.chmod(0o755)

    def run(self, *command: str, at: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=at or self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def commit(self, content: str) -> str:
        (self.folder / "content").write_text(content)
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", content)
        return self.run("git", "rev-parse", "HEAD").stdout.strip()

    def deliver(self, *words: str) -> tuple[int, str, Sequence[str]]:
        """Run the script. Returns its exit code, what it says, and what was done."""
        self.log.unlink(missing_ok=True)
        done = self.run("sh", "local/deliver.sh", *words)
        return done.returncode, done.stderr, self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_a_commit_is_deployed_and_tested_in_each_region(clone: Clone) -> None:
    commit = clone.commit("good")
    code, said, done = clone.deliver("prod")
    assert code == 0
    assert done == ["deploy STAGE=prod good", "smoke prod in eu-west-1", "smoke prod in us-east-1"]
    assert said == f"The stage prod runs {commit}.\n"


def test_an_older_commit_doesnt_replace_a_newer_one_by_itself(clone: Clone) -> None:
    """An old run of the workflow was repeated, or approved late."""
    older = clone.commit("good")
    newer = clone.commit("better")
    assert clone.deliver("mark", "prod")[0] == 0
    clone.run("git", "checkout", "--quiet", older)
    code, said, done = clone.deliver("prod")
    assert (code, list(done)) == (1, [])
    assert f"The stage prod runs {newer}, which is newer than this commit" in said
    clone.run("git", "checkout", "--quiet", newer)
    code, _, done = clone.deliver("prod", older)  # on purpose
    assert (code, done[0]) == (0, "deploy STAGE=prod good")


def test_a_commit_without_a_smoke_test_is_deployed_without_one(clone: Clone) -> None:
    script = (clone.folder / "local/deliver.sh").read_text()
    (clone.folder / "local/deliver.sh").unlink()
    before = clone.commit("of before")
    (clone.folder / "local").mkdir(exist_ok=True)
    (clone.folder / "local/deliver.sh").write_text(script)
    clone.commit("now")
    code, said, done = clone.deliver("prod", before)
    assert (code, list(done)) == (0, ["deploy STAGE=prod of before"])
    assert f"{before} has no smoke test" in said


def test_a_failed_smoke_test_brings_back_the_commit_that_passed_last(clone: Clone) -> None:
    passed = clone.commit("good")
    assert clone.deliver("mark", "prod")[0] == 0
    clone.commit("broken")
    code, said, done = clone.deliver("prod")
    assert code == 1
    assert [line for line in done if "deploy" in line] == ["deploy STAGE=prod broken", "deploy STAGE=prod good"]
    assert done[-1] == "smoke prod in us-east-1"
    assert f"The stage prod runs {passed} again." in said


def test_the_mark_of_one_stage_is_on_origin_and_no_other_stages(clone: Clone) -> None:
    commit = clone.commit("good")
    clone.commit("newer")
    clone.deliver("mark", "prod", commit)
    assert clone.run("git", "ls-remote", "origin").stdout == f"{commit}\trefs/tags/deployed/prod\n"
    clone.commit("broken")
    code, said, done = clone.deliver("dev")
    assert (code, len(done)) == (1, 2)
    assert "No earlier commit has passed there" in said


def test_a_deploy_that_fails_is_left_to_cloudformation(clone: Clone) -> None:
    clone.commit("good")
    clone.deliver("mark", "prod")
    clone.commit("undeployable")
    code, _, done = clone.deliver("prod")
    assert code != 0
    assert done == ["deploy STAGE=prod undeployable"]


def test_a_tag_on_a_commit_of_another_history_is_not_deployed(clone: Clone) -> None:
    clone.commit("good")
    clone.run("git", "checkout", "--quiet", "-b", "other")
    clone.commit("sneaked in")
    clone.run("git", "tag", "deployed/prod")
    clone.run("git", "checkout", "--quiet", "-")
    clone.commit("broken")
    code, said, done = clone.deliver("prod")
    assert code == 1
    assert "isn't in the history of this commit" in said
    assert not [line for line in done if "sneaked in" in line]


def test_an_earlier_commit_is_deployed_by_hand(clone: Clone) -> None:
    earlier = clone.commit("good")
    clone.commit("newer")
    code, said, done = clone.deliver("prod", earlier[:8])
    assert (code, done[0]) == (0, "deploy STAGE=prod good")
    assert said == f"The stage prod runs {earlier}.\n"
    assert clone.deliver("prod", "1234567")[1] == "There is no commit 1234567.\n"
