# The commands of Music Streams. `make` alone lists them.
# All they install goes into .venv, all the sandbox keeps into .sandbox.

.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.PHONY: help setup run cancel remove quarantine test test-all test-redshift soak benchmark query events env airflow report docs lint lint-python lint-sql lint-infra stop clean deploy deploy-plan destroy

PYTHON := PYTHONPATH=.:dags .venv/bin/python
SANDBOX := @sh sandbox/setup.sh && $(PYTHON) -m sandbox

# Values as typed: $(value …) keeps make from expanding the $ in them, the environment keeps the shell from reading them.
export MUSIC_STREAMS_ARGUMENT_DATA := $(value DATA)
export MUSIC_STREAMS_ARGUMENT_PARAMS := $(value PARAMS)
export MUSIC_STREAMS_ARGUMENT_FILE := $(value FILE)
export MUSIC_STREAMS_ARGUMENT_BATCH := $(value BATCH)
export MUSIC_STREAMS_ARGUMENT_FOLDER := $(value FOLDER)
export MUSIC_STREAMS_ARGUMENT_SQL := $(value SQL)
export MUSIC_STREAMS_ARGUMENT_STAGE := $(value STAGE)
export MUSIC_STREAMS_ARGUMENT_DELETE_DATA := $(value DELETE_DATA)
unexport DATA PARAMS FILE BATCH FOLDER SQL STAGE DELETE_DATA
# docs/tests.md says which promise each of these holds. The longest first, so that no worker is left alone with them.
EVERYDAY_TESTS := \
	tests/integration/test_pipeline.py \
	tests/properties/test_short_histories.py \
	tests/integration/glue_jobs/test_malformed_input.py \
	tests/integration/glue_jobs/test_jobs_on_s3.py \
	tests/integration/glue_jobs/test_requests.py \
	tests/integration/dags \
	tests/integration/test_secrets.py \
	tests/unit
OTHER_TESTS := \
	tests/integration/test_crashes.py \
	tests/properties/test_exactness.py \
	tests/properties/test_files.py \
	tests/integration/test_runs_at_once.py \
	tests/integration/test_operations.py \
	tests/integration/sandbox/test_lifecycle_of_a_run.py \
	tests/integration/sandbox/test_lifecycle.py \
	tests/integration/glue_jobs/test_cuts.py \
	tests/integration/glue_jobs/test_reference_files.py \
	tests/integration/infra \
	tests/integration/report \
	tests/integration/dbt_project \
	tests/integration/sandbox/test_dbt_server.py \
	tests/integration/sandbox/aws \
	tests/integration/sandbox/redshift
WORKERS ?= auto
PYTEST_IN_PARALLEL = $(PYTHON) -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --tb short --durations 15
CODE := benchmarks contract dags expectations glue_jobs infra report sandbox tests

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2} /^#: /{print "                     " substr($$0, 4)}' Makefile

run: ## Run the whole pipeline once, on the next day of sample data
#: DATA=folder     with your songs.csv, users.csv, user_streams/*.csv (what has landed before may be left out)
#: PARAMS='{…}'    with DAG params, '{"recompute_from": "2024-06-25", "recompute_to": "2024-06-30"}'; nothing new lands
	$(SANDBOX) run

cancel: ## Give up the DAG run that is under way, such as one that an interrupted `make run` has left
	$(SANDBOX) cancel

remove: ## Take a landed file away from the next run, into quarantine: make remove FILE=user_streams/a.csv
	$(SANDBOX) remove

quarantine: ## Show what no run has taken, refused files and rejected rows, with the reasons
#: BATCH=…         of one batch, as `make run` names it
#: FOLDER=folder   writes its rejected rows there as files to fix: make run DATA=folder puts them back
	$(SANDBOX) quarantine

test: TESTS ?= $(EVERYDAY_TESTS)
test: ## Run the tests of every day, one whole run of the pipeline among them (some minutes)
#: TESTS=path      runs these, whatever they cost
#: WORKERS=n       as many processes; by itself as many as cores and memory feed
	@sh sandbox/setup.sh
	@$(PYTEST_IN_PARALLEL) $(TESTS)

test-all: TESTS ?= $(OTHER_TESTS)
test-all: ## Run all that `make test` leaves out: crashes, races, MWAA, deployments, dialect (half an hour)
	@sh sandbox/setup.sh
	@$(PYTEST_IN_PARALLEL) $(TESTS)

test-redshift: TESTS = tests/integration/dbt_project
test-redshift: ## Run the dbt tests on a real Redshift, which variables name: see docs/warehouse.md
	@sh sandbox/setup.sh
	@$(PYTHON) -m pytest --named-cluster --durations 15 $(TESTS)

soak: ## Play made-up histories of runs, crashes and retries for 10 minutes
#: MINUTES=n       for as long as that; a failure prints its seed
#: SEED=n          the histories of one seed
	@sh sandbox/setup.sh
	@SOAK_MINUTES=$(MINUTES) SOAK_SEED=$(SEED) $(PYTHON) -m pytest tests/properties/soak.py

benchmark: ## Measure what a day costs after a year, and what the jobs cost beside one DuckDB process (half an hour)
#: AGAINST=history or AGAINST=limit: one of the two tables only
#: EVENTS=n,n      events against the limit, instead of 1 and 10 million
#: ROUNDS=n        of which the figures against the limit are medians; CHART=file draws them (SVG)
	@sh sandbox/setup.sh
	@$(PYTHON) -m benchmarks $(if $(AGAINST),--against=$(AGAINST)) $(if $(EVENTS),--events=$(EVENTS)) \
		$(if $(ROUNDS),--rounds=$(ROUNDS)) $(if $(CHART),--chart=$(CHART))

query: ## Run one statement on the warehouse, CSV on stdout: make query SQL="select * from hourly_kpis"
	$(SANDBOX) query

events: ## Run one statement on single events, CSV on stdout: SQL="select * from events where listen_date = date '2024-06-25'"
	$(SANDBOX) events

env: ## Print the variables that point dbt, boto3 and aws at the sandbox: eval "$(make -s env)"
	$(SANDBOX) env

airflow: ## Start the sandbox and print where Airflow's UI is
	$(SANDBOX) airflow

report: ## Open the page of charts, or print its address where there is no browser
	$(SANDBOX) report

docs: ## Generate the dbt docs and serve them until Ctrl-C
	$(SANDBOX) docs

# On two cores; the longest first.
lint: ## Check style and types
	@sh sandbox/setup.sh
	@$(MAKE) --jobs 2 --output-sync=target lint-sql lint-python lint-infra

lint-python:
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy $(CODE)

lint-sql:
	@$(PYTHON) -m tests.lint_sql

lint-infra:
	@$(PYTHON) -m tests.lint_infra

deploy: ## Deploy a stage to the AWS account of your credentials, or bring it up to date: make deploy STAGE=dev
	@sh sandbox/setup.sh
	@$(PYTHON) -m infra deploy

deploy-plan: ## Show what that would change, and change nothing
	@sh sandbox/setup.sh
	@$(PYTHON) -m infra plan

destroy: ## Delete a stage; it asks, and refuses while the bucket holds data
#: DELETE_DATA=yes the data may go, too
	@sh sandbox/setup.sh
	@$(PYTHON) -m infra destroy

stop: ## Stop the sandbox; its contents stay
	$(SANDBOX) stop

clean: ## Stop the sandbox and forget its contents
	$(SANDBOX) clean

setup: ## Install what the commands need into .venv
	@sh sandbox/setup.sh
