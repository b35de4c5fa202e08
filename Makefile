# Two commands matter: `make demo` and `make test`. Everything they need lands in .venv and target.
SHELL := /bin/bash
.DEFAULT_GOAL := help
ROOT := $(CURDIR)
PYTHON := $(ROOT)/.venv/bin/python
# One interpreter for every build: another path would rebuild the binding crates.
export PYO3_PYTHON := $(PYTHON)
SOURCES := Cargo.toml Cargo.lock $(shell find src -name '*.rs' 2>/dev/null)
STAMPS := .venv/stamps

help: ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(STAMPS)/setup: requirements/dev.lock
	@for python in python3.13 python3.12 python3.11 python3.10 python3; do \
	  exe=$$($$python -c 'import sys; assert (3, 10) <= sys.version_info < (3, 14); print(sys.executable)' 2>/dev/null) && break; \
	done; \
	if [ -z "$$exe" ]; then echo "error: need python3 between 3.10 and 3.13 on the PATH" >&2; exit 1; fi; \
	echo "set-up with $$exe"; test -x $(PYTHON) || "$$exe" -m venv .venv
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check "uv>=0.9"
	@$(PYTHON) -m uv pip sync --quiet --python $(PYTHON) requirements/dev.lock
	@mkdir -p $(STAMPS) && rm -f $(STAMPS)/build-* && touch $@

setup: $(STAMPS)/setup ## make .venv with Airflow, the tools and the test servers

# The two profiles share one place for the extension; the stamp of the other one goes.
$(STAMPS)/build-%: $(STAMPS)/setup $(SOURCES) pyproject.toml README.md
	@echo "building the extension ($*)"
	@source .venv/bin/activate && maturin develop --uv --quiet --locked --profile $*
	@rm -f $(STAMPS)/build-* && touch $@

build: $(STAMPS)/build-dev ## build the extension for tests

build-dist: $(STAMPS)/build-dist ## build the extension optimised

demo: build ## run a backfill through Airflow, offline
	@$(PYTHON) -m quant_framework.demo

test: setup ## run every test, Rust and Python
	@$(PYTHON) tests/with_servers.py $(MAKE) --no-print-directory test-rust
	@cargo test --locked --doc
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/with_servers.py $(PYTHON) -m pytest -n 2 --dist loadgroup

# Needs the servers of tests/with_servers.py.
test-rust:
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --locked --no-fail-fast; else cargo test --locked --lib --tests --no-fail-fast; fi

lint: setup ## formatting and lints
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --features python -- -D warnings
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports

stubs: build ## copy the docstrings of the core into its stub
	$(PYTHON) tests/stubs.py

types: build ## stubtest, mypy and basedpyright, of the package and of code as authors write it; docstrings
	$(PYTHON) -m pytest -q -n 2 tests/python/test_types.py tests/python/test_docstrings.py

check: lint types ## lints, types, and what must not be in the core
	@! cargo tree --locked -e normal --no-default-features | grep -q pyo3 || { echo "pyo3 without the feature python"; exit 1; }
	@echo "no pyo3 without the feature python"

bench: build-dist ## criterion benches of the core (docs/benchmarks.md: whole runs, side by side)
	cargo bench --locked --profile dist

wheel: build ## build the wheel for Linux since 2018 into dist/, and test it as a stranger gets it
	@rm -f dist/*.whl
	@$(PYTHON) -m uv run --quiet --no-project --python $(PYTHON) --with-requirements requirements/wheel.txt -- \
	  maturin build --locked --zig --compatibility manylinux_2_28 --out dist
	@QF_WHEEL=$$(echo dist/*.whl) $(PYTHON) -m pytest -q tests/python/test_wheel.py

sdist: setup ## pack the source distribution into dist/
	@.venv/bin/maturin sdist --out dist

licenses: ## write THIRD_PARTY_LICENSES; needs cargo-about
	cargo about generate --locked --features python --fail about.hbs -o THIRD_PARTY_LICENSES

SPHINX := $(PYTHON) -m sphinx --conf-dir docs --fail-on-warning --nitpicky --keep-going

docs: build ## build the site of docs/ (docs/_build/html)
	@$(SPHINX) --quiet --builder html . docs/_build/html
	@echo "docs/_build/html/index.html"

docs-links: build ## look whether the external links of the site answer; needs a network
	@$(SPHINX) --builder linkcheck . docs/_build/links

clean: ## remove everything that was built
	rm -rf target .venv dist .demo docs/_build python/quant_framework/_core*.so

.PHONY: help setup build build-dist demo test test-rust lint stubs types check bench wheel sdist licenses docs docs-links clean
