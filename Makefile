# Every line calls a plain command that also works by itself; README.md lists them.
PYTHON ?= python3
EXTRAS ?= core

.DEFAULT_GOAL := help
.PHONY: help setup start check test build bench

help:
	@echo "make start   set up the core and grade the first exercise as it lies in exercises/"
	@echo "make test    every test, its whole set-up included"
	@echo "make check   lint, and whether exercises/ is what build prints"
	@echo "make build   print exercises/ from solutions/"
	@echo "make bench   measure what the kit claims about itself"
	@echo "make setup   only set up .venv; EXTRAS=\"plots torch\" adds to it"
	@echo "PYTHON=python3.12 chooses the interpreter."

setup:
	$(PYTHON) tools/bootstrap.py $(EXTRAS)

start:
	$(PYTHON) tools/bootstrap.py run -- python -m grader.shell.start

check:
	$(PYTHON) tools/bootstrap.py dev
	$(PYTHON) tools/bootstrap.py run -- ruff check
	$(PYTHON) tools/bootstrap.py run -- grader build --check

test:
	$(PYTHON) tools/bootstrap.py test
	$(PYTHON) tools/bootstrap.py run -- python -m pytest tests -n 2 --dist loadgroup
	$(PYTHON) tools/bootstrap.py run -- grader build --check

build:
	$(PYTHON) tools/bootstrap.py run -- grader build

bench:
	$(PYTHON) tools/bootstrap.py run -- python -m benchmarks
