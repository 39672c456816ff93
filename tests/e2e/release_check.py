"""What must hold before a version is published: `make release-check`.

It looks for the version in CHANGELOG.md, and for what this release leaves behind in tests/compatibility/. It builds the
distribution twice and compares, reads it with twine, and installs the wheel into empty environments: by pip without
extras on each Python from 3.12 to 3.14 that is here, and with each extra alone. TAG=v0.2.0 also compares the version
with a tag. It needs the package index.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from celeriac.model.extras import EXTRAS
from celeriac.model.version import VERSION
from tests.compatibility.write import contents, make_project
from tests.support.pythons import VERSIONS, pythons
from tests.support.scratch import say

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TWINE = "twine==7.0.0"
# Imports, sends to SQS without a network, and prints what the base install must not bring.
PRODUCER = """
import importlib.util, io, json
import boto3
from botocore.awsrequest import AWSResponse
import celeriac

class Body(io.BytesIO):
    def stream(self, **_):
        yield self.read()

queue = celeriac.Queue("emails")

@celeriac.task(queue)
def welcome(user_id: int) -> None: ...

sent = []
def answer(request, **_):
    sent.append(json.loads(request.body))
    found = {"QueueUrl": "https://sqs.eu-west-1.amazonaws.com/1/q", "MessageId": "m"}
    return AWSResponse("", 200, {}, Body(json.dumps(found).encode()))

