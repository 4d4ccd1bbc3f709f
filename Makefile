# Everything a contributor needs. `make demo` shows it, `make test` tests it, `make bed-up` gives you a cluster to play with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BED ?= .bed

.PHONY: help venv lock lint types bed-build bed-up bed-down test clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

venv: $(VENV)/.complete  ## the Python environment, from the hash-locked file

$(VENV)/.complete: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

lock:  ## resolve the dependencies anew (needs uv)
	tools/lock.sh

lint: venv  ## ruff and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: venv  ## mypy --strict
	$(BIN)/mypy

clean:  ## remove the environment and caches of this checkout (not the bed's build cache)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
