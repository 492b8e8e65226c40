# Everything happens in .venv, which is set up when it is missing or older than the files that describe it; the tests of
# `make test-lowest` run in .venv-lowest, where each library is as old as setup.cfg lets it be.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$python && break; \
	done)
BIN = .venv/bin
# Two processes, each file's tests in one of them: full-size networks, half a gigabyte each, are in one file.
TWO = -n 2 --dist loadfile
# What reads files of strangers, what proves networks equal, and what each library is used for.
LOWEST = tests/whole/test_hostile_files.py tests/whole/test_weight_formats.py \
	tests/whole/test_vgg_is_keras_vgg.py tests/whole/test_converted_everywhere.py tests/whole/test_no_contact.py \
	tests/checkpoints tests/networks tests/images tests/conversion tests/engines tests/exports tests/app

.PHONY: demo test test-all test-lowest fuzz bench lint clean

demo: .venv/installed
	$(BIN)/python demo.py

test: .venv/installed
	$(BIN)/python -m pytest $(TWO)

test-all: .venv/installed
	$(BIN)/python -m pytest $(TWO) -m ""

test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest $(TWO) $(LOWEST)

fuzz: .venv/installed
	$(BIN)/python -m pytest -s tests/fuzz/fuzz_weights.py tests/fuzz/fuzz_images.py

bench: .venv/installed
	$(BIN)/python benchmarks/bench.py

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.venv/installed: BOUNDS = true
.venv-lowest/installed: BOUNDS = sed -nE 's/^ +([a-z0-9-]+) >= /\1 == /p' setup.cfg
.venv/installed .venv-lowest/installed: setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.10 to 3.13 is needed; none was found. Name one: make PYTHON=/path/to/python"; exit 1; }
	@echo "setting up $(@D) with TensorFlow and all that the tests need: a gigabyte to download, some minutes"
	$(PYTHON) -m venv --clear $(@D)
	$(BOUNDS) > $(@D)/bounds.txt
	@( while [ -t 2 ] && kill -0 $$$$ 2>/dev/null; do printf . >&2; sleep 1; done ) & \
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(@D)/bounds.txt --editable '.[dev]'
	@echo
	touch $@

clean:
	rm -rf .venv .venv-lowest build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
