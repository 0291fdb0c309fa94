# Two commands set everything up: `make demo` and `make test`. They need Python 3.10 to 3.13 alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test lint bench docs clean
.DEFAULT_GOAL := demo

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@ $(VENV)/.installed

demo: $(VENV)/.installed  ## Train on real digits, compare with single-task models, export
	$(BIN)/keras-mtl demo

test: $(VENV)/.installed-test  ## Every test, slow ones and doctests too, on two processes
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: $(VENV)/.installed-test  ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-test  ## The cost of a step, against stock Keras and its bound
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/balancers.py --families mlp --tasks 2

docs: $(VENV)/.installed-test  ## Every command and Python block of the docs is run
	$(BIN)/python -m pytest tests/test_docs.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache logs runs tuning
