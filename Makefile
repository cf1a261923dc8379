# One command each to run, to test and to lint. All that is needed is python3, 3.11 or newer: the rest goes into VENV.
PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
JOBS ?= 2
BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test faults soak lint bench bench-growth

run: $(VENV)/.installed  ## run the calculator example: a client, and the server that it starts
	$(BIN)/scriptling examples/calculator/client.py

test: $(VENV)/.installed-tools  ## run all tests
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

faults: $(VENV)/.installed-tools  ## run every check of the fault tests at full scale; wants a quiet machine
	$(BIN)/python -m tests.faults --docs docs/reliability.md $(ARGS)

soak: $(VENV)/.installed-tools  ## mix all faults with load for half an hour, and compare end and start; ARGS='--minutes 5' is shorter
	$(BIN)/python -m tests.faults.soak --docs docs/reliability.md $(ARGS)

lint: $(VENV)/.installed-tools  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --explicit-package-bases scriptling workers benchmarks tests

bench: $(BENCH_VENV)/.installed-bench  ## measure against peers and limits, for some minutes; ARGS=--quick is shorter
	$(BENCH_VENV)/bin/python -m benchmarks --json benchmarks/results/latest.json --svg benchmarks/results/latest.svg $(ARGS)

bench-growth: $(BENCH_VENV)/.installed-bench  ## measure how costs grow with the work, for a minute or two
	$(BENCH_VENV)/bin/python -m benchmarks growth --json benchmarks/results/growth.json --svg benchmarks/results/growth.svg $(ARGS)

$(VENV)/.installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(BENCH_VENV)/.installed-bench: setup.cfg pyproject.toml
	test -x $(BENCH_VENV)/bin/pip || $(PYTHON) -m venv --clear $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --editable '.[bench]'
	@touch $@

$(VENV)/.installed-tools: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[test,lint]'
	@touch $@
