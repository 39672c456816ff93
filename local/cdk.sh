#!/bin/sh
# Runs the pinned CDK command line with the Node of .venv, on the account of the caller's credentials.
#   sh local/cdk.sh deploy dev        cdk deploy --all -c stage=dev
#   sh local/cdk.sh bootstrap dev     once for each account and region
#   sh local/cdk.sh deploy-delivery OWNER/REPO    the roles of the repository's workflows: docs/howto/delivery.md
# Further arguments go to cdk: sh local/cdk.sh deploy dev --require-approval never
set -eu
cd "$(dirname "$0")/.."
command=${1:?usage: sh local/cdk.sh synth|diff|deploy|destroy|bootstrap STAGE}
stage=${2:?usage: sh local/cdk.sh "$command" STAGE}
shift 2

again="make $command STAGE=$stage"
key=stage
which="the stage $stage"
delivery=
case $command in
bootstrap) again="sh local/cdk.sh bootstrap $stage" ;;
*-delivery)
    delivery=yes
    again="sh local/cdk.sh $command $stage"
    key=delivery
    which="the repository $stage"
    command=${command%-delivery}
    ;;
esac

if [ "$stage" = local ]; then
    echo "The stage 'local' is for the local cloud: deploy it with make up. On AWS: make $command STAGE=dev" >&2
    exit 1
fi

PATH="$(pwd -P)/.venv/bin:$PATH"
export PATH CDK_DISABLE_CLI_TELEMETRY=true CDK_DISABLE_VERSION_CHECK=1

# The CDK checks the credentials too, but only after it has built everything.
if [ "$command" != synth ] && ! .venv/bin/python -m celeriac_local.credentials "$@"; then
    echo "Then: $again" >&2
    exit 1
fi

case $delivery$command in
yes* | synth | bootstrap) ;;
*) .venv/bin/python -m celeriac_local.target "$stage" "$@" || exit 1 ;;
esac
if [ "$delivery$command" = deploy ]; then
    .venv/bin/python -m celeriac_local.before_deploy "$stage" "$@" || exit 1
fi

case $command in
synth) set -- --quiet "$@" ;;
bootstrap) ;;
*) set -- --all "$@" ;;
esac

# In a shell of the local cloud any stage can be tried: the functions then run on this machine.
if [ "${AWS_ACCESS_KEY_ID:-}" = celeriac-local-cloud ]; then
    set -- -c local_cloud=true "$@"
fi

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
status=0
# Standard error is shown at once, and also kept in a file, to recognise known causes. Standard output and
# input stay connected to the terminal, because cdk asks before it widens permissions.
{ node_modules/.bin/cdk "$command" -c "$key=$stage" --no-notices "$@" 2>&1 >&3 3>&- || echo $? >"$errors.status"; } 3>&1 |
    tee "$errors" >&2
if [ -f "$errors.status" ]; then
    status=$(cat "$errors.status")
    rm -f "$errors.status"
fi
if [ "$status" -ne 0 ]; then
    echo >&2
    if grep -qiE 'cdk bootstrap|bootstrap stack|bootstrapped' "$errors"; then
        [ -n "$delivery" ] && stage=dev
        echo "This account and region have no CDK bootstrap yet. Once: sh local/cdk.sh bootstrap $stage" >&2
    elif grep -qiE 'Could not (load|resolve) credentials|no credentials|expired credentials|shared credentials file|Unable to resolve AWS account|ExpiredToken|InvalidClientTokenId' "$errors"; then
        echo "AWS didn't accept the credentials. See which are in use: aws sts get-caller-identity" >&2
        echo "Sign in (aws sso login) or set AWS_PROFILE, then: $again" >&2
    else
        echo "cdk $command failed for $which. The reason is above." >&2
    fi
elif [ "$delivery$command" = diff ]; then
    .venv/bin/celeriac --stage "$stage" plan || true
elif [ "$command" = synth ]; then
    echo "The templates of $which are in cdk.out/"
fi
exit "$status"
