# `make demo`: a small sweep, from configuration to podium. `make test`: everything CI checks.
PYTHON ?= python3
VENV := .venv
CONSTRAINTS ?= constraints.txt
TORCH ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SWEEPS := tests/conformance $(addprefix tests/integration/test_,benchmarks.py overfit.py prediction.py preflight.py \
  pretrained.py recipe.py sample.py sweep.py switches.py)
DEMO_RESULTS := results/quickstart
DEMO_OPTIONS ?=
GPU_NAME ?= $(shell nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -1 | tr -c 'A-Za-z0-9\n' '-')
GPU_OPTIONS ?=

.PHONY: help setup demo test clusters sweeps units fast gpu lint constraints clean
help:
	@echo "make demo   set up, run configs/quickstart.yaml, show the podium, write the report"
	@echo "make test   set up, then lint, types, import contracts and the whole test suite"
	@echo "make fast   lint, types, import contracts and the tests under 5 s each"
	@echo "make gpu    on a machine with a GPU: the tests and measurements that need one"
	@echo "make clean  remove the environment and the demo's results"

setup: $(READY)

$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit("Podium needs Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)" if sys.version_info < (3, 11) else 0)'
	@echo "== setting up $(VENV): 6 to 7 GB with PyTorch, two to five minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[dev]' $(TORCH)
	@touch $@

demo: setup
	@echo "== training configs/quickstart.yaml: six synthetic datasets, on the CPU, a few minutes"
	@$(BIN)/podium run configs/quickstart.yaml $(DEMO_OPTIONS)
	@echo "== the podium"
	@$(BIN)/podium rank $(DEMO_RESULTS)
	@$(BIN)/podium report $(DEMO_RESULTS)

lint: setup
	@echo "== ruff: style and mistakes"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "== mypy: types"
	@$(BIN)/mypy
	@echo "== import-linter: who may import whom"
	@$(BIN)/lint-imports

# Tests of clusters wait more than they work, and are the only ones that mind a busy machine: the
# other lanes take the time between.
test: setup
	@echo "== everything, in three lanes that report when they end: some twenty minutes"
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target clusters sweeps units

clusters: setup
	@echo "== pytest: clusters, kills, commands"
	@$(BIN)/python -m pytest tests $(addprefix --ignore=,tests/unit $(SWEEPS))

# One thread: two of one process wait for each other where another lane needs the core.
sweeps: setup
	@echo "== pytest: stores, whole sweeps in one process, benchmarks in their smallest form"
	@OMP_NUM_THREADS=1 nice -n 5 $(BIN)/python -m pytest $(SWEEPS)

units: lint
	@echo "== pytest: parts"
	@OMP_NUM_THREADS=1 nice -n 5 $(BIN)/python -m pytest tests/unit

fast: lint
	@echo "== pytest: tests under 5 s each"
	@$(BIN)/python -m pytest -m "not slow"

# On a GPU; GPU_OPTIONS=--smallest and PODIUM_REHEARSE_GPU=1 rehearse it on the CPU.
gpu: setup
	@echo "== pytest: what Podium promises on a GPU"
	@$(BIN)/python -m pytest tests/gpu
	@echo "== what it measures there, five minutes at most"
	@mkdir -p docs/gpu
	@$(BIN)/python -m tests.benchmarks.gpu --json docs/gpu/$(GPU_NAME).json --budget 300 $(GPU_OPTIONS)

constraints: setup
	@(sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --all --exclude-editable | grep -v -i -E '^(pip|wheel)==') > constraints.tmp
	@mv constraints.tmp constraints.txt

clean:
	rm -rf $(VENV) $(DEMO_RESULTS)
