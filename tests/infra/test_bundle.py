"""The bundle: built from the lock file, the same in each build, and able to run without anything else.

The real builds here take their wheels from uv's cache, which `make setup` has filled.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from celeriac_cdk.bundle import build as bundle
from celeriac_cdk.bundle.build import (
    LAMBDA_ARM64,
    THIS_MACHINE,
    BundleError,
    Target,
    build_bundle,
    explain,
    fingerprint,
)
from celeriac_cdk.bundle.byte_code import LOADED
from celeriac_cdk.bundle.services import ServiceError, listed_services
from celeriac_cdk.bundle.trim import sources
from tests.infra.loaded import loaded

ROOT = Path(__file__).parents[2]
SIZE_LIMIT = 3_400_000  # zipped, in bytes. It was 3.32 MB when this was written. A cold start has to fetch it.


def contents(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def in_bundle(built: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` with nothing but the standard library and the bundle, as Lambda does."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", f"import sys; sys.path.insert(0, {str(built)!r})\n{code}"],
        env={"AWS_DEFAULT_REGION": "eu-central-1", "CELERIAC_STAGE": "test"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_handlers_load_with_nothing_but_the_bundle(built: Path) -> None:
    done = in_bundle(built, "import consumer, relay; print(callable(consumer.handler), callable(relay.handler))")

    assert (done.stdout, done.stderr) == ("True True\n", "")


def test_a_consumers_cold_start_looks_for_no_garbage_and_makes_no_dataclass(built: Path) -> None:
    """Each took a twentieth of it, and more."""
    done = in_bundle(
        built,
        "import gc, dataclasses\n"
        "before = sum(each['collections'] for each in gc.get_stats())\n"
        "made, make = [], dataclasses._process_class\n"
        "dataclasses._process_class = lambda kind, *rest: made.append(kind) or make(kind, *rest)\n"
        "import consumer\n"
        "collections = sum(each['collections'] for each in gc.get_stats()) - before\n"
        "ours = [kind for kind in made if kind.__module__.startswith('celeriac')]\n"
        "print(collections <= 1, gc.isenabled(), gc.get_freeze_count() > 10_000, made != ours, ours)",
    )

    assert (done.stdout, done.stderr) == ("True True True True []\n", "")


def test_every_listed_service_can_be_called_and_no_other(built: Path) -> None:
    listed = sorted(listed_services(ROOT / "pyproject.toml"))
    done = in_bundle(
        built,
        f"import boto3\nfor name in {listed}: boto3.client(name)\nprint(boto3.Session().get_available_services())",
    )

    assert (done.stdout, done.stderr) == (f"{listed}\n", "")


EVERY_CALL = """
import botocore.session
from botocore.config import Config


class Sent(Exception):
    pass


def stop(**_):
    raise Sent


def sample(shape, depth=0):
    match shape.type_name:
        case "structure":
            names = shape.required_members or [name for name in shape.members if name in {"Bucket", "Key"}]
            return {} if depth > 9 else {name: sample(shape.members[name], depth + 1) for name in names}
        case "list":
            return [sample(shape.member, depth + 1)]
        case "map":
            return {}
        case "integer" | "long" | "float" | "double":
            return max(1, int(shape.metadata.get("min", 1)))
        case "boolean":
            return True
        case "blob":
            return b"x"
        case "timestamp":
            return 1
    return (shape.enum or ["a" * max(8, int(shape.metadata.get("min", 1)))])[0]


session, calls = botocore.session.get_session(), 0
for service in SERVICES:
    client = session.create_client(service, "eu-west-1", config=Config(parameter_validation=False))
    client.meta.events.register("before-send", stop)
    for operation in client.meta.service_model.operation_names:
        shape = client.meta.service_model.operation_model(operation).input_shape
        arguments = sample(shape) if shape is not None else {}
        if "Bucket" in arguments:
            arguments["Bucket"] = "a-bucket"
        try:
            client._make_api_call(operation, arguments)
        except Sent:
            calls += 1
        except Exception as error:
            raise SystemExit(f"{service} {operation} {arguments}: {error!r}")
print(calls)
"""


def test_every_call_of_a_listed_service_can_be_made_with_the_data_that_is_left(built: Path) -> None:
    """To make a client needs less of botocore's data than a call does."""
    listed = sorted(listed_services(ROOT / "pyproject.toml"))
    keys = "import os\nos.environ |= {'AWS_ACCESS_KEY_ID': 'a', 'AWS_SECRET_ACCESS_KEY': 'b'}"
    done = in_bundle(built, f"{keys}\nSERVICES = {listed!r}\n{EVERY_CALL}")

    assert done.stderr == ""
    assert int(done.stdout) > 300


def test_package_versions_can_be_read_at_run_time(built: Path) -> None:
    done = in_bundle(built, "from importlib.metadata import version; print(version('aws-lambda-powertools'))")

    assert (done.stdout.count("."), done.stderr) == (2, "")


