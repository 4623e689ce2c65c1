# `make help` lists the targets. Everything is installed in .venv (or VENV=folder), which
# is made on first use and kept up to date with pyproject.toml and constraints.txt.

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV ?= .venv
BIN := $(VENV)/bin

# Figures go to files, never to a window.
export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.PHONY: help demo test test-all benchmarks lint docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.installed-examples  ## run examples/quickstart.py
	$(BIN)/python examples/quickstart.py

test: $(VENV)/.installed-test  ## run the fast tests (ARGS="-k name" is passed to pytest)
	$(BIN)/pytest -m "not slow and not gpu" $(ARGS)

test-all: $(VENV)/.installed-test  ## run all tests, the slow ones too
	$(BIN)/pytest $(ARGS)

benchmarks: $(VENV)/.installed-benchmarks  ## make all tables and figures: hours; ARGS=--quick: minutes
	$(BIN)/python benchmarks/run.py $(ARGS)

lint: $(VENV)/.installed-dev  ## check style, formatting, spelling and docstrings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/numpydoc lint $$(find sk_amips -name '*.py')

docs: $(VENV)/.installed-docs  ## build the pages in docs/_build/html, examples run
	$(BIN)/sphinx-build -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html

clean:  ## remove .venv, caches and build products
	rm -rf $(VENV) docs/_build docs/generated docs/auto_examples build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

# One stamp for each extra: .installed-test stands for `pip install -e ".[test]"`.
$(VENV)/.installed-%: setup.py pyproject.toml constraints.txt | $(VENV)/.created
	@echo "Installing sk-amips[$*] in $(VENV): a few minutes the first time, as torch is large."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(CONSTRAINTS) --editable ".[$*]"
	@touch $@

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	{ echo "sk-amips needs Python 3.11 or newer, which '$(PYTHON)' is not: name one, as in 'make demo PYTHON=python3.12'." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@
