# One command each: set up, run, test, check, bench. All of them call `setup` first.
PYTHON ?= python3.11
DATA ?= $(CURDIR)/.data
VENV := .venv
BIN := $(VENV)/bin
LOCK := $(if $(GPU),requirements-gpu.lock,requirements.lock)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes
export STASH_SENSE_DATA_DIR := $(DATA)
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help setup dev importers models run test check lint types page format bench plugin lock clean

help:  ## Say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.installed  ## Create .venv with .venv/bin/stash-sense (GPU=1 for the CUDA builds)

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install python3.11, or name one with make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv package (Debian: apt-get install python3.11-venv)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(LOCK) pyproject.toml | $(VENV)/bin/python
	@echo "Installing $(LOCK) into $(VENV)"
	@$(PIP) -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

dev: $(VENV)/.installed-dev  ## Add what tests and checks need

$(VENV)/.installed-dev: requirements-dev.lock | setup
	@echo "Installing requirements-dev.lock into $(VENV)"
	@$(PIP) -r requirements-dev.lock
	@touch $@

importers: $(VENV)/.installed-import  ## Add what the import of released performer databases needs

$(VENV)/.installed-import: requirements-import.lock | setup
	@$(PIP) -r requirements-import.lock
	@touch $@

models: setup  ## Fetch, convert and verify the default model pack
	@$(BIN)/stash-sense models fetch open

run: models  ## Start the server, enrol the sample people, identify the sample videos, keep serving
	@exec $(BIN)/stash-sense up --sample tests/data

node_modules/.package-lock.json: package-lock.json | dev
	@echo "Installing package-lock.json into node_modules"
	@$(BIN)/python -m tests.plugin.node ci

node_modules: node_modules/.package-lock.json  ## Add what the page of the plugin is built and checked with

plugin: dev node_modules  ## Write dist/stash-sense.zip and dist/index.yml, which Stash's plugin manager installs
	@$(BIN)/python -m tests.plugin.node build
	@$(BIN)/python plugin/pack.py

test: dev models node_modules  ## Run the tests
	@$(BIN)/python -m pytest -n 2 $(ARGS)

check: lint types page  ## Lint, format, types and import rules, of Python and of the plugin's page

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: dev
	$(BIN)/mypy
	$(BIN)/mypy plugin/stash_sense_proxy plugin/stash_sense_backend.py plugin/pack.py

page: dev node_modules
	$(BIN)/python -m tests.plugin.node check

format: dev  ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: dev models  ## Run one benchmark: make bench NAME=search
	@$(BIN)/python -m tests.bench $(NAME) $(ARGS)

lock: | $(VENV)/bin/python  ## Resolve the lock files anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	cluster/lock.sh

clean:  ## Remove the environment; models, enrolments and keys in .data stay
	rm -rf $(VENV)
