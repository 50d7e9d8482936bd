# `make help` lists the targets. Every target but help, lock, airflow and clean makes .venv first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
CHECKERS := .ops
AIRFLOW := .airflow
TEMPLATES = $(wildcard ops/cloudformation/*.yaml)
CITY ?=
ARGS ?=
city := $(if $(CITY),--city $(CITY),)
# Where modules are not kept compiled, each of the many processes compiles them anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE


.PHONY: endpoint screenshots help setup lock dask airflow demo test test-all check bench serve stop clean \
	ingest features train deploy replay infer monitor gate promote rollback watch retrain drill history staging \
	status doctor explain tune dashboard mlflow-ui docs docs-simulator backtest cold-start verify-features \
	replay-feed try live import-recording compact catalog moves moves-backtest feedback what-if \
	api alarms notify exporter schedule poll check-ops aws cost iam-calls registry

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  CITY=name chooses a city where a command takes one, ARGS='...' passes flags on;"
	@echo "  bikeshare COMMAND --help explains them."

setup: $(STAMP) ## make .venv from requirements.lock (uv if there, else pip); nothing to do, nothing done

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
	  { echo "Python 3.11 or 3.12 is needed; give one with make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --seed --allow-existing --python "$$(command -v $(PYTHON))" .venv && \
	  uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
	  $(PYTHON) -m venv .venv && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $(STAMP)

LOCKED := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	--no-annotate --python-version 3.11

lock: ## compile requirements.lock, and those with Dask and of Airflow, from what asks for them (needs uv)
	$(LOCKED) pyproject.toml --extra api --extra dev --extra postgres -o requirements.lock
	$(LOCKED) pyproject.toml --extra dask -c requirements.lock -o requirements-dask.lock
	$(LOCKED) ops/airflow/requirements.in -o requirements-airflow.lock

dask: setup ## add Dask to .venv, for --engine dask of features, backtest, tune and train (uv if there, else pip)
	@if command -v uv >/dev/null; then \
	  uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dask.lock ; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dask.lock ; \
	fi

airflow: $(AIRFLOW)/.installed ## make .airflow, an environment of its own for Airflow 3 (docs/integrations.md)

$(AIRFLOW)/.installed: requirements-airflow.lock
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(AIRFLOW) && \
	  uv pip install --quiet --python $(AIRFLOW)/bin/python --require-hashes -r requirements-airflow.lock ; \
	else \
	  $(PYTHON) -m venv $(AIRFLOW) && \
	  $(AIRFLOW)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-airflow.lock ; \
	fi
	@touch $@

demo: setup ## the whole lifecycle on a simulated city, with a report
	@$(BIN)/bikeshare demo $(city) $(ARGS)

BY_FILE := --dist loadfile --no-loadscope-reorder

test: setup ## the tests, but for the long ones
	@$(BIN)/pytest -n 2 $(BY_FILE) -m "not long" --durations=25 $(ARGS)

test-all: setup ## every test, the long ones too
	@$(BIN)/pytest -n 2 $(BY_FILE) $(ARGS)

check: setup ## format, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

screenshots: setup ## take the pictures of the documents (after make demo; needs Chromium)
	@$(BIN)/python -m tests.browser.screenshots

bench: setup ## measure, print a table, write var/bench.json
	@$(BIN)/python -m tests.bench $(ARGS)

docs: setup ## generate the reference pages in docs/, and of the alarms: their table, rules and dashboards
	@$(BIN)/python -m mlops_bikeshare.cli.reference docs

docs-simulator: setup ## measure the simulated city beside the recordings, into docs/simulator.md (minutes)
	@$(BIN)/python -m mlops_bikeshare.sources.simulator.document \
	  $(or $(BIKESHARE_RECORDINGS),../shared/data) docs/simulator.md

status: setup ## one screen: what the workspace holds and does, and what to type next
	@$(BIN)/bikeshare status $(city) $(ARGS)

doctor: setup ## check this machine, the settings and what they point to
	@$(BIN)/bikeshare doctor $(city) $(ARGS)

explain: setup ## why a station is expected to run out: make explain ARGS="--station 67 --dt 2021-09-01T08:00"
	@$(BIN)/bikeshare explain $(city) $(ARGS)

tune: setup ## search better training settings; resumes where it was stopped
	@$(BIN)/bikeshare tune $(city) $(ARGS)

dashboard: setup ## open the City Map, until Ctrl-C
	@$(if $(CITY),BIKESHARE_CITY=$(CITY)) $(BIN)/bikeshare dashboard $(ARGS)

mlflow-ui: setup ## open MLflow on the workspace's runs and models, until Ctrl-C
	@$(BIN)/bikeshare mlflow-ui $(ARGS)

serve: setup ## start the local endpoint host in the background
	@$(BIN)/bikeshare serve --background $(ARGS)

stop: setup ## stop it
	@$(BIN)/bikeshare stop $(ARGS)

endpoint: setup ## share production's traffic: make endpoint ARGS="split --candidate challenger --weight 0.1"
	@$(BIN)/bikeshare endpoint $(ARGS)

api: setup ## run the operations API, until Ctrl-C: make api ARGS="--port 0"
	@$(BIN)/bikeshare api $(ARGS)

ingest: setup ## read a recording into the lake: make ingest ARGS="--recording DIR" CITY=boston
	@$(BIN)/bikeshare ingest $(city) $(ARGS)

try: setup ## look at any GBFS feed: make try ARGS=https://.../gbfs.json
	@$(BIN)/bikeshare try $(ARGS)

live: setup ## poll, predict and judge until stopped: make live CITY=paris
	@$(BIN)/bikeshare live $(city) $(ARGS)

import-recording: setup ## read a history of your own: make import-recording CITY=paris ARGS="FILES --map OURS=THEIRS"
	@$(BIN)/bikeshare import-recording $(city) $(ARGS)

replay-feed: setup ## serve a recording as a live feed: make replay-feed ARGS="--recording DIR --speed 60"
	@$(BIN)/bikeshare replay-feed $(city) $(ARGS)

compact: setup ## merge the objects of each table and day that is over into one
	@$(BIN)/bikeshare compact $(city) $(ARGS)

catalog: setup ## create or update Glue's tables and Athena's views: make catalog ARGS=--json
	@$(BIN)/bikeshare --profile aws catalog apply $(ARGS)

features: setup ## build the features of the days in the lake
	@$(BIN)/bikeshare features $(city) $(ARGS)

train: setup ## train, evaluate and register a challenger
	@$(BIN)/bikeshare train $(city) $(ARGS)

backtest: setup ## train and test on a recording, against the baselines: make backtest ARGS="--recording DIR ..."
	@$(BIN)/bikeshare backtest $(city) $(ARGS)

cold-start: setup ## judge a model of other cities on a new one: ARGS="--recording DIR --train-on DIR:CITY"
	@$(BIN)/bikeshare cold-start $(city) $(ARGS)

moves: setup ## which bikes to move where in the next round: make moves ARGS="--vans 3"
	@$(BIN)/bikeshare moves $(city) $(ARGS)

moves-backtest: setup ## judge plans of moves on recorded days: ARGS="--recording DIR --train A..B ..."
	@$(BIN)/bikeshare moves-backtest $(city) $(ARGS)

feedback: setup ## say what was seen at a station: ARGS="--station 67 --what handled"
	@$(BIN)/bikeshare feedback $(city) $(ARGS)

what-if: setup ## ask the endpoint about other inputs: ARGS="--station 67 --bikes 3"
	@$(BIN)/bikeshare what-if $(city) $(ARGS)

verify-features: setup ## prove on a recording or the lake that features know no future
	@$(BIN)/bikeshare verify-features $(city) $(ARGS)

deploy: setup ## put the challenger on staging
	@$(BIN)/bikeshare deploy $(city) $(ARGS)

replay: setup ## live through a window of a recording: ARGS="--recording DIR --window A..B"
	@$(BIN)/bikeshare replay $(city) $(ARGS)

infer: setup ## one batch of predictions on both endpoints
	@$(BIN)/bikeshare infer $(city) $(ARGS)

monitor: setup ## quality and drift up to now
	@$(BIN)/bikeshare monitor $(city) $(ARGS)

gate: setup ## judge staging; fails unless it passes
	@$(BIN)/bikeshare gate $(city) $(ARGS)

promote: setup ## move the gated challenger to production
	@$(BIN)/bikeshare promote $(city) $(ARGS)

rollback: setup ## put the previous champion back
	@$(BIN)/bikeshare rollback $(city) $(ARGS)

watch: setup ## after a batch: take a canary further, roll back on a trigger, say which alarms fire
	@$(BIN)/bikeshare watch $(city) $(ARGS)

drill: setup ## a week of production with faults: what should happen, and what did
	@$(BIN)/bikeshare drill $(ARGS)

retrain: setup ## retrain if the champion calls for it: make retrain ARGS=--check explains only
	@$(BIN)/bikeshare retrain $(city) $(ARGS)

history: setup ## what was in production when: make history ARGS="--at 2021-09-01T08:00"
	@$(BIN)/bikeshare history $(city) $(ARGS)

alarms: setup ## the alarms as they are now; fails while one fires
	@$(BIN)/bikeshare alarms $(city) $(ARGS)

notify: setup ## try every channel of notifications: make notify ARGS=test
	@$(BIN)/bikeshare notify $(ARGS)

exporter: setup ## show the metric store to Prometheus, until Ctrl-C
	@$(BIN)/bikeshare exporter $(ARGS)

registry: setup ## let SageMaker's Model Registry say what MLflow's says: make registry ARGS="sync --city boston"
	@$(BIN)/bikeshare --profile aws registry $(ARGS)

schedule: setup ## what cron or systemd should run: make schedule ARGS=cron
	@$(BIN)/bikeshare schedule $(ARGS)

poll: setup ## one poll of the live feed
	@$(BIN)/bikeshare poll $(city) $(ARGS)

aws: setup ## the stacks of an environment: make aws ARGS="diff --env dev"
	@$(BIN)/bikeshare aws $(ARGS)

cost: setup ## what an environment costs in a month: make cost ARGS="--env prod"
	@$(BIN)/bikeshare cost $(ARGS)

check-ops: setup $(CHECKERS)/.installed ## check all of ops/ and .github/: templates, rights, workflows, alarm rules
	@command -v promtool >/dev/null || { echo "make check-ops needs promtool: apt-get install prometheus" >&2; exit 2; }
	@$(CHECKERS)/bin/cfn-lint --regions ca-central-1 -- $(TEMPLATES) && echo "cfn-lint: clean"
	@LOG_LEVEL=ERROR $(CHECKERS)/bin/checkov --framework cloudformation --skip-download --compact --quiet \
	  $(addprefix --file ,$(TEMPLATES)) && echo "checkov: clean"
	@$(CHECKERS)/bin/actionlint .github/workflows/*.yml && echo "actionlint: clean"
	@$(CHECKERS)/bin/zizmor --offline --quiet .github/workflows
	@$(BIN)/pytest -q -rs tests/architecture/test_alarm_forms.py tests/architecture/test_ops_files.py \
	  tests/architecture/test_iam.py tests/architecture/test_workflows.py $(ARGS)

$(CHECKERS)/.installed: ops/checkers/requirements.txt ops/checkers/simulator
	@command -v npm >/dev/null || { echo "make check-ops needs Node (npm) for the simulator of IAM" >&2; exit 2; }
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(CHECKERS) && \
	  uv pip install --quiet --python $(CHECKERS)/bin/python -r ops/checkers/requirements.txt ; \
	else \
	  $(PYTHON) -m venv $(CHECKERS) && \
	  $(CHECKERS)/bin/python -m pip install --quiet --disable-pip-version-check -r ops/checkers/requirements.txt ; \
	fi
	@npm install --silent --no-audit --no-fund --prefix $(CHECKERS) "$$(cat ops/checkers/simulator)"
	@touch $@

iam-calls: setup ## record anew which calls of AWS each job makes, into ops/iam/calls.json (minutes)
	@rm -f var/calls.json; mkdir -p var
	@BIKESHARE_RECORD_CALLS=$(CURDIR)/var/calls.json $(BIN)/pytest -q -n0 tests/e2e/test_aws_jobs.py \
	  tests/e2e/test_aws_day.py tests/e2e/test_sagemaker_jobs.py tests/e2e/test_model_registry.py
	@mv var/calls.json ops/iam/calls.json && git diff --stat -- ops/iam/calls.json

staging: setup ## stop, start or downsize staging: make staging ARGS="stop --city boston"
	@$(BIN)/bikeshare staging $(ARGS)

clean: ## remove the demo workspace and caches (other workspaces and .venv stay)
	rm -rf var/demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
