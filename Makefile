# `make` lists the targets. Everything runs in .venv, which is made on first use.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# The first Python on this machine that is new enough; `make PYTHON=python3.13 ...` chooses another for a new .venv.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.14 python3.11,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(p))))
UV_ENV := VIRTUAL_ENV=$(CURDIR)/$(VENV)

# Install with uv, or with pip where there is no uv for this machine. $(1): what to install, in words that both know.
define install
	@echo "Installing into $(VENV): $(1)"
	@if [ -x $(BIN)/uv ]; then $(UV_ENV) $(BIN)/uv pip install $(1); else $(BIN)/python -m pip install $(1); fi
	@touch $@
endef

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

# --- the environment, in layers: what each target needs and no more ---------------------------------------------------

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then echo "kvstack needs Python 3.11 or newer, and there is none on PATH." >&2; exit 1; fi
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make an environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.installer: | $(BIN)/python
	@echo "Getting the installer"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/.installer
	$(call install,-e '.[django$(,)fastapi$(,)flask$(,)disk$(,)redis$(,)encryption]' --group demo)

$(VENV)/.test: pyproject.toml | $(VENV)/.installer
	$(call install,-e '.[all]' --group test)

$(VENV)/.lint: pyproject.toml | $(VENV)/.installer
	$(call install,-e '.[all]' --group lint --group mirror)

$(VENV)/.typing: pyproject.toml | $(VENV)/.installer
	$(call install,-e '.[all]' --group typing --group mirror)

$(VENV)/.docs: pyproject.toml | $(VENV)/.installer
	$(call install,-e '.[all]' --group docs)

$(VENV)/.bench: pyproject.toml | $(VENV)/.installer
	$(call install,-e '.[all]' --group bench)

$(VENV)/.tox: | $(VENV)/.installer
	$(call install,'tox>=4.25' 'tox-uv>=1.25')

, := ,

# --- what people run --------------------------------------------------------------------------------------------------

.PHONY: demo serve
demo: $(VENV)/.demo ## start the three example applications, drive them over HTTP and print a report
	@$(BIN)/python -m example_projects.demo

serve: $(VENV)/.demo ## start the three example applications and leave them running
	@$(BIN)/python -m example_projects.demo --serve

.PHONY: servers test matrix tables examples
servers: | $(BIN)/python
	@$(BIN)/python tools/install_servers.py

test: $(VENV)/.test servers ## run the tests (FULL=1: the long ones too; ARGS="-k redis": what you want)
	@KV_TEST_FULL=$(FULL) $(BIN)/pytest -n auto --dist worksteal $(ARGS)

matrix: $(VENV)/.test servers ## replay one script of calls on every store, and print where the answers differ
	@$(BIN)/pytest -q tests/test_conformance.py

tables: $(VENV)/.test servers ## write the tables of the documentation that come from the tests
	@$(BIN)/pytest -q --publish -k "published or test_conformance"

examples: $(VENV)/.test ## run the tests of the example projects, each in its own folder
	@set -e; for project in example_projects/*/pyproject.toml; do \
		folder=$$(dirname $$project); echo "== $$folder"; (cd $$folder && $(CURDIR)/$(BIN)/python -m pytest); done

.PHONY: lint format typing mirror mirror-check imports docs bench tox clean
lint: $(VENV)/.lint ## check style with ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.lint ## put style right where ruff can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

typing: $(VENV)/.typing ## check types with mypy and pyright, both strict
	@$(BIN)/mypy
	@$(BIN)/pyright --pythonpath $(BIN)/python

mirror: $(VENV)/.lint ## write the sync side from the async one
	@$(BIN)/python tools/mirror.py

mirror-check: $(VENV)/.lint ## fail if the sync side is not what `make mirror` would write
	@$(BIN)/python tools/mirror.py --check

imports: $(VENV)/.lint ## check who imports whom
	@$(BIN)/lint-imports

docs: $(VENV)/.docs ## build the documentation into site/; warnings are errors
	@$(BIN)/python -m mkdocs build --strict

bench: $(VENV)/.bench servers ## measure against raw clients and other libraries
	@$(BIN)/python -m benchmarks

# Pythons that pyenv keeps off PATH are found too.
tox: $(VENV)/.tox ## test the wheel with every Python and Django found here (ARGS="-e py312-django52": some)
	@PATH="$$PATH$$(printf ':%s' $(wildcard $(HOME)/.pyenv/versions/3.*/bin))" $(BIN)/tox run $(ARGS)

clean: ## remove the environment, caches and built files
	rm -rf $(VENV) .tox .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis site dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
