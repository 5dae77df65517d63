# carmine: every check and every product of this repository, by name.  `make help` lists them.
#
# make CARMINE_BUILD_EXT=0 ...   without the Cython twin          make PYTHON=/path/to/python ...   another Python
# make CARMINE_TEST_SCALE=1 ...  long tests at their full length  make T="-k pool -x" unit          words for pytest
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The Python that makes .venv: the first that is 3.11 or newer.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 $$HOME/.pyenv/versions/*/bin/python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin
PY := $(BIN)/python
RUN := $(PY) -m tools.run_tests $(if $(T),--pytest="$(T)")
PYX := $(wildcard carmine/_*.pyx carmine/_*.pxd carmine/_*.pxi)
export CARMINE_BUILD_EXT ?= auto

.PHONY: help
help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

# ---- environments

.PHONY: venv pythons
venv: ## .venv with the package (editable), every tool and every test server
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; use make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(if $(wildcard $(PY)),$(PY),$(PYTHON))" -m tools.envs

pythons: venv ## .venv-3.x for every other CPython from 3.11 to 3.13 on this machine
	@$(PY) -m tools.envs --others

# ---- looking at the text

.PHONY: lint types contracts check
lint: venv ## ruff, codespell, cython-lint
	@$(BIN)/ruff check -q --output-format concise .
	@$(BIN)/ruff format -q --check . || { echo "lint: run ruff format" >&2; exit 1; }
	@$(BIN)/codespell
	@$(if $(PYX),PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint $(PYX))

types: venv ## mypy --strict; basedpyright on the package and on its public surface
	@$(BIN)/mypy
	@$(BIN)/basedpyright --level error
	@mkdir -p build/public && cd build/public && \
		PYTHONPATH=$(CURDIR):$$($(CURDIR)/$(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))') $(CURDIR)/$(BIN)/basedpyright \
		--pythonpath $(CURDIR)/$(PY) --verifytypes carmine --ignoreexternal >report.txt || { cat report.txt; exit 1; }

contracts: venv ## which way imports point
	@$(PY) -m tools.contracts

check: venv ## generated files are what their generators write
	@for generator in $(wildcard tools/gen_*.py); do $(PY) -m $$(echo $${generator%.py} | tr / .) --check || exit 1; done

# ---- tests

.PHONY: test matrix unit protocol smoke integration faults ext
test: venv ## the whole truth: every check and every pass, to the end, and a failure if one failed
	@status=0; \
	$(MAKE) --no-print-directory pythons & others=$$!; \
	$(MAKE) --no-print-directory -k lint types contracts check || status=1; \
	wait $$others || status=1; \
	$(RUN) test || status=1; \
	test $$status = 0 || echo "make test: FAILED, see above" >&2; exit $$status

matrix: pythons ## every server with both twins, long tests at their full length
	@$(RUN) matrix

unit protocol smoke integration faults ext: venv
	@$(RUN) $@
unit: ## pure rooms, packaging and the house rules
protocol: ## the grammar, over both twins
smoke: ## one client against one server
integration: ## against a real server
faults: ## cut, stalled and killed connections
ext: ## the layers

# The twin under the sanitizers, in a folder of its own; the tests find it there through PYTHONPATH.
.PHONY: asan fuzz soak
SANITIZED := build/asan
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g
asan: venv ## vectors and fuzz over the twin built with ASan and UBSan
	@$(PY) -m tools.sanitize --folder $(SANITIZED) --flags "$(SANITIZE)" -- tests/protocol -q -m "not slow" $(T)

fuzz: venv ## the twins against each other, 10,000,000 inputs (FUZZ=n for another number)
	@$(PY) -m tests.protocol.fuzz --inputs $${FUZZ:-10000000}

soak: venv ## the faults, for long
	@CARMINE_TEST_SCALE=$${CARMINE_TEST_SCALE:-4} $(RUN) faults

# ---- products

.PHONY: demo bench wheels docs clean
demo: venv ## a walk through the product on a real server
	@$(PY) -m carmine demo

bench: venv ## side by side with the peers
	@$(PY) -m bench

wheels: pythons ## sdist, pure wheel and one repaired wheel per CPython, each installed and tried
	@$(PY) -m tools.wheels

docs: venv ## the documentation, every warning an error
	@$(PY) -c 'import sphinx, furo, myst_parser' 2>/dev/null || $(PY) -m pip -q install --group docs
	@$(PY) -m sphinx -q -n -W docs build/docs

clean: ## what was built, not the environments
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@rm -f carmine/_*.so carmine/_*.c carmine/_build_info.json .venv*/build.stamp
	@find carmine tests tools bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
