# Everything that one does with a checkout. `make help` lists it.
#
# .venv belongs to this Makefile: it is made anew when the checkout was moved or its Python
# went away, and brought up to date when pyproject.toml changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ADDRESS ?= 127.0.0.1:8080
ARGS ?=

.DEFAULT_GOAL := help
# What setup.py compiles, in a copy.
COMPILED_TESTS := tests/gateways tests/subscriptions/test_balancing.py

.PHONY: help run test test-compiled check format bench bench-legion docs clean venv-is-usable

help:  ## what there is to make
	@echo "make run      serve the demo application on http://$(ADDRESS) (ADDRESS=... for another)"
	@echo "make test     install what the tests need and run them all (ARGS='-k name' for some)"
	@echo "make test-compiled  the gateways' tests with compiled modules; needs a C compiler"
	@echo "make check    format, lint, types and the fast tests: for daily work"
	@echo "make format   let ruff rewrite what it can"
	@echo "make bench    compare with uWSGI, nginx, gunicorn and waitress (ARGS='--help')"
	@echo "make bench-legion  move a service address, beside keepalived (as root)"
	@echo "make clean    remove $(VENV), caches and builds"

# A virtual environment holds absolute paths: moved, or with its base Python gone, it is lost.
venv-is-usable:
	@if [ -e $(VENV) ] && ! { [ "$$(cat $(VENV)/made-in 2>/dev/null)" = "$(CURDIR)" ] \
	    && $(BIN)/python -c "" 2>/dev/null; }; then \
	    echo "$(VENV) was made elsewhere or is incomplete: making it anew"; rm -rf $(VENV); \
	fi
	@if [ ! -e $(VENV)/made-in ]; then \
	    .ci/packages python "$(PYTHON)" && "$(PYTHON)" -m venv $(VENV) && \
	    echo "$(CURDIR)" > $(VENV)/made-in; \
	fi

# The stamps are remade by a second make, because their targets may just have been removed.
$(VENV)/installed: pyproject.toml
	$(BIN)/python -m pip --disable-pip-version-check install --quiet -e .
	@touch $@

$(VENV)/installed-for-tests: pyproject.toml .ci/packages
	.ci/packages tests "$(BIN)/python"
	$(BIN)/python -m pip --disable-pip-version-check install --quiet -e '.[dev,peers,yaml,xml,brotli,zstd,xslt,ldap,radius]'
	@touch $@ $(VENV)/installed

run: venv-is-usable  ## serve the demo application
	@$(MAKE) -s --no-print-directory $(VENV)/installed
	@echo "The demo application, on http://$(ADDRESS)"
	@echo
	@echo "  curl -i http://$(ADDRESS)/                    which worker answered, and what it saw"
	@echo "  curl -N http://$(ADDRESS)/stream              an answer that comes bit by bit"
	@echo "  curl -d hello http://$(ADDRESS)/echo          the body comes back"
	@echo "  kill -HUP (the master's pid, see below)       reload: no request is lost"
	@echo "  Ctrl-C                                        stop when the running requests are done"
	@echo
	@exec $(BIN)/uwgate --http $(ADDRESS) --module uwgate.demo --processes 2 $(ARGS)

test: venv-is-usable  ## everything
	@$(MAKE) -s --no-print-directory $(VENV)/installed-for-tests
	.ci/tests $(BIN)/pytest $(ARGS)

test-compiled: venv-is-usable  ## compile a copy, and test that
	@$(MAKE) -s --no-print-directory $(VENV)/installed-for-tests
	@copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && bin="$$PWD/$(BIN)" && \
	    "$$bin/python" -m benchmarks.compiled "$$copy/uwgate" && cd "$$copy/uwgate" && \
	    "$$bin/pytest" -n 4 $(COMPILED_TESTS) $(ARGS)

check: venv-is-usable  ## the fast half of everything
	@$(MAKE) -s --no-print-directory $(VENV)/installed-for-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 4 --ignore=tests/e2e $(ARGS)

format: venv-is-usable
	@$(MAKE) -s --no-print-directory $(VENV)/installed-for-tests
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: venv-is-usable  ## side by side with the peers
	@$(MAKE) -s --no-print-directory $(VENV)/installed-for-tests
	$(BIN)/python -m benchmarks $(ARGS)
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.https
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.http2
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.fastrouter --compiled
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.table_cost
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.static
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.caching
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.zerg
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.raw

bench-legion: venv-is-usable  ## how fast a service address moves, beside keepalived; needs root
	@$(MAKE) -s --no-print-directory $(VENV)/installed-for-tests
	$(BIN)/python -m benchmarks.legion $(ARGS)

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
