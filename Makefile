# `make demo` and `make test` do all their own set-up in .venv, pinned by constraints.txt; run again, they reuse it.
PYTHON      ?= python3
VENV        ?= .venv
PYTEST_ARGS ?=

BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install -qq --constraint constraints.txt

# Frameworks whose own requirements contradict the rest (sinabs: nir <= 1.0.4, BindsNET: torch >= 2.14) or bring what nothing here
# needs (BrainCog), without them; and what of those they import. `make test-frameworks` tests each with all that it asks for.
ALONE  := sinabs braincog bindsnet
BESIDE := pbr ale-py gymnasium opencv-python-headless tensorboardX Deprecated dv einops flatbuffers lz4 seaborn timm wrapt zstd

# Stamps, younger than what they were made from: each says that a step of the set-up is done.
CREATED   := $(VENV)/.created
HAS_LAB   := $(VENV)/.has-lab
HAS_TESTS := $(VENV)/.has-tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo docs test test-full test-frameworks test-versions test-package lint wheel bench clean

help:
	@echo "make demo    install the lab and compare AHSAR with its baseline on scikit-learn's digits"
	@echo "make test    install the test extras, then ruff, import-linter, pyright and pytest (PYTEST_ARGS=...)"
	@echo "make test-full   the fuzzers with 50 times as many examples, new ones at each run"
	@echo "make test-frameworks   the adapters' tests with each framework alone, as it wants its environment"
	@echo "make test-versions     the core and the adapters on other versions of Python, PyTorch and SpikingJelly"
	@echo "make test-package      what would be uploaded, judged by twine, check-wheel-contents and pyroma"
	@echo "make lint    ruff, import-linter and pyright alone"
	@echo "make docs    build the documentation as a site in build/site"
	@echo "make wheel   build dist/ahsar-*.whl"
	@echo "make bench   measure what being attached costs per step"
	@echo "make clean   remove what builds and tests left (not $(VENV))"

demo: $(HAS_LAB)
	$(BIN)/ahsar compare digits

# Two workers of one thread each: tests/conftest.py holds the thread counts.
test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

# The fuzzers of tests/fuzz, with new examples at each run and 50 times as many: hours.
test-full: $(HAS_TESTS)
	$(BIN)/python -m pytest -n 2 --dist worksteal --timeout 0 --hypothesis-profile full tests/fuzz $(PYTEST_ARGS)

# Environments of their own: each framework alone; other versions of Python, PyTorch and SpikingJelly; the package (noxfile.py).
test-frameworks: SESSIONS := framework bindsnet
test-versions:   SESSIONS := versions
test-package:    SESSIONS := package
test-frameworks test-versions test-package: $(HAS_TESTS)
	$(BIN)/nox --session $(SESSIONS)

lint: $(HAS_TESTS)
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

# The documentation as a site, in build/site; any warning is an error.
docs: $(HAS_TESTS)
	$(INSTALL) --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

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
	@$(INSTALL) --editable ".[lab,spikingjelly]"
	@touch $@

$(HAS_TESTS): $(CREATED) pyproject.toml constraints.txt
	@echo "installing the lab and the test extras into $(VENV) (the first time PyTorch is downloaded: some minutes)"
	@$(INSTALL) --editable ".[all,test]"
	@$(INSTALL) $(BESIDE)
	@$(INSTALL) --no-deps $(ALONE)
	@touch $(HAS_LAB) $@
