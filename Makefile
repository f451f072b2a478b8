# The commands of the house. `make demo` and `make test` need nothing but a shell, make and some Python 3.
PY := .venv/bin/python
BENCHES := $(sort $(patsubst load_tests/%.py,%,$(wildcard load_tests/bench_*.py)))

.PHONY: help setup demo test check bench chaos lock clean

help:
	@printf '%s\n' \
	  'make setup   create .venv with the locked dependencies (instant when that is done)' \
	  'make demo    start everything and replay real baskets; DEMO_ARGS="--seconds 20" for a short one' \
	  'make test    all tests, on a real Redis' \
	  'make check   lint, types, floors, quick tests: the inner loop' \
	  'make bench   speed and freshness on this machine' \
	  'make chaos   the tests that kill processes for minutes' \
	  'make lock    resolve the dependencies again' \
	  'make clean   remove .venv and what the tools left'

setup: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml .ci/setup
	@bash .ci/setup
	@touch $@

demo: setup
	@.venv/bin/regulars demo $(DEMO_ARGS)

test: setup
	@$(PY) -m pytest -n logical -m "not chaos" $(PYTEST_ARGS)

check: setup
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(PY) -m pytest -q -n logical -m "not slow and not chaos" tests/house tests/unit tests/property $(PYTEST_ARGS)

bench: setup
	@set -e; for bench in $(BENCHES); do printf '\n== %s\n' "$$bench"; $(PY) -m load_tests.$$bench; done

chaos: setup
	@$(PY) -m pytest -m chaos $(PYTEST_ARGS)

# One lock for both Python versions; without addresses, so that it installs from whatever index is configured.
lock: setup
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --upgrade \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	  --extra demo --extra evaluate --group dev --group bench pyproject.toml --output-file requirements.lock
	@if grep -n '://' requirements.lock; then echo 'requirements.lock names an address' >&2; exit 1; fi

clean:
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
