PYTHON ?= python3
PORT ?= 8501
BIN = .venv/bin
# Modules are compiled when they are first imported, which is half the work, and kept, or each process would compile them anew.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help app test check bench clean

help:
	@echo "make app [PORT=8501]   set everything up and open the dashboard"
	@echo "make test              set everything up and run all tests"
	@echo "make check             lint, and whether the code is formatted"
	@echo "make bench             measure beside peers (half an hour; see benchmarks/README.md)"
	@echo "make clean             remove .venv (experiments stay)"

app: .venv/app
	@$(BIN)/python -m dashboard --port $(PORT)

test: .venv/dev
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

bench: .venv/bench
	@for name in augment coverage evaluate launch train_throughput pages scaling; do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf .venv

# Old versions of pip take a fifth longer, so the environment gets the newest.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Triptych needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv --upgrade-deps .venv

.venv/app: requirements.txt | .venv/bin/python
	$(INSTALL) -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt requirements.txt | .venv/bin/python
	$(INSTALL) -r requirements-dev.txt
	@touch $@ .venv/app

.venv/bench: requirements-bench.txt requirements-dev.txt requirements.txt | .venv/bin/python
	$(INSTALL) -r requirements-bench.txt
	@touch $@ .venv/dev .venv/app
