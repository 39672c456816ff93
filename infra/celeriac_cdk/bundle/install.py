"""Installs the packages of a lock file into a folder: by uv from wheels, or by pip in Lambda's build image.

The command lines are pure data. Every file is checked against its hash in both ways.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from celeriac_cdk.bundle import lock
from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.bundle.target import Target

_EXPORT = ("export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-project", "--no-emit-package", "celeriac")
_IMAGE = "public.ecr.aws/sam/build-python{python}"


def install(source: Source, into: Path, target: Target, *, offline: bool, page: bool = False) -> None:
    """Install the packages of the project's lock file into the new folder `into`. Raises BundleError.

    page: also those of the operators' page.
    """
    options = source.options()
    locked = (lock.find_of_page if page else lock.find)(source.project, options)
    in_docker = options.get("docker", False)
    if not isinstance(in_docker, bool):
        raise BundleError(f"docker under [tool.celeriac] is {in_docker!r}, write true or false")
    with_docker = in_docker and target.uv_platform is not None
    file = _requirements(locked, into.parent, as_pylock=not with_docker, page=page)
    if with_docker:
        command = docker_command(file, into, target, user=f"{os.getuid()}:{os.getgid()}")
    else:
        command = uv_command(_uv(), file, into, target, offline=offline, may_build=in_docker)
    _run(command, source.project, locked.name, target)
    into.mkdir(exist_ok=True)  # a lock file without packages makes none


def _requirements(locked: Path, folder: Path, *, as_pylock: bool, page: bool) -> Path:
    """Write what is to be installed, without Celeriac, into `folder`, and return the file."""
    if locked.name != lock.UV:
        text = lock.without_the_library(locked.read_text(encoding="utf-8-sig"), locked.name)
        lock.check_for_tools(lock.names_in_requirements(text), locked.name)
        file = folder / "requirements.txt"
    else:
        kind = "pylock.toml" if as_pylock else "requirements.txt"
        file = folder / kind
        # uv writes the path of a local wheel relative to this file.
        group = ("--group", lock.PAGE) if page else ()
        run_uv(locked.parent, *_EXPORT, *group, "--format", kind, "--output-file", str(file))
        text = file.read_text(encoding="utf-8")
        names = lock.names_in_pylock(text) if as_pylock else lock.names_in_requirements(text)
        lock.check_for_tools(names, locked.name)
        lock.check_for_folders(
            lock.folders_in_pylock(text) if as_pylock else lock.folders_in_requirements(text), locked.name
        )
        return file
    file.write_text(text, encoding="utf-8")
    return file


def uv_command(uv: str, file: Path, into: Path, target: Target, *, offline: bool, may_build: bool) -> list[str]:
    """Return uv's command. With `may_build` a package without a wheel is compiled, on this machine and for it."""
    return [
        *(uv, "pip", "install", "--quiet", "--target", str(into), "--requirement", str(file)),
        *("--require-hashes", "--no-deps"),
        *([] if may_build else ["--only-binary", ":all:"]),
        # With hard links the next steps would change files in uv's cache.
        *("--link-mode", "copy", "--python", sys.executable, "--python-version", target.python),
        *([] if target.uv_platform is None else ["--python-platform", target.uv_platform]),
        *(["--offline"] if offline else []),
    ]


def docker_command(file: Path, into: Path, target: Target, *, user: str) -> list[str]:
    """Return the command that installs in Lambda's build image, which compiles what has no wheel."""
    return [
        *("docker", "run", "--rm", "--platform", target.docker_platform, "--user", user),
        *("--env", "HOME=/tmp", "--volume", f"{file.parent}:/work", _IMAGE.format(python=target.python)),
        *("python", "-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check", "--no-compile"),
        *("--require-hashes", "--no-deps", "--target", f"/work/{into.name}", "--requirement", f"/work/{file.name}"),
    ]


def run_uv(root: Path, *arguments: str) -> str:
    """Run uv for the project at `root`, and return what it prints. Raises BundleError."""
    return _run([_uv(), *arguments, "--project", str(root)], root, lock.UV, None)


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise BundleError("uv, which builds the bundle, is missing: run `make setup`, or pip install 'celeriac[cdk]'")
    return uv


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for uv: those of the caller, less those that would install elsewhere or otherwise.

    VIRTUAL_ENV may name another environment, and uv would warn about that. The CDK's command line asks for colours, and
    they would be in what uv prints.
    """
    return {name: value for name, value in environment.items() if name not in _NOT_FOR_UV} | {
        "UV_PYTHON_DOWNLOADS": "never",
        "NO_COLOR": "1",
    }


_NOT_FOR_UV = frozenset({"VIRTUAL_ENV", "UV_PROJECT", "FORCE_COLOR", "CLICOLOR_FORCE"})


def _run(command: list[str], folder: Path, locked: str, target: Target | None) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - uv or docker, with arguments from this file
            command, cwd=folder, env=variables(os.environ), capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise BundleError(
            f"docker = true under [tool.celeriac] builds packages in {_IMAGE.format(python='...')}, and the command "
            f"{error.filename!r} is missing: install Docker, or remove the line if all packages have wheels"
        ) from error
    if done.returncode != 0:
        raise BundleError(explain(done.stderr, locked, target))
    return done.stdout


_NO_WHEEL = (
    r"Package `([^`]+)` can't be installed because it is marked as `--no-build`",
    r"Distribution `([^`=@ ]+)[^`]*` can't be installed",
    r"Because ([^\s=]+)==\S+ has no (?:usable )?wheels",
    r"Wheels are required for `([^`]+)`",
)
_NO_GROUP = rf"[Gg]roup `{lock.PAGE}`"
_NO_NETWORK = r"connectivity is disabled|network was disabled|error sending request|dns error|Failed to fetch"


def explain(stderr: str, locked: str = lock.UV, target: Target | None = None) -> str:
    """Return one sentence, with the cure, for an error of uv or docker."""
    where = target.described if target is not None else "the platform of the functions"
    for pattern in _NO_WHEEL:
        if found := re.search(pattern, stderr):
            return (
                f"{found[1]} of {locked} has no wheel for {where}, and the bundle compiles nothing: lock a version "
                "that has one, use another package, or let Docker compile it: docker = true under [tool.celeriac] in "
                "pyproject.toml"
            )
    if re.search(_NO_GROUP, stderr):
        return (
            f"{locked} has no dependency group {lock.PAGE!r}, which says what the operators' page needs: type `uv add "
            f"--group {lock.PAGE} 'celeriac[oidc]'`"
        )
    if re.search(_NO_NETWORK, stderr):
        return f"the packages of {locked} could not be fetched: connect this machine to the package index and try again"
    if re.search(r"[Cc]annot connect to the Docker daemon|docker daemon running", stderr):
        return "Docker doesn't run, and docker = true under [tool.celeriac] needs it: start Docker and try again"
    detail = " ".join(line.strip() for line in stderr.splitlines() if line.strip())
    return f"the packages of {locked} could not be installed: {detail or 'no reason was given'}"
