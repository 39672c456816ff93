"""local/browser.sh, which CI runs on machines with and without a browser."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_machine_without_a_browser_says_so_and_doesnt_fail(tmp_path: Path) -> None:
    for command in ("sh", "dirname"):
        (tmp_path / command).symlink_to(shutil.which(command) or "")
    done = subprocess.run(
        ["/bin/sh", ROOT / "local/browser.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Skipped: " in done.stdout
    assert "apt install chromium" in done.stdout
