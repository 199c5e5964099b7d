# Two commands matter: `make repro` and `make test`. Both set up what is missing.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS = 1
export DO_NOT_TRACK = true

.PHONY: help repro test test-all test-capped lint audit sbom fuzz ui clean setup
.DEFAULT_GOAL := repro

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 14

setup: .venv/installed .mfnet/assets  ## the environment, its packages, and the free files of others

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -e '.[dev]' -c constraints.txt
	install -d -m 700 .mfnet
	$(BIN)/dvc config --local core.site_cache_dir "$(CURDIR)/.mfnet/dvc-site-cache"
	touch $@

# What cannot be had is asked for again by the next make.
.mfnet/assets: .venv/installed mfnet/assets.py
	mfnet assets get && touch $@ || echo "warning: without them mfnet cannot see real people; later: mfnet assets get" >&2

repro: setup  ## rebuild everything that changed, then print the benchmark table
	python -m pipelines.rebuild
	mfnet benchmark show

PYTEST = OMP_NUM_THREADS=1 pytest --numprocesses 2 --dist loadfile

test: setup  ## the tests that take seconds, on two cores
	$(PYTEST) -m "not slow"

test-all: test  ## those, then the slow ones
	$(PYTEST) -m slow

# A CPU without AVX-512, as far as each library lets itself be capped: last bits differ there, verdicts must not.
CAPPED = ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=Haswell \
	NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR" NUMBA_CPU_NAME=haswell NUMBA_CACHE_DIR=$(CURDIR)/.mfnet/numba-avx2

test-capped: setup  ## training and rendering as on a CPU without AVX-512
	$(CAPPED) $(PYTEST) tests/training tests/render tests/pretraining

lint: setup  ## style and types
	ruff check .
	ruff format --check .
	basedpyright

audit: setup  ## known holes and the licences of all that is installed
	uv tool run --from 'pip-licenses>=5.5' pip-licenses --python $(BIN)/python --order license
	uv tool run --from 'pip-audit>=2.9' pip-audit --path "$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')"

sbom: setup  ## sbom.json: every installed package, as CycloneDX
	uv tool run --from 'cyclonedx-bom>=7' cyclonedx-py environment $(BIN)/python -o sbom.json

fuzz: setup  ## 100,000 hostile files against every reader of foreign files
	python -m benchmarks.fuzz

ui: setup  ## compare runs in the browser (prints the address)
	mfnet ui

clean:  ## drop what a run leaves beside the artifacts; artifacts, cache, lock and unsent runs stay
	rm -rf .pytest_cache .ruff_cache
	test ! -d .mfnet || find .mfnet -mindepth 1 -maxdepth 1 ! -name outbox -exec rm -rf {} +
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
