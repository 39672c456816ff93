"""How builds of bundles are named, kept and refused. Nothing here installs a package."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from celeriac_cdk.bundle import build as bundle
from celeriac_cdk.bundle.build import build_bundle, fingerprint
from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.install import docker_command, explain, uv_command
from celeriac_cdk.bundle.services import ServiceError, services_of
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.bundle.target import LAMBDA_ARM64, LAMBDA_X86_64, THIS_MACHINE, Target, on_lambda


def test_old_builds_of_a_platform_are_deleted_and_the_newest_stay(tmp_path: Path) -> None:
    newest = [f"arm64-python3.13-{letter}" for letter in "abcdef"]
    others = ["arm64-python3.14-old", "this-machine-old"]
    for age, name in enumerate([*newest, "arm64-python3.13-old", *others]):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1_000_000 - age, 1_000_000 - age))

    bundle._prune(tmp_path, LAMBDA_ARM64.name)

    assert {entry.name for entry in tmp_path.iterdir()} == {*newest, *others}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A project with one task. No test here gets as far as installing its packages."""
    (tmp_path / "functions" / "tasks").mkdir(parents=True)
    (tmp_path / "functions" / "tasks" / "mail.py").write_text("x = 1\n")
    (tmp_path / "uv.lock").write_text("version = 1\n")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.celeriac]\naws-services = ["dynamodb", "events", "s3", "scheduler", "sqs"]\n'
    )
    return tmp_path


def source_of(root: Path) -> Source:
    return Source(root / "functions" / "tasks", root)


def fingerprint_of(root: Path, target: Target = LAMBDA_ARM64) -> str:
    source = source_of(root)
    files = source.files()
    return fingerprint(source, files, root / "uv.lock", services_of(files, [], source.options()), target)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "functions" / "tasks" / "mail.py").write_text("x = 2\n"),
        lambda root: (root / "functions" / "tasks" / "mail.py").rename(root / "functions" / "tasks" / "post.py"),
        lambda root: (root / "functions" / "tasks" / "more.py").touch(),
        lambda root: (root / "uv.lock").write_text("version = 2\n"),
        lambda root: (root / "pyproject.toml").write_text('[tool.celeriac]\naws-services = ["sqs", "s3"]\n'),
    ],
    ids=["edited source", "renamed source", "new source", "lock file", "services"],
)
def test_every_change_of_the_content_makes_a_new_build(tiny: Path, change: Callable[[Path], object]) -> None:
    before = fingerprint_of(tiny)
    change(tiny)

    assert fingerprint_of(tiny) != before


def test_each_platform_has_its_own_build_and_unshipped_files_change_none(tiny: Path) -> None:
    before = fingerprint_of(tiny)
    (tiny / "functions" / "tasks" / "__pycache__").mkdir()
    (tiny / "functions" / "tasks" / "__pycache__" / "mail.cpython-313.pyc").touch()

    assert fingerprint_of(tiny) == before
    assert fingerprint_of(tiny, THIS_MACHINE) != before


def test_an_unlisted_service_stops_the_build_before_it_starts(tiny: Path) -> None:
    (tiny / "functions" / "tasks" / "mail.py").write_text('import boto3\nsns = boto3.client("sns")\n')

    with pytest.raises(ServiceError, match='add "sns"'):
        build_bundle(source_of(tiny), LAMBDA_ARM64)
    assert not (tiny / ".celeriac").exists()


def test_a_missing_uv_is_named_with_its_cure(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(BundleError, match=r"uv, .* is missing: run `make setup`"):
        build_bundle(source_of(tiny), LAMBDA_ARM64)


def test_a_build_that_fails_leaves_nothing_that_looks_like_a_bundle(tiny: Path) -> None:
    with pytest.raises(BundleError, match="could not be installed"):
        build_bundle(source_of(tiny), LAMBDA_ARM64, offline=True)  # the project's pyproject.toml has no [project]

    assert list((tiny / ".celeriac" / "bundles").iterdir()) == []


@pytest.mark.parametrize(
    ("stderr", "sentence"),
    [
        (
            "error: Distribution `psycopg2==2.9.10 @ registry+https://index.example` can't be installed because ...\n",
            "psycopg2 of uv.lock has no wheel for the platform",
        ),
        (
            "error: Failed to download `six==1.17.0`\n  cause: Network connectivity is disabled, but ...\n",
            "could not be fetched",
        ),
        ("error: Failed to download `six==1.17.0`\n  cause: Hash mismatch for `six==1.17.0`\n", "Hash mismatch"),
        ("", "no reason was given"),
    ],
)
def test_an_error_of_uv_is_explained_in_one_sentence(stderr: str, sentence: str) -> None:
    explained = explain(stderr)

    assert sentence in explained
    assert "\n" not in explained


def test_uv_installs_what_is_locked_with_its_hashes_and_compiles_nothing() -> None:
    into = Path("/somewhere else/bundle")
    typed = uv_command(
        "uv", Path("/l/pylock.toml"), into, on_lambda("x86_64", "python3.14"), offline=True, may_build=False
    )
    said = " ".join(typed)

    assert "--require-hashes --no-deps --only-binary :all:" in said
    assert "--python-version 3.14 --python-platform x86_64-manylinux_2_34 --offline" in said
    assert str(into) in typed


def test_a_package_without_a_wheel_is_compiled_in_lambdas_build_image() -> None:
    """Never run: the machine that this was written on has no Docker."""
    typed = docker_command(Path("/a b/requirements.txt"), Path("/a b/bundle"), LAMBDA_ARM64, user="1000:1000")

    assert typed[:8] == ["docker", "run", "--rm", "--platform", "linux/arm64", "--user", "1000:1000", "--env"]
    assert typed[typed.index("--volume") + 1] == "/a b:/work"
    assert typed[typed.index("--volume") + 2 :][:5] == [
        "public.ecr.aws/sam/build-python3.13",
        "python",
        "-m",
        "pip",
        "install",
    ]
    assert typed[-4:] == ["--target", "/work/bundle", "--requirement", "/work/requirements.txt"]
    assert "linux/amd64" in docker_command(Path("/l/r.txt"), Path("/l/b"), LAMBDA_X86_64, user="0:0")


@pytest.mark.parametrize(
    ("stderr", "sentence"),
    [
        (
            "error: Package `psycopg2` can't be installed because it is marked as `--no-build` but has no binary ...",
            "psycopg2 of uv.lock has no wheel for arm64 and Python 3.13",
        ),
        (
            "error: No solution found\n  cause: Because pywin32==308 has no wheels with a matching platform tag (e.g.)",
            "pywin32 of uv.lock has no wheel for arm64 and Python 3.13",
        ),
        ("docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "start Docker"),
    ],
)
def test_what_can_be_done_without_a_wheel_is_said(stderr: str, sentence: str) -> None:
    explained = explain(stderr, "uv.lock", LAMBDA_ARM64)

    assert sentence in explained
    assert "docker = true" in explained
