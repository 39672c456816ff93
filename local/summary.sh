#!/bin/sh
# Runs a command, and shows its output on the page of the workflow's run too.
#   sh local/summary.sh "prod" make diff STAGE=prod
set -u
title=${1:?usage: sh local/summary.sh TITLE COMMAND...}
shift
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
"$@" >"$output" 2>&1 || status=$?
cat "$output"
if [ -n "${GITHUB_STEP_SUMMARY-}" ]; then
    # A summary has at most 1 MiB.
    { printf '## %s\n\n~~~~~~~~text\n' "$title" && tail -c 900000 "$output" && printf '\n~~~~~~~~\n'; } >>"$GITHUB_STEP_SUMMARY"
fi
exit "$status"
