"""The one asset of all functions: sources, locked wheels and byte code, built by uv without Docker.

A build is kept under `.local/bundles/`. Its name is a fingerprint of everything it depends on, so a synth without
changes builds nothing. CloudFormation sees the hash of the built files. Equal inputs build equal files,
so CloudFormation deploys real differences only.
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

from celeriac_cdk.bundle import services, trim

_KEPT_BUILDS = 3


class BundleError(RuntimeError):
    """The bundle can't be built; the message says why and what cures it."""


@dataclass(frozen=True, slots=True)
class Target:
    """The machine that the wheels have to run on."""

    name: str
    uv_platform: str | None
    """uv's name of it; None is the interpreter's own, whatever that is."""


# The python3.13 runtime is Amazon Linux 2023, which has glibc 2.34 and takes wheels for anything older.
LAMBDA_ARM64 = Target("arm64", "aarch64-manylinux_2_34")
THIS_MACHINE = Target("this-machine", None)


def build_bundle(root: Path, target: Target, *, offline: bool = False) -> Path:
    """Return a folder with the bundle of the project at `root`, built only if nothing like it has been built.

    `offline` takes the wheels from uv's cache alone. Raises BundleError when uv or a wheel is missing, and
    ServiceError when the sources call an AWS service that isn't listed.
    """
    listed = services.listed_services(root / "pyproject.toml")
    files = trim.sources(root / "functions")
    services.check_services([file for file in files if file.suffix == ".py"], listed)
    bundles = root / ".local" / "bundles"
    bundle = bundles / f"{target.name}-{fingerprint(root, files, listed, target)}"
    if bundle.is_dir():
        bundle.touch()
        return bundle
    bundles.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=bundles) as staging:
        built = Path(staging) / "bundle"
        _install(root, built, target, offline=offline)
        trim.trim(built, listed)
        _copy(root / "functions", files, built)
        _compile(built)
        _make_readable(built)
        _publish(built, bundle)
    _prune(bundles, target)
    return bundle


def fingerprint(root: Path, files: list[Path], listed: frozenset[str], target: Target) -> str:
    """Return a hash of a build's inputs: sources, lock file, services, machine and recipe."""
    digest = hashlib.sha256(repr((target, sorted(listed), sys.version, platform.machine())).encode())
    recipe = sorted(Path(__file__).parent.glob("*.py"))
    for file in (*files, root / "uv.lock", *(step for step in recipe if step.stem in {"build", "trim"})):
        content = file.read_bytes()
        digest.update(f"{file.name if file in recipe else file.relative_to(root)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _install(root: Path, into: Path, target: Target, *, offline: bool) -> None:
    """Install exactly what uv.lock names, each file checked against its hash, and nothing that needs a compiler.

    It goes through an environment of its own, because that is how uv reads a lock file; and offline a lock file is
    enough, where resolving the same names again would need the index.
    """
    environment = into.with_name("environment")
    machine = [] if target.uv_platform is None else ["--python-platform", target.uv_platform]
    _run(
        [
            *(_uv(), "sync", "--quiet", "--frozen", "--no-dev", "--no-install-project", "--no-build"),
            # Hard links would let what follows change uv's cache.
            *("--link-mode", "copy", "--python", sys.executable, "--project", str(root)),
            *machine,
            *(["--offline"] if offline else []),
        ],
        environment=environment,
    )
    (site_packages,) = environment.glob("lib/python3*/site-packages")
    for part in site_packages.glob("_virtualenv.*"):  # the environment's own, not a package's
        part.unlink()
    site_packages.rename(into)


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise BundleError("uv, which builds the bundle, is missing: run `make setup`")
    return uv


def _run(command: list[str], *, environment: Path) -> None:
    # VIRTUAL_ENV may name another environment of the caller's, and uv would warn about it.
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(  # noqa: S603 - uv, and arguments of our own
        command,
        env=variables | {"UV_PROJECT_ENVIRONMENT": str(environment), "UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BundleError(explain(done.stderr))


def explain(stderr: str) -> str:
    """Return one sentence, with the cure, for an error of uv."""
    wheel = re.search(r"Distribution `([^`=@ ]+)[^`]*` can't be installed", stderr)
    if wheel:
        return (
            f"{wheel[1]} has no wheel for the platform that the functions run on, and the bundle compiles nothing: "
            "take a version that has one, or a package that does without"
        )
    if re.search(r"connectivity is disabled|error sending request|dns error|Failed to fetch", stderr):
        return "the packages of uv.lock could not be fetched: connect this machine to its package index and try again"
    detail = " ".join(line.strip() for line in stderr.splitlines() if line.strip())
    return f"uv could not install what uv.lock names: {detail or 'it gave no reason'}"


def _copy(functions: Path, files: list[Path], into: Path) -> None:
    for file in files:
        copy = into / file.relative_to(functions)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _compile(bundle: Path) -> None:
    """Ship byte code that Lambda loads unchecked: nearly half of a cold start would go into compiling.

    The prefix stands for the folder in which Lambda unpacks: the one of this build would make each one differ.
    """
    compileall = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    done = subprocess.run(  # noqa: S603 - this interpreter, on a folder of our own
        [*compileall, "-s", str(bundle), "-p", "/var/task", str(bundle)],
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BundleError(f"a source of the bundle is no Python 3.13: {done.stdout.strip()}")


def _make_readable(bundle: Path) -> None:
    """Lambda runs as another user; with a private umask here it could read nothing of the bundle."""
    for path in (bundle, *bundle.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _publish(built: Path, bundle: Path) -> None:
    try:
        built.rename(bundle)
    except OSError:
        if not bundle.is_dir():  # else another synth was faster, with the same result
            raise


def _prune(bundles: Path, target: Target) -> None:
    for old in sorted(_builds(bundles, target), key=lambda build: build.stat().st_mtime)[:-_KEPT_BUILDS]:
        shutil.rmtree(old)


def _builds(bundles: Path, target: Target) -> Iterator[Path]:
    return bundles.glob(f"{target.name}-*")
