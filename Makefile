# Every target works from a fresh clone: only python3 (3.11 or newer) and make are needed, .venv is made on first use.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
CHECKED := $(wildcard src tests benchmarks chaos deploy examples .ci/*.py *.py)
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'

.DEFAULT_GOAL := help
.PHONY: run demo test pythons floors check bench chaos simulate-chaos fuzz soak clean help

help:
	@echo 'make demo    the whole system against the built-in exchange simulator, no network'
	@echo 'make run     the whole system, live'
	@echo 'make test    the tests'
	@echo 'make pythons the core on each other Python of 3.11 to 3.14 found here'
	@echo 'make floors  what the own tests of each file of engine and venues execute, against a floor'
	@echo 'make check   lint, format, types, import rules'
	@echo 'make bench   the figures quoted in the README'
	@echo 'make chaos   200 seeded scenarios of failing networks, venues, servers and kills'
	@echo 'make simulate-chaos  the service in virtual time, without sockets: hundreds of hours in minutes'
	@echo 'make fuzz    a million broken inputs into everything that reads'
	@echo 'make soak    an hour of cascade at speed: memory and latency stay flat'
	@echo 'make clean   remove caches and build output (rm -r .venv for the rest)'
	@echo 'Options go through ARGS: make demo ARGS="--seconds 20"'

run: .venv/.base
	@$(BIN)/liqtape run $(ARGS)

demo: .venv/.base
	@$(BIN)/liqtape demo $(ARGS)

test: .venv/.dev
	@$(BIN)/python -m pytest $(ARGS)

pythons: .venv/.dev
	@.ci/pythons $(ARGS)

floors: .venv/.dev
	@$(BIN)/python .ci/floors.py $(ARGS)

check: .venv/.dev
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports --no-logo

bench: .venv/.dev
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: .venv/.dev
	@$(BIN)/python -m chaos $(ARGS)

simulate-chaos: .venv/.dev
	@$(BIN)/python -m chaos.virtual $(ARGS)

fuzz: .venv/.dev
	@$(BIN)/python -m chaos fuzz $(ARGS)

soak: .venv/.dev
	@$(BIN)/python -m chaos soak $(ARGS)

clean:
	rm -rf build dist .venv-libraries .venv-pythons .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov
	find src tests $(wildcard benchmarks chaos examples) -name __pycache__ -type d -prune -exec rm -rf {} +

# A new pip halves the time of the second step. The build backend comes with it and is used without isolation, so that it
# is pinned like everything else. Bytecode is left to the first import: most of what is installed is never imported.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile -c constraints.txt

define install
	@$(BIN)/python $(NEW_ENOUGH) 2>/dev/null || $(PYTHON) $(NEW_ENOUGH) || \
		{ echo 'liqtape needs Python 3.11 or newer. Name one: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 1; }
	@$(BIN)/python $(NEW_ENOUGH) 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@echo 'Installing $(1) into .venv (first time, or the dependencies changed) ...' >&2
	@$(PIP_INSTALL) pip hatchling
	@$(PIP_INSTALL) --no-build-isolation -e '$(2)'
endef

.venv/.base: pyproject.toml constraints.txt
	$(call install,liqtape,.)
	@touch $@

.venv/.dev: pyproject.toml constraints.txt
	$(call install,liqtape and its development tools,.[dev])
	@touch .venv/.base $@
