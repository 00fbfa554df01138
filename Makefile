# `make demo`: a small sweep, from configuration to podium. `make test`: everything CI checks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_RESULTS := results/quickstart
DEMO_OPTIONS ?=

.PHONY: help setup demo test suite fast lint constraints clean
help:
	@echo "make demo   set up, run configs/quickstart.yaml, show the podium, write the report"
	@echo "make test   set up, then lint, types, import contracts and the whole test suite"
	@echo "make fast   lint, types, import contracts and the tests under 5 s each"
	@echo "make clean  remove the environment and the demo's results"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Podium needs Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)" if sys.version_info < (3, 11) else 0)'
	@echo "== setting up $(VENV): 6 to 7 GB with PyTorch, two to five minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
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

# The suite begins by waiting for clusters; lint has a core to itself meanwhile.
test: setup
	@$(MAKE) --no-print-directory --jobs=2 lint suite

suite: setup
	@echo "== pytest: the whole suite"
	@$(BIN)/python -m pytest

fast: lint
	@echo "== pytest: tests under 5 s each"
	@$(BIN)/python -m pytest -m "not slow"

constraints: setup
	@(sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -v -i -E '^(pip|setuptools|wheel)==') > constraints.tmp
	@mv constraints.tmp constraints.txt

clean:
	rm -rf $(VENV) $(DEMO_RESULTS)
