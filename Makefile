# `make demo` and `make test` set themselves up: Python 3.11 or newer, git and make are all they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The tests' networks are so small that threads only wait for each other; files of tests run side by side instead.
# Where a test asks for threads, they wait asleep: threads that spin beside another process take it many times as long.
# Where a process of tests dies, the tests end: pytest-xdist would start another, and wait for ever.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/pytest -n auto --maxprocesses 4 --max-worker-restart 0 --dist loadfile

.PHONY: demo test test-all coverage cuda torture lowest pythons lint bench bench-long docs reference results clean

demo: $(STAMP)  ## phantoms, a small model, one patient processed, scores beside the truth: a few minutes
	$(BIN)/pseudohealthy demo --out demo

test: $(STAMP) lint  ## what every change must pass: under 8 minutes
	$(PYTEST) -m "not slow and not torture"

test-all: $(STAMP)-skullstrip test lowest  ## and the long checks
	$(PYTEST) -m "slow and not torture"

coverage: $(STAMP)-skullstrip  ## the tests and the long checks, and which lines of the program they run
	$(PYTEST) --cov --cov-report=term -m "not torture"

cuda: $(STAMP)  ## on a machine with a graphics card: training and inference there, against the CPU's
	$(BIN)/pytest -m cuda

torture: $(STAMP)-torture  ## kills, faults and 100,000 damaged inputs: hours; PSEUDOHEALTHY_TORTURE_INPUTS sets how many
	OMP_NUM_THREADS=1 PYTHONPATH=src:tests $(BIN)/python -m torture.fuzzing --out results/reliability/fuzzing.json
	OMP_NUM_THREADS=1 PYTHONPATH=src:tests $(BIN)/python -m torture.kills
	OMP_NUM_THREADS=1 PSEUDOHEALTHY_RELIABILITY=results/reliability $(BIN)/pytest -s tests/torture/test_faults.py
	OMP_NUM_THREADS=1 PSEUDOHEALTHY_RELIABILITY=results/reliability $(BIN)/pytest -s -m torture tests/torture/test_soak.py

lowest: $(STAMP)  ## what libraries do for the program, in the lowest versions that are allowed
	$(BIN)/nox -s lowest

pythons: $(STAMP)  ## the quick tests with each Python of this machine; may fetch a torch of GBs for each
	$(BIN)/nox -s tests

lint: $(STAMP)
	$(BIN)/ruff format --check src tests benchmarks cluster docs scripts noxfile.py
	$(BIN)/ruff check src tests benchmarks cluster docs scripts noxfile.py
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)  ## ratios to this machine's own peak
	$(BIN)/python -m benchmarks

bench-long: $(STAMP)  ## beside an earlier version, rooflines, what was tried, processes at once, 1,000 volumes, the minutes until a balance
	$(BIN)/pytest -m torture tests/benchmarks  # each part in a quick form first: hours are to be lost
	$(BIN)/python -m benchmarks --parts earlier,roofline,around,tried,scaling,growth,balance

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,phantom]'
	touch $@

$(STAMP)-skullstrip: $(STAMP)  # 300 MB, for one of the long checks
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[skullstrip]'
	touch $@

$(STAMP)-torture: $(STAMP)  # Linux alone, and 35 MB
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[torture]'
	touch $@

results: $(STAMP)  ## the measured parts of the documents and the README's table, from the files under results/
	$(BIN)/python -m scripts.make_results
	$(BIN)/python -m scripts.make_reliability
	$(BIN)/python -m scripts.make_uncertainty
	$(BIN)/python -m scripts.make_int8
	$(BIN)/python -m scripts.make_registration
	$(BIN)/python -m scripts.make_transplants
	$(BIN)/python -m scripts.make_segmentor

reference: $(STAMP)  ## the tables of docs/reference and CHANGELOG.md, from the code
	$(BIN)/python scripts/make_reference.py

docs: reference  ## the site, in site/
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) .nox demo
