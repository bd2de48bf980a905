# Everything runs in .venv, made once from $(PYTHON); nothing else is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.NOTPARALLEL: # the targets share one environment; long tests are parallel in themselves
.PHONY: help demo test lint bench docs clean

help:
	@echo "make demo    a leaking web shop, diagnosed while it runs"
	@echo "make test    unit tests with coverage, then the zoo and other Pythons"
	@echo "make lint    ruff check, ruff format --check, mypy --strict"
	@echo "make bench   what leakguard costs, beside its peers"
	@echo "make docs    the documentation, into site/"
	@echo "make clean   remove what these made"

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "leakguard needs Python 3.10 or later: make PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -e '.[test,demo]'
	@touch $@

$(VENV)/.ready-%: $(VENV)/.ready
	$(PIP) install -e '.[$*]'
	@touch $@

demo: $(VENV)/.ready
	$(BIN)/leakguard demo

test: $(VENV)/.ready
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not zoo and not matrix and not soak" -n 2 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --fail-under=100 --include='leakguard/_core/*,leakguard/_render/*'
	$(BIN)/pytest -m "(zoo or matrix) and not soak" -n 2 --dist worksteal

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict leakguard

bench: $(VENV)/.ready-bench
	$(BIN)/python -m benchmarks

docs: $(VENV)/.ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache
