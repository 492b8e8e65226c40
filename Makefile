# Everything happens in .venv, which is set up when it is missing or older than the files that describe it.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$python && break; \
	done)
BIN = .venv/bin
# Two processes, each file's tests in one of them: full-size networks, half a gigabyte each, are in one file.
TWO = -n 2 --dist loadfile

.PHONY: demo test test-all fuzz bench lint clean

demo: .venv/installed
	$(BIN)/python demo.py

test: .venv/installed
	$(BIN)/python -m pytest $(TWO)

test-all: .venv/installed
	$(BIN)/python -m pytest $(TWO) -m ""

fuzz: .venv/installed
	$(BIN)/python -m pytest -s tests/fuzz/fuzz_readers.py tests/fuzz/fuzz_images.py

bench: .venv/installed
	$(BIN)/python benchmarks/bench.py

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.venv/installed: setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.10 to 3.13 is needed; none was found. Name one: make PYTHON=/path/to/python"; exit 1; }
	@echo "setting up .venv with TensorFlow and all that the tests need: a gigabyte to download, some minutes"
	$(PYTHON) -m venv --clear .venv
	@( while [ -t 2 ] && kill -0 $$$$ 2>/dev/null; do printf . >&2; sleep 1; done ) & \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@echo
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