boto3.setup_default_session(region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
boto3.DEFAULT_SESSION.events.register("before-send", answer)
handle = welcome.enqueue(user_id=7)
body = json.loads(sent[-1]["MessageBody"])
assert (body["task"], body["args"], body["id"]) == ("welcome", {"user_id": 7}, handle.id), body
print([name for name in ("aws_cdk", "constructs", "typer", "rich", "copier", "moto", "pytest", "uv")
       if importlib.util.find_spec(name)])
"""
SANDBOX = """
import celeriac
queue = celeriac.Queue("emails")
seen = []

@celeriac.task(queue)
def welcome(user_id: int) -> None:
    seen.append(user_id)

def test_it_runs(sandbox):
    welcome.enqueue(user_id=7)
    sandbox.drain()
    assert seen == [7]
"""
# What uses an extra, and a word of what it then prints.
USES = {
    "cdk": (["python", "-c", "import celeriac_cdk.stacks.stage; print('imported')"], "imported"),
    "cli": (["celeriac", "--version"], VERSION),
    "testing": (["python", "-m", "pytest", "-q", "test_sandbox.py"], "1 passed"),
    "local": (["python", "-m", "celeriac_local", "--help"], "up"),
}
BRINGS = {"local": {"cdk", "cli", "local"}}


class WrongError(Exception):
    """Something that must hold doesn't."""


def run(*command: str | Path, folder: Path = ROOT, fails: bool = False, **variables: str) -> str:
    """Run a command, without what the shell says about Python and AWS. Raises WrongError if it ends otherwise."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=folder, env=kept | variables, capture_output=True, text=True, check=False)
    if bool(done.returncode) != fails:
        raise WrongError(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def check_the_text() -> None:
    """The version is in the changelog, and is that of the tag."""
    if not re.search(rf"^## {re.escape(VERSION)}( |$)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE):
        raise WrongError(f"CHANGELOG.md has no section `## {VERSION}`")
    if (tag := os.environ.get("TAG")) and tag != f"v{VERSION}":
        raise WrongError(f"the tag is {tag}, and functions/celeriac/model/version.py says {VERSION}")
    if tag and f"## {VERSION} (not published yet)" in (ROOT / "CHANGELOG.md").read_text():
        raise WrongError(f"CHANGELOG.md says that {VERSION} isn't published yet: write its date")


def check_what_it_leaves(scratch: Path) -> None:
    """The project of this version, which the tests of later ones need, is written down as `celeriac new` makes it."""
    kept = Path("tests/compatibility") / VERSION
    make_project(scratch / "shop")
    if contents(ROOT / kept / "project") != contents(scratch / "shop"):
        raise WrongError(
            f"{kept}/project isn't the project that `celeriac new` makes: .venv/bin/python -m "
            f"tests.compatibility.write {kept}, and commit it"
        )


def built(folder: Path) -> Path:
    """The wheel, the same in two builds, which twine finds nothing wrong with."""
    hashes = []
    for name in ("one", "two"):
        run("sh", "local/dist.sh", folder / name)
        files = sorted((folder / name).glob("celeriac-*"))
        hashes.append([(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files])
    if hashes[0] != hashes[1]:
        raise WrongError(f"two builds differ: {hashes}")
    run(BIN / "uv", "tool", "run", "--quiet", TWINE, "check", "--strict", *map(str, files))
    (wheel,) = (folder / "two").glob("*.whl")
    say(f"{wheel.name}: {wheel.stat().st_size} bytes, the same twice; twine check passes")
    return wheel


def check_base(wheel: Path, python: str, environment: Path) -> None:
    """Pip installs the wheel without extras, and a producer works."""
    run(python, "-m", "venv", environment)
    run(environment / "bin/pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    program = environment / "producer.py"
    program.write_text(PRODUCER)
    said = run(environment / "bin/python", program, folder=environment, CELERIAC_STAGE="test")
    if said.strip() != "[]":
        raise WrongError(f"the base install brings {said}")
    check_missing(environment, set(EXTRAS))


def check_extra(wheel: Path, python: str, extra: str, environment: Path) -> None:
    """An extra alone gives what it promises, and the others are named where they lack."""
    run(BIN / "uv", "venv", "--quiet", "--python", python, environment)
    run(BIN / "uv", "pip", "install", "--quiet", "--python", environment / "bin/python", f"{wheel}[{extra}]")
    (environment / "test_sandbox.py").write_text(SANDBOX)
    (environment / "tasks").mkdir()
    (environment / "tasks/__init__.py").touch()
    (program, *rest), word = USES[extra]
    # The CDK's library needs a Node; without the extra `local` it is the machine's.
    path = f"{environment / 'bin'}:{BIN}:/usr/bin:/bin"
    said = run(environment / "bin" / program, *rest, folder=environment, PATH=path)
    if word not in said:
        raise WrongError(f"with the extra {extra}, {program} {' '.join(rest)} printed {said}")
    check_missing(environment, set(EXTRAS) - BRINGS.get(extra, {extra}))


def check_missing(environment: Path, extras: set[str]) -> None:
    """What lacks an extra names it."""
    uses = {
        "cdk": ["python", "-c", "import celeriac_cdk"],
        "cli": ["celeriac", "--version"],
        "testing": ["python", "-c", "from celeriac.testing import Sandbox"],
        "local": ["python", "-m", "celeriac_local", "--help"],
    }
    for extra in sorted(extras):
        program, *rest = uses[extra]
        said = run(environment / "bin" / program, *rest, folder=environment, fails=True)
        if f"pip install 'celeriac[{extra}]'" not in said:
            raise WrongError(f"without the extra {extra}, {program} {' '.join(rest)} said {said}")


def main() -> None:
    """Check everything. Ends with status 1 and the reason if something doesn't hold."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="release-") as scratch:
        folder = Path(scratch)
        try:
            check_the_text()
            check_what_it_leaves(folder)
            wheel, here = built(folder), list(pythons())
            for version, python in here:
                check_base(wheel, python, folder / f"base-{version}")
                say(f"Python {version}: installed by pip without extras, sends")
                for extra in sorted(EXTRAS):
                    check_extra(wheel, python, extra, folder / f"{extra}-{version}")
                    say(f"Python {version}: the extra {extra} alone does its work, and the others are named")
        except WrongError as wrong:
            sys.exit(f"release-check: {wrong}")
    lacking = [version for version in VERSIONS if version not in dict(here)]
    if lacking:
        say(f"not tried, because this machine has no Python {', '.join(lacking)}")
    say(f"{VERSION} can be published ({time.monotonic() - begun:.0f} s)")


if __name__ == "__main__":
    main()
