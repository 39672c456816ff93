#!/bin/sh
# Publishes the documentation of the tag that the workflow runs for, such as v0.2.1, as version 0.2.
set -eu
cd "$(dirname "$0")/.."
tag=${GITHUB_REF_NAME:?this script runs in the workflow docs.yml}
git config user.name "github-actions[bot]"
git config user.email "41898282+github-actions[bot]@users.noreply.github.com"
git fetch --quiet origin gh-pages:gh-pages 2>/dev/null || true # there is none before the first release
version=${tag#v}
make version-docs VERSION="${version%.*}" ARGS=--push
