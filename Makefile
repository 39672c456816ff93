# Every command of the project; `make` alone lists them. What is longer than a line lives in local/.

STAGE ?= dev
BIN := .venv/bin

# cdk.json, uv and Node are found in .venv first, whatever else the machine has.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# uv and Node trust lists of authorities of their own; a company's proxy is only in the system's.
export NODE_USE_SYSTEM_CA := 1
export UV_SYSTEM_CERTS := $(if $(wildcard /etc/ssl/cert.pem /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),true,false)

# What a shell says of other Pythons is not about .venv.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV
# A worker of pytest-xdist takes seconds to start: tests of files that ARGS names are sooner done without.
WORKERS = $(if $(findstring .py,$(ARGS)),0,auto)

.DEFAULT_GOAL := help
.PHONY: help setup test faults states fuzz lint types check demo picture up down send synth diff deploy destroy bench evening python-env all-envs chaos

help: ## list these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup: all-envs ## install everything from the lock files (needs Python 3.13, pip and git)
	@echo "Ready. Next: make demo, or make test"

test: python-env ## run the whole suite, offline, or what ARGS names (ARGS=tests/test_reports.py)
	@$(BIN)/pytest -q -n $(WORKERS) $(ARGS)

faults: python-env ## every fault at every AWS call of every path, and what came of it (some minutes)
	@$(BIN)/pytest -q -n auto tests/faults/test_matrix.py --every-fault $(ARGS)

states: python-env ## random histories of tasks, faults, copies, redrives (a quarter of an hour): COUNT=300, SEED=7
	@$(BIN)/pytest -q tests/faults/test_states.py --states "$${COUNT:-300}" $${SEED:+--hypothesis-seed=$$SEED} $(ARGS)

fuzz: python-env ## 100,000 broken bodies through the consumer: SEED=1 COUNT=100000
	@$(BIN)/python -m tests.faults.fuzz --seed "$${SEED:-1}" --count "$${COUNT:-100000}"

chaos: all-envs ## 5,000 tasks on a local cloud of their own while workers are killed (some minutes; ARGS="--tasks 500")
	@$(BIN)/python -m tests.e2e.chaos $(ARGS)

evening: all-envs ## a newcomer's first evening, from clone to a task with its own bucket, typed in (some minutes)
	@$(BIN)/python -m tests.e2e.first_evening

lint: python-env ## ruff: style and format; import-linter: which folder may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: python-env ## mypy --strict
	@$(BIN)/mypy

check: test lint types ## all that a pull request needs

demo: all-envs ## the whole system on this machine: real work, live, with a report
	@$(BIN)/python -m celeriac_local demo

picture: all-envs ## draw the demo's report for the README
	@$(BIN)/python -m celeriac_local demo --picture docs/demo.svg

up: all-envs ## start the local cloud and deploy to it (on the first free port from 4566 on, or PORT=4600)
	@$(BIN)/python -m celeriac_local up

down: python-env ## stop the local cloud and everything it started
	@$(BIN)/python -m celeriac_local down

send: python-env ## send a task to the local cloud: TASK=name ARGS='{"parameter": "value"}'
	@test -n "$$TASK" || { echo "Which task? $$($(BIN)/python -m celeriac_local example)" >&2; exit 2; }
	@exec $(BIN)/celeriac --stage local send "$$TASK" --json "$${ARGS:-{\}}"

synth: all-envs ## write the templates to cdk.out/ (STAGE=dev; needs no account)
	@sh local/cdk.sh synth "$(STAGE)" $(ARGS)

diff: all-envs ## compare with what is deployed (STAGE=dev)
	@sh local/cdk.sh diff "$(STAGE)" $(ARGS)

deploy: all-envs ## deploy to the account of your credentials (STAGE=dev ARGS="--require-approval never")
	@sh local/cdk.sh deploy "$(STAGE)" $(ARGS)

destroy: all-envs ## remove what was deployed (STAGE=dev)
	@sh local/cdk.sh destroy "$(STAGE)" $(ARGS)

bench: all-envs ## run every benchmark, some ten minutes, and write benchmarks/report.md (ARGS=--quick for a look)
	@sh local/setup.sh versus
	@$(BIN)/python benchmarks/report.py $(ARGS)

# Both are quick when nothing changed. Tests, lint and types must not need Node's packages or the emulator.
python-env:
	@sh local/setup.sh python

all-envs:
	@sh local/setup.sh
