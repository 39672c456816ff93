"""The folders and files of a project on this machine.

A project is a folder with celeriac.toml, and a command works on that of the current folder, or of the nearest one above
it. What the commands make is in its `.celeriac/`: removing that folder removes every trace.
"""

import sys
from pathlib import Path

from celeriac.model import settings
from celeriac_local.errors import UserError

_PACKAGE = Path(__file__).resolve().parent
EMULATOR = _PACKAGE / "emulator" / "serve.py"
GRANTS = "infra/samples.py"
"""The file of the sample tasks beside functions/tasks/."""


def root() -> Path:
    """The project's folder. Raises UserError if there is no celeriac.toml in the current folder or above it."""
    file = settings.project_file(Path.cwd().resolve())
    if file is None:
        raise UserError(
            f"There is no {settings.FILE} in {Path.cwd()} or above it. Go to the folder of your project, or make one: "
            "celeriac new my-tasks"
        )
    return file.parent


def source_root() -> Path:
    """The folder that the tasks are imported from. Raises UserError if celeriac.toml can't be used."""
    try:
        return (root() / settings.source_in(root())).resolve().parent
    except ValueError as error:
        raise UserError(str(error)) from error


def has_samples() -> bool:
    """Whether this is the repository of Celeriac, with its sample tasks: the package has neither."""
    return (root() / GRANTS).exists() and (_PACKAGE / "provider").is_dir()


def state() -> Path:
    """The folder of everything that is made here."""
    return root() / ".celeriac"


def made_state() -> Path:
    """The same folder, which is made if it isn't there. git ignores what is in it."""
    folder = state()
    folder.mkdir(exist_ok=True)
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n")
    return folder


def state_file() -> Path:
    """What is known of the running cloud."""
    return state() / "cloud.json"


def temporary() -> Path:
    """The emulator's TMPDIR. `ministack-lambda-*` folders stay here until the cloud stops, which removes them."""
    return state() / "tmp"


def home() -> Path:
    """The functions' home folder. It is empty: a developer's `~/.aws/config` would change what the functions do."""
    return state() / "home"


def assembly() -> Path:
    """What the last synth for the local cloud has written."""
    return state() / "cdk.out"


def emulator_environment() -> Path:
    """The emulator's own environment: it pins botocore, and so it can't share the project's."""
    return state() / "emulator"


def emulator_python() -> Path:
    """The interpreter that runs the emulator and the functions."""
    return emulator_environment() / "bin" / "python"


def cdk_folder() -> Path:
    """The folder that the CDK's command line is installed in."""
    return state() / "cdk"


def cdk() -> Path:
    """The CDK's command line."""
    return cdk_folder() / "node_modules" / ".bin" / "cdk"


def celeriac() -> str:
    """The command as a person types it in the project's folder, whether or not its environment is activated."""
    found = Path(sys.executable).with_name("celeriac")
    return str(found.relative_to(root())) if found.is_relative_to(root()) else "celeriac"


def log(name: str) -> Path:
    """The log file of one part of the local cloud, such as `emulator`."""
    return state() / f"{name}.log"


def shown(path: Path) -> str:
    """`path` relative to the project's folder, for messages."""
    return str(path.relative_to(root())) if path.is_relative_to(root()) else str(path)
