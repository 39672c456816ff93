# Every command of the project. `make` alone lists them. Commands longer than a line are scripts in local/.

STAGE ?= dev
STAGES ?= dev,prod
BIN := .venv/bin

# The commands in .venv, such as uv and Node, come before those of the machine.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# uv and Node bring their own lists of certificate authorities. A company's proxy is only in the system's list.
export NODE_USE_SYSTEM_CA := 1
export UV_SYSTEM_CERTS := $(if $(wildcard /etc/ssl/cert.pem /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),true,false)

# These variables of the shell are about other Python installations, not about .venv.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV
# What builds the site isn't installed beside the rest. It prints advice of its makers, which is in docs/decisions/0045.
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/uv run --frozen --isolated --quiet --group docs
# A worker of pytest-xdist takes seconds to start, so tests of files that ARGS names run faster without workers.
WORKERS = $(if $(findstring .py,$(ARGS)),0,auto)

.DEFAULT_GOAL := help
.PHONY: help setup test faults interleave states worker-promises sabotage fuzz lint types check synth-fuzz demo picture up down send synth diff deploy destroy bench evening preview delivery deliver audit dist release-check pythons licences sbom docs browser screenshots version-docs python-env all-envs chaos realities kill limits rates batches fan-outs report

help: ## list these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: all-envs ## install everything from the lock files (needs Python 3.13, pip and git)
	@echo "Ready. Next: make demo, or make test"

test: python-env ## run the whole suite, offline, or the tests that ARGS names (ARGS=tests/test_reports.py)
	@$(BIN)/pytest -q -n $(WORKERS) $(ARGS)

faults: python-env ## inject every fault at every AWS call of every path, and check the outcome (some minutes)
	@$(BIN)/pytest -q -n auto tests/faults/test_matrix.py --every-fault $(ARGS)

interleave: python-env ## play every order of the AWS calls of two actors, and random ones (some minutes): SEED=7
	@$(BIN)/pytest -q -n auto tests/faults/test_interleave.py --every-schedule --schedule-seed "$${SEED:-0}" $(ARGS)

sabotage: python-env ## plant faults in the code, and show which harness finds them (an hour; ARGS="--limit 60")
	@$(BIN)/python -m tests.faults.sabotage $(ARGS)

realities: python-env ## run tests on DynamoDB Local, another SQS, AWS's runtime client (some minutes; needs Java 17)
	@sh local/setup.sh realities
	@$(BIN)/python -m tests.realities $(ARGS)

kill: python-env ## kill and freeze real workers at every call, over DynamoDB Local and another SQS (half an hour; needs Java)
	@sh local/setup.sh realities
	@$(BIN)/python -m tests.kill $(ARGS)

states: python-env ## run random histories of tasks, faults, copies, redrives (15 minutes): COUNT=300 SEED=7
	@$(BIN)/pytest -q tests/faults/test_states.py --states "$${COUNT:-300}" $${SEED:+--hypothesis-seed=$$SEED} $(ARGS)

synth-fuzz: all-envs ## synthesize random declarations, and let cfn-lint read the templates (minutes): COUNT=200
	@sh local/synth_fuzz.sh "$${COUNT:-200}" $(ARGS)

fuzz: python-env ## send 100,000 broken bodies through the consumer: SEED=1 COUNT=100000
	@$(BIN)/python -m tests.faults.fuzz --seed "$${SEED:-1}" --count "$${COUNT:-100000}"

worker-promises: python-env ## run the promises of tasks with workers outside of Lambda instead of Lambda (many minutes)
	@$(BIN)/pytest -q -n2 --runner worker tests/fundamentals tests/behaviour tests/faults $(ARGS)

limits: python-env ## play 3,000 random histories of limited tasks, in virtual time (an hour; ARGS="300 9000": 300 from the 9000th)
	@$(BIN)/python -m tests.faults.test_limit_histories $(or $(ARGS),3000)

rates: all-envs ## run 2,000 tasks over 50 a second on a local cloud while workers are killed (minutes; ARGS="--tasks 300")
	@$(BIN)/python -m tests.e2e.rates $(ARGS)

fan-outs: python-env ## play 3,000 random histories of batches and chains, in virtual time (an hour; ARGS="300 9000": 300 from the 9000th)
	@$(BIN)/python -m tests.faults.test_batch_histories $(or $(ARGS),3000)

batches: all-envs ## run a batch of 10,000 and chains on a local cloud while workers are killed (ARGS="--members 300")
	@$(BIN)/python -m tests.e2e.batches $(ARGS)

report: all-envs ## make a report of 200,000 rows on a local cloud while workers are killed (many minutes; ARGS="--rows 60000")
	@$(BIN)/python -m tests.e2e.report $(ARGS)

chaos: all-envs ## run 5,000 tasks on a separate local cloud while workers are killed (some minutes; ARGS="--tasks 500")
	@$(BIN)/python -m tests.e2e.chaos $(ARGS)

evening: all-envs ## replay a newcomer's first evening, from the clone to a task with its own bucket (some minutes)
	@$(BIN)/python -m tests.e2e.first_evening

