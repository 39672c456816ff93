#!/bin/sh
# Synthesizes random declarations, and lets cfn-lint read the templates as three regions would.
#   sh local/synth_fuzz.sh 200        so many applications
set -eu
cd "$(dirname "$0")/.."
count=${1:?usage: sh local/synth_fuzz.sh COUNT}
shift
templates=$(mktemp -d)
trap 'rm -rf "$templates"' EXIT
CELERIAC_SYNTH_FUZZ=$templates .venv/bin/pytest -q tests/infra/test_any_declaration.py --declarations "$count" "$@"
echo "cfn-lint reads $(find "$templates" -name '*.json' | wc -l) templates"
# W: what is only advice, such as a name that is fixed on purpose.
.venv/bin/uv tool run --from cfn-lint==1.58.0 cfn-lint --regions eu-west-1 us-east-1 ap-southeast-2 \
    --non-zero-exit-code error --ignore-checks W I -- "$templates"/*.json
echo "No template has an error."
