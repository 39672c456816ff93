"""What a new project depends on: a version of the package index, or the file that this Celeriac was installed from."""

import json
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from celeriac_console.terminal.errors import UserError

VENDOR = "vendor"


def put_wheel(project: Path) -> str:
    """Put the wheel that this Celeriac was installed from into the project. Returns its name.

    It is empty if this Celeriac was installed from a package index: the project then names a version. From a checkout
    of the repository, a wheel is built. Raises UserError if the wheel isn't there any more, or can't be built.
    """
    origin = _origin()
    if origin is None:
        return ""
    folder = project / VENDOR
    old = set(folder.glob("celeriac-*.whl"))
    folder.mkdir(exist_ok=True)
    if origin.is_dir():
        wheel = _built(origin, folder)
    else:
        wheel = folder / origin.name
        if not origin.is_file():
            raise UserError(
                f"the file that celeriac was installed from isn't there any more ({origin}), and the project needs it: "
                "install celeriac again from where the file is now"
            )
        if origin != wheel:
            shutil.copyfile(origin, wheel)
    for each in old - {wheel}:
        each.unlink()
    return wheel.name


def _origin() -> Path | None:
    """The wheel or the checkout that this Celeriac was installed from; None: a package index.

    https://packaging.python.org/en/latest/specifications/direct-url/
    """
    text = distribution("celeriac").read_text("direct_url.json")
    if text is None:
        return None
    found: dict[str, Any] = json.loads(text)
    url = urlsplit(found["url"])
    if url.scheme != "file":
        raise UserError(
            f"celeriac was installed from {found['url']}, and a project can't be: download that file, and install it"
        )
    return Path(url2pathname(url.path))


def _built(checkout: Path, folder: Path) -> Path:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise UserError(f"celeriac runs from {checkout}, and uv, which builds its wheel, is missing: make setup there")
    with tempfile.TemporaryDirectory() as target:
        command = [uv, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", target, str(checkout)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - uv
        if done.returncode != 0:
            raise UserError(f"the wheel of {checkout} can't be built: {' '.join(done.stderr.split())}")
        (wheel,) = Path(target).glob("*.whl")
        return Path(shutil.copy(wheel, folder / wheel.name))
