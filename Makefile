# `make demo` and `make test` do all their own set-up in .venv, pinned by constraints.txt; run again, they reuse it.
PYTHON      ?= python3
VENV        ?= .venv
PYTEST_ARGS ?=

BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install -qq --constraint constraints.txt

# Stamps, younger than what they were made from: each says that a step of the set-up is done.
CREATED   := $(VENV)/.created
HAS_LAB   := $(VENV)/.has-lab
HAS_TESTS := $(VENV)/.has-tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test lint wheel bench clean

help:
	@echo "make demo    install the lab and compare AHSAR with its baseline on scikit-learn's digits"
	@echo "make test    install the test extras, then ruff, pyright and pytest (PYTEST_ARGS=...)"
	@echo "make lint    ruff and pyright alone"
	@echo "make wheel   build dist/ahsar-*.whl"
	@echo "make bench   measure what being attached costs per step"
	@echo "make clean   remove what builds and tests left (not $(VENV))"

demo: $(HAS_LAB)
	$(BIN)/ahsar compare digits

# Two workers of one thread each: tests/conftest.py holds the thread counts.
test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

lint: $(HAS_TESTS)
	$(BIN)/ruff check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

wheel: $(CREATED)
	$(PIP) wheel -qq --no-deps --wheel-dir dist .
	@ls dist/*.whl

bench: $(HAS_LAB)
	$(BIN)/python -m benchmarks.overhead

clean:
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(CREATED):
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
	"error: ahsar needs Python 3.11 or newer, $(PYTHON) is %d.%d; name another one: make PYTHON=python3.12 ..." % v[:2])'
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# What the tests need includes the lab, so the second stands for both.
$(HAS_LAB): $(CREATED) pyproject.toml constraints.txt
	@echo "installing the lab into $(VENV) (the first time PyTorch is downloaded: some minutes)"
	@$(INSTALL) --editable ".[all]"
	@touch $@

$(HAS_TESTS): $(CREATED) pyproject.toml constraints.txt
	@echo "installing the lab and the test extras into $(VENV) (the first time PyTorch is downloaded: some minutes)"
	@$(INSTALL) --editable ".[all,test]"
	@touch $(HAS_LAB) $@
