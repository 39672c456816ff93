"""The asset that all functions share: sources, locked wheels and byte code, built by uv without Docker.

Builds are kept under `.celeriac/bundles/`. The name of a build is a fingerprint of its inputs, so a synth without
changes builds nothing. CloudFormation compares the hash of the built files. Equal inputs give equal files, so
CloudFormation deploys real changes only.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from celeriac_cdk.bundle import botocore_data, byte_code, services, trim

_KEPT_BUILDS = 3
_NO_STEPS = {"services.py", "licences.py", "sbom.py"}
"""Files beside this one that change nothing in a bundle."""


class BundleError(RuntimeError):
    """The bundle can't be built. The message names the cause and the cure."""


@dataclass(frozen=True, slots=True)
class Target:
    """The machine that the wheels have to run on."""

    name: str
    uv_platform: str | None
    """uv's name of the platform. None means the platform of this interpreter."""


# The runtime python3.13 is Amazon Linux 2023. Its glibc is 2.34, which also runs wheels for older versions.
LAMBDA_ARM64 = Target("arm64", "aarch64-manylinux_2_34")
LAMBDA_X86_64 = Target("x86_64", "x86_64-manylinux_2_34")
THIS_MACHINE = Target("this-machine", None)


def build_bundle(root: Path, target: Target, *, offline: bool = False) -> Path:
    """Return the folder with the bundle of the project at `root`. Equal inputs are built only once.

    If `offline`, uv takes the wheels from its cache only. Raises BundleError if uv or a wheel is missing, and
    ServiceError if the sources call an AWS service that isn't listed.
    """
    listed = services.listed_services(root / "pyproject.toml")
    files = trim.sources(root / "functions")
    services.check_services([file for file in files if file.suffix == ".py"], listed)
    bundles = root / ".celeriac" / "bundles"
    bundle = bundles / f"{target.name}-{fingerprint(root, files, listed, target)}"
    if bundle.is_dir():
        bundle.touch()
        return bundle
    bundles.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=bundles) as staging:
        built = Path(staging) / "bundle"
        _install(root, built, target, offline=offline)
        trim.trim(built, listed)
        botocore_data.cut(built, listed)
        _copy(root / "functions", files, built)
        _compile(built)
        _make_readable(built)
        _publish(built, bundle)
    _prune(bundles, target)
    return bundle


def fingerprint(root: Path, files: list[Path], listed: frozenset[str], target: Target) -> str:
    """Return a hash of a build's inputs: sources, lock file, services, machine and recipe."""
    digest = hashlib.sha256(repr((target, sorted(listed), sys.version, platform.machine())).encode())
    recipe = sorted(file for file in Path(__file__).parent.iterdir() if file.suffix in {".py", ".txt"})
    for file in (*files, root / "uv.lock", *(step for step in recipe if step.name not in _NO_STEPS)):
        content = file.read_bytes()
        digest.update(f"{file.name if file in recipe else file.relative_to(root)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _install(root: Path, into: Path, target: Target, *, offline: bool) -> None:
    """Install exactly the packages of uv.lock. uv checks each file's hash, and refuses packages that need a compiler.

    uv installs a lock file only into an environment, so the packages are moved from a temporary environment. With a
    lock file uv works offline. Resolving the names again would need the package index.
    """
    environment = into.with_name("environment")
    machine = [] if target.uv_platform is None else ["--python-platform", target.uv_platform]
    _run(
        [
            *(_uv(), "sync", "--quiet", "--frozen", "--no-dev", "--no-install-project", "--no-build"),
            # With hard links the next steps would change files in uv's cache.
            *("--link-mode", "copy", "--python", sys.executable, "--project", str(root)),
            *machine,
            *(["--offline"] if offline else []),
        ],
        environment=environment,
    )
    (site_packages,) = environment.glob("lib/python3*/site-packages")
    for part in site_packages.glob("_virtualenv.*"):  # belongs to the environment, not to a package
        part.unlink()
    site_packages.rename(into)


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise BundleError("uv, which builds the bundle, is missing: run `make setup`")
    return uv


def run_uv(root: Path, *arguments: str) -> str:
    """Run uv for the project at `root`, and return what it prints. Raises BundleError."""
    return _run([_uv(), *arguments, "--project", str(root)])


def _run(command: list[str], *, environment: Path | None = None) -> str:
    # The caller's VIRTUAL_ENV may name another environment. uv would warn about that.
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(  # noqa: S603 - uv, with arguments from this file
        command,
        env=variables
        | {"UV_PYTHON_DOWNLOADS": "never"}
        | ({"UV_PROJECT_ENVIRONMENT": str(environment)} if environment is not None else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BundleError(explain(done.stderr))
    return done.stdout


def explain(stderr: str) -> str:
    """Return one sentence, with the cure, for an error of uv."""
    wheel = re.search(r"Distribution `([^`=@ ]+)[^`]*` can't be installed", stderr)
    if wheel:
        return (
            f"{wheel[1]} has no wheel for the platform of the functions, and the bundle compiles nothing: use a "
            "version that has a wheel, or another package"
        )
    if re.search(r"connectivity is disabled|error sending request|dns error|Failed to fetch", stderr):
        return "the packages of uv.lock could not be fetched: connect this machine to the package index and try again"
    detail = " ".join(line.strip() for line in stderr.splitlines() if line.strip())
    return f"uv could not install the packages of uv.lock: {detail or 'it gave no reason'}"


def _copy(functions: Path, files: list[Path], into: Path) -> None:
    for file in files:
        copy = into / file.relative_to(functions)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _compile(bundle: Path) -> None:
    try:
        byte_code.compile_bundle(bundle)
    except byte_code.SourceError as error:
        raise BundleError(f"a source of the bundle is not valid Python 3.13: {error}") from error


def _make_readable(bundle: Path) -> None:
    """Let every user read the bundle. Lambda runs as another user, and this machine's umask may be private."""
    for path in (bundle, *bundle.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _publish(built: Path, bundle: Path) -> None:
    try:
        built.rename(bundle)
    except OSError:
        if not bundle.is_dir():  # otherwise another synth has built the same bundle meanwhile
            raise


def _prune(bundles: Path, target: Target) -> None:
    for old in sorted(_builds(bundles, target), key=lambda build: build.stat().st_mtime)[:-_KEPT_BUILDS]:
        shutil.rmtree(old)


def _builds(bundles: Path, target: Target) -> Iterator[Path]:
    return bundles.glob(f"{target.name}-*")
