#!/bin/sh
# Tries the operators' page in the Chromium of this machine. Without one it says so, installs nothing, and is no failure.
# Its packages are in environments of their own: playwright in uv's cache, axe in tests/browser/axe.
# Usage: sh local/browser.sh [what pytest takes]     (without arguments: all of tests/browser)
set -eu
cd "$(dirname "$0")/.."

command -v chromium || command -v chromium-browser || command -v google-chrome || {
    echo "Skipped: the tests of the operators' page need Chromium, and this machine has none (apt install chromium)"
    exit 0
}
sh local/setup.sh browser
[ $# -gt 0 ] || set -- tests/browser
status=0
.venv/bin/uv run --frozen --isolated --quiet --group browser --python .venv/bin/python \
    pytest -q -n 0 -rs "$@" || status=$?
# 5 is pytest's word for: nothing was collected, because a `-k` or an empty folder left no test.
[ "$status" -eq 5 ] || exit "$status"
