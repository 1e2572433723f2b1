# `make demo` and `make test` are all a newcomer needs: each makes .venv and installs what it needs when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

# Two torch threads in a process collapse when anything else runs on the machine.
export OMP_NUM_THREADS ?= 1
# Packages without compiled bytecode triple the time of every import.
export UV_COMPILE_BYTECODE := 1
export UV_LINK_MODE ?= copy
# The certificates that the machine trusts, as pip uses them (the second name is that of older versions of uv).
export UV_SYSTEM_CERTS ?= 1
export UV_NATIVE_TLS ?= 1

.PHONY: help demo test check clean install
.DEFAULT_GOAL := help

help:  ## say what can be done
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo  ## count, split, train, decide and judge on real data, in under three minutes
	$(BIN)/equipoise demo
	@echo "The command is $(BIN)/equipoise; to type it without its folder: . $(BIN)/activate"

test: $(VENV)/.dev  ## run every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: $(VENV)/.dev  ## formatting, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(VENV)/.dev  ## everything for development

clean:  ## remove the environment, caches and build products; runs/ is kept
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@echo "==> making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Equipoise needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV)

# uv installs three times faster than pip; where it cannot be had or cannot reach the packages, pip does the same work.
define install_extra
	@echo "==> installing equipoise[$(1)] with the tested versions (torch is large: a minute or two the first time)"
	@uv=$$(command -v uv || { $(BIN)/python -m pip install --quiet uv && echo $(BIN)/uv; }); \
	if [ -n "$$uv" ] && "$$uv" pip install --python $(BIN)/python -c constraints.txt -e '.[$(1)]'; then :; else \
		echo "==> uv is not to be had or failed, using pip"; \
		$(BIN)/python -m pip install -c constraints.txt -e '.[$(1)]'; \
	fi
endef

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(call install_extra,demo)
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(call install_extra,dev)
	@touch $@ $(VENV)/.demo