preview: all-envs ## a pull request's stage comes up on a local cloud, is tried, broken in four ways, and goes (minutes)
	@$(BIN)/python -m tests.e2e.preview

pythons: python-env ## test what producers and workers do on each other Python from 3.12 to 3.14 of this machine (minutes)
	@$(BIN)/python -m tests.e2e.other_pythons $(ARGS)

lint: python-env ## check style and format (ruff), and which folder may import which (import-linter)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: python-env ## check types (mypy --strict), for the oldest and the newest Python
	@$(BIN)/mypy
	@$(BIN)/mypy --python-version 3.14
	@for each in durable fastapi flask plain_lambda reports uploads; do \
		(cd examples/$$each && MYPYPATH=../../functions ../../$(BIN)/mypy --config-file= --strict --explicit-package-bases --exclude deploy.py .) || exit 1; \
	done

check: test lint types ## run test, lint and types: everything that a pull request needs

demo: all-envs ## run the whole system on this machine, send real work, and print a report
	@$(BIN)/celeriac local demo

picture: all-envs ## draw the demo's report for the README
	@$(BIN)/celeriac local demo --picture docs/demo.svg

up: all-envs ## start the local cloud and deploy to it (on the first free port from 4566, or PORT=4600)
	@$(BIN)/celeriac local up

down: python-env ## stop the local cloud and every process it started
	@$(BIN)/celeriac local down

send: python-env ## send a task to the local cloud: TASK=name ARGS='{"parameter": "value"}'
	@test -n "$$TASK" || { echo "Which task? $$($(BIN)/celeriac local example)" >&2; exit 2; }
	@exec $(BIN)/celeriac --stage local send "$$TASK" --json "$${ARGS:-{\}}"

synth: all-envs ## write the templates to cdk.out/ (STAGE=dev; needs no AWS account)
	@$(BIN)/celeriac cdk synth "$(STAGE)" $(ARGS)

diff: all-envs ## compare with the deployed stacks (STAGE=dev)
	@$(BIN)/celeriac cdk diff "$(STAGE)" $(ARGS)

deploy: all-envs ## deploy to the account of your AWS credentials (STAGE=dev ARGS="--require-approval never")
	@$(BIN)/celeriac cdk deploy "$(STAGE)" $(ARGS)

destroy: all-envs ## delete the deployed stacks (STAGE=dev)
	@$(BIN)/celeriac cdk destroy "$(STAGE)" $(ARGS)

deliver: all-envs ## deploy and test; the commit that passed last comes back if it fails (STAGE=dev COMMIT=an earlier one)
	@sh local/deliver.sh "$(STAGE)" $${COMMIT:+"$$COMMIT"}

delivery: all-envs ## deploy the roles of a repository's workflows (REPOSITORY=OWNER/REPO STAGES=dev,prod)
	@test -n "$(REPOSITORY)" || { echo "Which repository? make delivery REPOSITORY=OWNER/REPO" >&2; exit 2; }
	@$(BIN)/celeriac cdk deploy-delivery "$(REPOSITORY)" -c "stages=$(STAGES)" $(ARGS)

bench: all-envs ## run every benchmark and write benchmarks/report.md (10 minutes; ARGS=--quick for a short run)
	@sh local/setup.sh versus
	@$(BIN)/python benchmarks/report.py $(ARGS)

docs: python-env ## build the documentation site in .celeriac/site, and check every link
	@$(SITE) mkdocs build --strict && echo "Open .celeriac/site/index.html"

version-docs: python-env ## put the site of a version beside the others, on the branch gh-pages (VERSION=0.2 ARGS=--push)
	@test -n "$(VERSION)" || { echo "Which version? make version-docs VERSION=0.2" >&2; exit 2; }
	@$(SITE) mike deploy --update-aliases "$(VERSION)" latest $(ARGS)
	@$(SITE) mike set-default latest $(ARGS)

browser: python-env ## try the operators' page in Chromium, if the machine has it, and look for what axe finds (minutes)
	@sh local/browser.sh tests/browser $(ARGS)

screenshots: python-env ## take a picture of every screen of the operators' page, some of them for the docs (needs Chromium)
	@sh local/browser.sh tests/browser/screenshots.py $(ARGS)

dist: python-env ## build the wheel and the source distribution into dist/
	@sh local/dist.sh

release-check: python-env ## build twice, compare, and try the wheel in empty environments (some minutes)
	@$(BIN)/python -m tests.e2e.release_check $(ARGS)

audit: python-env ## look up known vulnerabilities of every locked package, at OSV and npm
	@sh local/audit.sh

licences: python-env ## list the licences of all packages here, and which the bundle holds
	@$(BIN)/python -m celeriac_cdk.bundle.licences

sbom: python-env ## list what the bundle holds, as CycloneDX, in .celeriac/bundle.cdx.json
	@$(BIN)/python -m celeriac_cdk.bundle.sbom .celeriac/bundle.cdx.json

# Both are quick if nothing changed. Tests, lint and types must run without Node's packages and the emulator.
python-env:
	@sh local/setup.sh python

all-envs:
	@sh local/setup.sh
