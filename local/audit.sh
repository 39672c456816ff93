#!/bin/sh
# Looks up known vulnerabilities of every locked package: of Python at OSV (api.osv.dev), of npm at its registry.
# All lock files are looked at before the script fails. A finding without a fix fails it too, until a person has judged
# it, and written its id under [tool.uv.audit] into the pyproject.toml beside the lock file.
set -u
cd "$(dirname "$0")/.."
status=0
for lock in $(git ls-files '*uv.lock'); do
    project=$(dirname "$lock")
    echo "$lock"
    .venv/bin/uv audit --preview-features audit-command --frozen --project "$project" "$@" || status=1
done
for lock in $(git ls-files '*package-lock.json'); do
    echo "$lock"
    .venv/bin/npm audit --package-lock-only --prefix "$(dirname "$lock")" || status=1
done
exit "$status"
