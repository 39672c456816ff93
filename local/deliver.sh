#!/bin/sh
# Deploys a stage and tests it. If the test fails, the commit that passed last is deployed again.
#   sh local/deliver.sh prod           deploys this commit
#   sh local/deliver.sh prod 1a2b3c    deploys an earlier commit, with the tools of that commit
#   sh local/deliver.sh mark prod      notes on origin that this commit (or the one behind it) passed: tag deployed/prod
# It exits with 1 if the commit that was asked for doesn't run in the end.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd -P)

say() { printf '%s\n' "$*" >&2; }

commit_of() { # the full name of a commit of this history: anything else was never reviewed here
    commit=$(git rev-parse --quiet --verify "$1^{commit}") || { say "There is no commit $1."; return 1; }
    git merge-base --is-ancestor "$commit" HEAD || { say "$1 isn't in the history of this commit."; return 1; }
    echo "$commit"
}

deploy() { make deploy STAGE="$stage" ARGS="--require-approval never" --no-print-directory; }

smoke() { # in each region of the stage
    .venv/bin/python -m celeriac_local.regions "$stage" >"$root/.celeriac/regions" || return 1
    while read -r region; do
        AWS_REGION=$region AWS_DEFAULT_REGION=$region .venv/bin/celeriac --stage "$stage" smoke </dev/null || return 1
    done <"$root/.celeriac/regions"
}

deploy_earlier() { # $1: the commit. Its own lock files, CDK and smoke test are used.
    folder=$root/.celeriac/earlier
    git worktree remove --force "$folder" 2>/dev/null || rm -rf "$folder"
    git worktree prune
    git worktree add --quiet --detach "$folder" "$1"
    if [ ! -f "$folder/local/deliver.sh" ]; then
        say "$1 has no smoke test, so it is deployed without one."
        (cd "$folder" && deploy)
        return
    fi
    (cd "$folder" && deploy && smoke)
}

if [ "${1-}" = mark ]; then
    commit=$(commit_of "${3:-HEAD}")
    git tag --force "deployed/${2:?usage: sh local/deliver.sh mark STAGE}" "$commit"
    git push --force --quiet origin "refs/tags/deployed/$2"
    exit
fi

stage=${1:?usage: sh local/deliver.sh STAGE [COMMIT]}
mkdir -p .celeriac
if [ -n "${2-}" ]; then
    commit=$(commit_of "$2")
    deploy_earlier "$commit"
    say "The stage $stage runs $commit."
    exit
fi

good=$(git rev-parse --quiet --verify "refs/tags/deployed/$stage^{commit}") || good=
if [ -n "$good" ] && [ "$good" != "$(git rev-parse HEAD)" ] && git merge-base --is-ancestor HEAD "$good"; then
    say "The stage $stage runs $good, which is newer than this commit: a run of the workflow was repeated, or approved late."
    say "To go back on purpose: make deliver STAGE=$stage COMMIT=$(git rev-parse HEAD), from a newer commit."
    exit 1
fi
deploy # what CloudFormation can't deploy, it rolls back by itself
if smoke; then
    say "The stage $stage runs $(git rev-parse HEAD)."
    exit
fi
say "The smoke test of the stage $stage failed."
if [ -z "$good" ] || [ "$good" = "$(git rev-parse HEAD)" ]; then
    say "No earlier commit has passed there (there is no other tag deployed/$stage), so the stage stays as it is."
    exit 1
fi
good=$(commit_of "$good")
say "Deploying $good again, which passed last."
if deploy_earlier "$good"; then
    say "The stage $stage runs $good again. What failed is above."
else
    say "That failed too. Look at the stage: celeriac --stage $stage doctor"
fi
exit 1
