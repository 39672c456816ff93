"""The bundle: built from the lock file, the same in each build, and able to run without anything else.

The real builds here take their wheels from uv's cache, which `make setup` has filled.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from celeriac_cdk.bundle.build import build_bundle
from celeriac_cdk.bundle.byte_code import LOADED
from celeriac_cdk.bundle.services import listed_services
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.bundle.target import THIS_MACHINE
from tests.infra.loaded import loaded

ROOT = Path(__file__).parents[2]
LISTED = listed_services(Source(ROOT / "functions" / "tasks", ROOT).options())
SIZE_LIMIT = 3_900_000  # zipped, in bytes. It was 3.85 MB when this was written. A cold start has to fetch it.


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
    entries = "consumer, relay, sweeper"
    done = in_bundle(built, f"from celeriac.entry import {entries}; print([callable(e.handler) for e in ({entries})])")

    assert (done.stdout, done.stderr) == ("[True, True, True]\n", "")


def test_a_consumers_cold_start_looks_for_no_garbage_and_makes_no_dataclass(built: Path) -> None:
    """Each took a twentieth of it, and more. What the package's own import collects, 6 ms, comes before the handler."""
    done = in_bundle(
        built,
        "import gc, dataclasses, celeriac\n"
        "before = sum(each['collections'] for each in gc.get_stats())\n"
        "made, make = [], dataclasses._process_class\n"
        "dataclasses._process_class = lambda kind, *rest: made.append(kind) or make(kind, *rest)\n"
        "import celeriac.entry.consumer\n"
        "collections = sum(each['collections'] for each in gc.get_stats()) - before\n"
        "ours = [kind for kind in made if kind.__module__.startswith('celeriac')]\n"
        "print(collections <= 1, gc.isenabled(), gc.get_freeze_count() > 10_000, made != ours, ours)",
    )

    assert (done.stdout, done.stderr) == ("True True True True []\n", "")


def test_every_listed_service_can_be_called_and_no_other(built: Path) -> None:
    listed = sorted(LISTED)
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
    listed = sorted(LISTED)
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
    for name in (*listed, *ours):
        source = built / name
        code = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        assert code.read_bytes()[4:8] == b"\x01\x00\x00\x00", source  # PEP 552: hash-based, without a check
    assert not (built / "aws_lambda_powertools" / "event_handler" / "__pycache__").exists()


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the list is that of the default runtime")
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
    source, made = Source(project / "functions" / "tasks", project), built.stat().st_ino
    assert build_bundle(source, THIS_MACHINE, offline=True).stat().st_ino == made

    first = contents(built)
    shutil.rmtree(built)
    again = build_bundle(source, THIS_MACHINE, offline=True)

    assert again == built
    assert contents(again) == first
