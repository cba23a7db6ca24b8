# What a person types. Needs Python 3.11, git, make and a package registry; everything else goes
# into .uv/ (the installer) and .venv/ (the locked versions of uv.lock), both inside this folder.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV_VERSION := 0.13.9
HOME_DIR ?= var/demo
BIN := .venv/bin

# Nothing is written outside this folder, nothing phones home, and a folder called `agent/` or
# `flows/` in the current directory is never imported instead of ours.
export UV_CACHE_DIR ?= $(CURDIR)/.uv/cache
export UV_PYTHON_DOWNLOADS := never
export PYTHONSAFEPATH := 1
# Byte code is kept, whatever the caller's environment says: a run starts some twenty processes, and
# without it each compiles its libraries anew (a release: 46 s instead of 11).
export PYTHONDONTWRITEBYTECODE :=
export DO_NOT_TRACK := true
export PREFECT_HOME ?= $(CURDIR)/var/prefect-unused

.PHONY: help install demo up lint format test test-system mutants bench clean

help:  ## this list
	@grep -E '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

.uv/bin/uv:
	@test -n "$(PYTHON)" || { echo "make: no Python found; install Python 3.11 (Debian: apt-get install python3.11 python3.11-venv)" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "make: found $$("$(PYTHON)" --version), Ratchet needs Python 3.11; install it or run make PYTHON=/path/to/python3.11" >&2; exit 2; }
	"$(PYTHON)" -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir uv==$(UV_VERSION)

.venv/.installed: pyproject.toml uv.lock | .uv/bin/uv
	.uv/bin/uv sync --quiet --frozen --all-extras --python "$(PYTHON)"
	@touch $@

install: .venv/.installed  ## install the locked versions into .venv

lint: .venv/.installed  ## ruff, import arrows, strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

format: .venv/.installed  ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: .venv/.installed  ## the whole suite but what needs a Debian package
	$(BIN)/pytest -n 2 --dist loadfile -m "not system"

test-system: .venv/.installed  ## tests that need a Debian package; says which is missing
	$(BIN)/pytest -m system

mutants: .venv/.installed  ## mutation tests of the money's rooms; ONLY="--quick agent/risk/limits.py"
	PYTHONPATH=$(CURDIR) .uv/bin/uv run --quiet --frozen --no-sync --with cosmic-ray==8.7.0 \
	  nice -n 15 python -m tests.mutation.run --show $(ONLY)

demo: .venv/.installed  ## the whole loop once, no account needed; report in var/demo/report.html
	$(BIN)/ratchet demo --home $(HOME_DIR)

up: .venv/.installed  ## registry, schedules, served model, paper exchange, agent; until Ctrl-C
	$(BIN)/ratchet up --home var

bench: .venv/.installed  ## every benchmark; tables here, figures in var/bench/NAME.json
	PYTHONPATH=$(CURDIR) $(BIN)/python -m benchmarks.run --home var

bench-%: .venv/.installed  ## one of them: bench-agent, bench-trailing, bench-serving, bench-pipeline
	PYTHONPATH=$(CURDIR) $(BIN)/python -m benchmarks.run $* --home var

clean:  ## remove what make made (not var/)
	rm -rf .venv .uv dist build .mypy_cache .ruff_cache
