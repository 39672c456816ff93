"""What `make setup` installs beside .venv: a test may stand in another project's folder."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EMULATOR_PYTHON = ROOT / ".celeriac" / "emulator" / "bin" / "python"
CDK = ROOT / ".celeriac" / "cdk" / "node_modules" / ".bin" / "cdk"
