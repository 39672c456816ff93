"""The local cloud's folders and files. The cloud writes only to `.local/`: removing that folder removes every trace."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".local"
STATE_FILE = STATE / "cloud.json"
TEMPORARY = STATE / "tmp"
"""The emulator's TMPDIR. `ministack-lambda-*` folders stay here until the cloud stops, which removes them."""
HOME = STATE / "home"
"""The functions' home folder. It is empty: a developer's `~/.aws/config` would change what the functions do."""
ASSEMBLY = STATE / "cdk.out"
EMULATOR = ROOT / "local" / "celeriac_local" / "emulator" / "serve.py"
EMULATOR_PYTHON = ROOT / "local" / "celeriac_local" / "emulator" / ".venv" / "bin" / "python"
CDK = ROOT / "node_modules" / ".bin" / "cdk"


def log(name: str) -> Path:
    """The log file of one part of the local cloud, such as `emulator`."""
    return STATE / f"{name}.log"


def shown(path: Path) -> str:
    """`path` relative to the top of the repository, for messages."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
