"""Where the local cloud keeps what it makes: all in `.local/`, so that removing that folder removes every trace."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".local"
STATE_FILE = STATE / "cloud.json"
TEMPORARY = STATE / "tmp"
"""The emulator's TMPDIR. It leaves `ministack-lambda-*` folders behind, which go when the cloud stops."""
HOME = STATE / "home"
"""The functions' home folder: empty, because a developer's `~/.aws/config` would reach them and change what they do."""
ASSEMBLY = STATE / "cdk.out"
EMULATOR = ROOT / "local" / "celeriac_local" / "emulator" / "serve.py"
EMULATOR_PYTHON = ROOT / "local" / "celeriac_local" / "emulator" / ".venv" / "bin" / "python"
CDK = ROOT / "node_modules" / ".bin" / "cdk"


def log(name: str) -> Path:
    """The log file of one part of the local cloud."""
    return STATE / f"{name}.log"


def shown(path: Path) -> str:
    """`path` as a person at the top of the repository would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