def test_no_development_tool_and_no_test_support_is_shipped(built: Path) -> None:
    shipped = {entry.name for entry in built.iterdir()}

    assert {"celeriac", "tasks", "botocore", "aws_lambda_powertools"} <= shipped
    assert not shipped & {
        "aws_cdk",
        "jsii",
        "moto",
        "pytest",
        "mypy",
        "celeriac_cdk",
        "celeriac_console",
        "celeriac_local",
        "tests",
        "bin",
    }
    assert not (built / "celeriac" / "testing").exists()


def test_what_a_handler_loads_has_byte_code_that_is_loaded_without_a_check(built: Path) -> None:
    listed = LOADED.read_text().split()
    ours = [source.relative_to(built).as_posix() for source in built.glob("celeriac/**/*.py")]
    for name in (*listed, *ours, "consumer.py", "relay.py", "sweeper.py"):
        source = built / name
        code = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        assert code.read_bytes()[4:8] == b"\x01\x00\x00\x00", source  # PEP 552: hash-based, without a check
    assert not (built / "aws_lambda_powertools" / "event_handler" / "__pycache__").exists()


def test_the_list_of_loaded_modules_is_what_a_handler_loads(built: Path) -> None:
    """After an update of a library: python -m tests.infra.loaded, see there."""
    assert loaded(built) == LOADED.read_text().split()


def test_a_traceback_through_a_library_shows_its_lines(built: Path) -> None:
    done = in_bundle(built, "import json, botocore.session as s; s.Session().create_client('sqs', 'no region')")
    source = (built / "botocore" / "session.py").read_text().splitlines()
    shown = re.findall(r'botocore/session.py", line (\d+), in .*\n    (.*)', done.stderr)
    assert shown
    for number, line in shown:
        assert line.strip() in source[int(number) - 1]


def test_every_file_can_be_read_by_lambdas_user(built: Path) -> None:
    for path in (built, *built.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_the_bundle_stays_small(built: Path, tmp_path: Path) -> None:
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in contents(built):
            zipped.write(built / name, name)

    assert archive.stat().st_size < SIZE_LIMIT


def test_the_same_sources_make_the_same_bytes_and_are_built_once(project: Path, built: Path) -> None:
    made = built.stat().st_ino
    assert build_bundle(project, THIS_MACHINE, offline=True).stat().st_ino == made

    first = contents(built)
    shutil.rmtree(built)
    again = build_bundle(project, THIS_MACHINE, offline=True)

    assert again == built
    assert contents(again) == first


def test_old_builds_of_a_platform_are_deleted_and_the_newest_stay(tmp_path: Path) -> None:
    for age, name in enumerate(["arm64-new", "arm64-b", "arm64-c", "arm64-old", "this-machine-old"]):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1_000_000 - age, 1_000_000 - age))

    bundle._prune(tmp_path, LAMBDA_ARM64)

    assert {entry.name for entry in tmp_path.iterdir()} == {"arm64-new", "arm64-b", "arm64-c", "this-machine-old"}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A project with one task. No test here gets as far as installing its packages."""
    (tmp_path / "functions" / "tasks").mkdir(parents=True)
    (tmp_path / "functions" / "tasks" / "mail.py").write_text("x = 1\n")
    (tmp_path / "uv.lock").write_text("version = 1\n")
    (tmp_path / "pyproject.toml").write_text('[tool.celeriac]\naws-services = ["sqs"]\n')
    return tmp_path


def fingerprint_of(root: Path, target: Target = LAMBDA_ARM64) -> str:
    return fingerprint(root, sources(root / "functions"), listed_services(root / "pyproject.toml"), target)


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
        build_bundle(tiny, LAMBDA_ARM64)
    assert not (tiny / ".local").exists()


def test_a_missing_uv_is_named_with_its_cure(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(BundleError, match=r"uv, .* is missing: run `make setup`"):
        build_bundle(tiny, LAMBDA_ARM64)


def test_a_build_that_fails_leaves_nothing_that_looks_like_a_bundle(tiny: Path) -> None:
    with pytest.raises(BundleError, match="uv could not install"):
        build_bundle(tiny, LAMBDA_ARM64, offline=True)  # the project's pyproject.toml has no [project]

    assert list((tiny / ".local" / "bundles").iterdir()) == []


@pytest.mark.parametrize(
    ("stderr", "sentence"),
    [
        (
            "error: Distribution `psycopg2==2.9.10 @ registry+https://index.example` can't be installed because ...\n",
            "psycopg2 has no wheel for the platform",
        ),
        (
            "error: Failed to download `six==1.17.0`\n  cause: Network connectivity is disabled, but ...\n",
            "could not be fetched",
        ),
        ("error: Failed to download `six==1.17.0`\n  cause: Hash mismatch for `six==1.17.0`\n", "Hash mismatch"),
        ("", "it gave no reason"),
    ],
)
def test_an_error_of_uv_is_explained_in_one_sentence(stderr: str, sentence: str) -> None:
    explained = explain(stderr)

    assert sentence in explained
    assert "\n" not in explained
