#!/bin/sh
# Builds the source distribution, and of it the wheel, into dist/ or the folder that is named. Equal sources give equal
# bytes: the times in the archives are that of the commit.
# Usage: sh local/dist.sh [FOLDER]
set -eu
cd "$(dirname "$0")/.."
folder=${1:-dist}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1700000000)}
export SOURCE_DATE_EPOCH UV_PYTHON_DOWNLOADS=never
rm -f "$folder"/celeriac-*.whl "$folder"/celeriac-*.tar.gz
.venv/bin/uv build --quiet --python .venv/bin/python --out-dir "$folder"
for file in "$folder"/celeriac-*; do
    printf '%s  %s bytes\n' "$file" "$(wc -c <"$file" | tr -d ' ')"
done
