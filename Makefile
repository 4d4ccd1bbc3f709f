# Everything a contributor needs. `make demo` shows it, `make test` tests it, `make bed-up` gives you a cluster to play with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BED ?= .bed
SDK_VENV ?= $(VENV)/sdk
ZEUS_VENV ?= $(VENV)/zeus

.PHONY: help venv lock lint types generate bed-build bed-up bed-down demo test bench-plan bench-learn bench-agent bench-sdk bench-zeus test-sdk clean

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

generate: venv  ## write the CRDs from the models
	$(BIN)/python tools/crdgen.py

lint: venv  ## ruff and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: venv  ## mypy --strict
	$(BIN)/mypy

bed-build: venv  ## the bed's programs, built once into a cache outside the checkout (about 12 minutes on 2 cores)
	$(BIN)/python -m carbonzeus_bed build

bed-up: venv bed-build  ## a real control plane with emulated GPU nodes, kubeconfig in .bed/kubeconfig
	$(BIN)/python -m carbonzeus_bed up --dir $(BED)

bed-down: venv  ## stop it and remove its state
	$(BIN)/python -m carbonzeus_bed down --dir $(BED)

demo: venv bed-build  ## four days of a real grid in two minutes, on a real control plane; KEEP=1 leaves it running
	$(BIN)/python -m carbonzeus_bed.demo $(if $(KEEP),--keep)

test: lint types bed-build  ## everything: lint, types, unit, property, API and bed tests
	$(BIN)/python -m pytest

bench-plan: venv  ## what the planner saves, on every published curve and recorded grid, into docs/ (some minutes, needs ../shared/data)
	$(BIN)/python -m benchmarks.bench_plan

bench-learn: venv  ## what it costs not to know a curve, on every published one, into docs/ (some minutes, needs ../shared/data)
	$(BIN)/python -m benchmarks.bench_learn

bench-agent: venv  ## what the node agent costs and how punctual it is, on emulated GPUs (four minutes)
	$(BIN)/python -m benchmarks.bench_agent

bench-sdk: venv  ## what it costs a training to count a step (half a minute)
	$(BIN)/python -m benchmarks.sdk_overhead

bench-zeus: venv $(ZEUS_VENV)/.complete  ## profiling and energy side by side with the real Zeus, on emulated GPUs, into docs/ (seven minutes)
	$(BIN)/python -m benchmarks.bench_zeus --zeus $(ZEUS_VENV)/bin/python

$(ZEUS_VENV)/.complete: benchmarks/zeus/requirements.txt
	$(PYTHON) -m venv $(ZEUS_VENV)
	$(ZEUS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

test-sdk: $(SDK_VENV)/.complete  ## real trainings of PyTorch, Hugging Face and Lightning that count their steps, without a GPU (installs 5 GB once)
	PYTHONPATH=sdk $(SDK_VENV)/bin/python -m pytest --confcutdir=tests/unit/sdk \
	  tests/unit/sdk/test_hf.py tests/unit/sdk/test_lightning.py tests/unit/sdk/test_ddp.py

$(SDK_VENV)/.complete: tests/unit/sdk/requirements.txt
	$(PYTHON) -m venv $(SDK_VENV)
	$(SDK_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

clean:  ## remove the environment and caches of this checkout (not the bed's build cache)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
