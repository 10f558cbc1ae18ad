# make demo    a telephone call, answered here and now, without an account
# make test    everything that is checked
# make lint    ruff, mypy, and bandit for what is dangerous
# make bench   how fast calls are answered and events are read, beside the fastest possible; what a thousand
#              calls in one process cost, and what a media bridge adds to the way of a voice
#
# Each creates what it needs: a virtual environment in .venv, once, and again when pyproject.toml changes.

USABLE := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
# The first that runs: a shim of a version manager may be on PATH without a Python behind it.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$python -c '$(USABLE)' 2>/dev/null && echo $$python && break; done)
endif
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCHED := $(VENV)/.benched

.PHONY: demo test lint bench clean
.DEFAULT_GOAL := demo

demo: $(INSTALLED)
	$(BIN)/sipagent demo

test: $(INSTALLED)
	$(BIN)/pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --recursive --skip B101,B311 sipagent

bench: $(INSTALLED) $(BENCHED)
	$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(USABLE)' 2>/dev/null || { \
	  echo "sipagent needs Python 3.11 to 3.14; $(or $(PYTHON),python3) is none of them."; \
	  echo "Install one, or name it: make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; \
	  rm -rf $(VENV); exit 1; }
	@echo "Installing into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(BENCHED): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@
