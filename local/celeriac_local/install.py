"""What Python packages can't bring: the emulator's environment, and the CDK's command line.

Both are installed into the project's `.celeriac/` when they are first needed, from lock files that this package holds.
`python -m celeriac_local.install [emulator] [cdk]` installs them beforehand. What is there already takes milliseconds.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from celeriac_local import folders
from celeriac_local.errors import UserError

_PACKAGE = Path(__file__).resolve().parent
_EMULATOR = _PACKAGE / "emulator"
_CDK = _PACKAGE / "cdk"
_STAMP = ".made-from"
"""The last file of an installation: what it was made from. A folder without it was interrupted, and is made anew."""
_OTHER_PYTHONS = {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT"}
_SYSTEMS_CERTIFICATES = (
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
)

type Say = Callable[[str], None]
"""Called with a line before a long step."""


def emulator(say: Say) -> Path:
    """Return the emulator's interpreter, which is installed if it isn't there. Raises UserError."""
    folder = folders.emulator_environment()
    with _once(folder, folders.emulator_python(), [_EMULATOR / "uv.lock"]) as missing:
        if missing:
            say("Installing the emulator (once for this project)")
            uv = _tool("uv")
            _run(
                # The functions run on this interpreter too, and their packages are those of this one.
                [uv, "sync", "--frozen", "--quiet", "--project", str(_EMULATOR), "--python", sys.executable],
                {"UV_PROJECT_ENVIRONMENT": str(folder)},
                folder.parent,
            )
    return folders.emulator_python()


def cdk(say: Say) -> Path:
    """Return the CDK's command line, which is installed if it isn't there. Raises UserError."""
    folder = folders.cdk_folder()
    with _once(folder, folders.cdk(), [_CDK / "package.json", _CDK / "package-lock.json"]) as missing:
        if missing:
            say("Installing the CDK's command line (once for this project)")
            npm = _tool("npm")
            folder.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(_CDK / name, folder / name)
            _run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], {}, folder)
    return folders.cdk()


@contextmanager
def _once(folder: Path, made: Path, inputs: Sequence[Path]) -> Iterator[bool]:
    """Yield whether `folder` has to be made: it is emptied then, and stamped when the block has ended.

    Only one process at a time gets into the block. made: the file of the folder that commands need.
    """
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in inputs)).hexdigest()
    # Scripts in an environment hold its path, and an environment belongs to one Python.
    wanted = "\n".join([str(folder), sys.version, sys.base_prefix, digest, ""])
    stamp = folder / _STAMP
    if _is_made(stamp, made, wanted):
        yield False
        return
    with (folders.made_state() / f"{folder.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_made(stamp, made, wanted):  # by another process, meanwhile
            yield False
            return
        shutil.rmtree(folder, ignore_errors=True)
        yield True
        stamp.write_text(wanted)


def _is_made(stamp: Path, made: Path, wanted: str) -> bool:
    try:
        return made.exists() and stamp.read_text() == wanted
    except (OSError, UnicodeDecodeError):
        return False


def _tool(name: str) -> str:
    """The program of that name: that beside this interpreter, or else the first one on the PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise UserError(f"{name} isn't installed. Install it with the local cloud: pip install 'celeriac[local]'")
    return found


def environment() -> dict[str, str]:
    """The environment for installing: the shell's, without what is about other Pythons, and with the tools' own first.

    cron, sudo and containers may not set HOME, and uv and npm keep their files there.
    """
    base = {name: value for name, value in os.environ.items() if name not in _OTHER_PYTHONS}
    base["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{base.get('PATH', os.defpath)}"
    base.setdefault("HOME", str(Path.home()))
    # uv and Node bring their own lists of certificate authorities. A company's proxy is only in the system's list.
    base.setdefault("NODE_USE_SYSTEM_CA", "1")
    if any(Path(file).exists() for file in _SYSTEMS_CERTIFICATES):
        base.setdefault("UV_SYSTEM_CERTS", "true")
    return base | {"UV_PYTHON_DOWNLOADS": "never"}


def _run(command: Sequence[str], more: dict[str, str], folder: Path) -> None:
    done = subprocess.run(  # noqa: S603 - uv and npm, with arguments from this file
        command,
        cwd=folder,
        env=environment() | more,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = [f"  {line}" for line in done.stdout.splitlines() if line.strip()][-8:]
        cure = "Without a network, or behind a proxy, set HTTPS_PROXY. Then type the same command again."
        raise UserError("\n".join([f"{Path(command[0]).name} {command[1]} failed:", *said, cure]))


def main(names: Sequence[str]) -> int:
    """Install what is named, or everything. Returns the exit code."""
    steps = {"emulator": emulator, "cdk": cdk}
    try:
        for name in names or steps:
            steps[name](lambda line: print(line, flush=True))  # noqa: T201 - the progress
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
