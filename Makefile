# On a fresh machine with Python >= 3.11 and its venv module, `make run` starts a node and `make test` passes all tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
WORKERS ?= 3
SEEDS ?= 200

.PHONY: run demo drills test unit coverage e2e lint format bench figures simulate fuzz package clean

run: $(VENV)/installed ## start one node in the foreground: http://127.0.0.1:8080
	$(BIN)/twistd --nodaemon --pidfile= onevalue $(ARGS)

demo: $(VENV)/installed ## start three nodes on 127.0.0.1, 127.0.0.2 and 127.0.0.3
	$(BIN)/python tools/demo.py

drills: $(VENV)/installed ## failure drills (docs/drills.md); ARGS="kill stop" or ARGS=all, without ARGS a list
	$(BIN)/python tools/drills.py $(ARGS)

test: unit e2e ## all tests: the unit tests by trial, then everything by pytest

unit: $(VENV)/installed-test
	$(BIN)/python -m twisted.trial --temp-directory=_trial_temp tests.unit

coverage: $(VENV)/installed-test ## the unit tests by trial, and the lines and branches that they reach
	$(BIN)/python -m coverage run -m twisted.trial --temp-directory=_trial_temp tests.unit
	$(BIN)/python -m coverage report --skip-covered

e2e: $(VENV)/installed-test ## everything by pytest, side by side; then what is measured, alone
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not alone"
	$(BIN)/python -m pytest -m alone tests/e2e

lint: $(VENV)/installed-lint $(VENV)/installed-test ## style, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

figures: $(VENV)/installed-plot ## figures of docs/simulation.md; ARGS="spread detect" for some of them; takes an hour
	$(BIN)/python tools/figures.py $(ARGS)

bench: $(VENV)/installed-bench ## figures of docs/benchmarks.md
	$(BIN)/python tools/bench.py $(ARGS)

simulate: $(VENV)/installed-test ## a campaign of SEEDS fresh seeds, and bugs that are planted and must be found
	$(BIN)/python -m onevalue.simulation --seeds $(SEEDS) $(ARGS)
	$(BIN)/python -m tests.planted

fuzz: $(VENV)/installed-test $(VENV)/installed-fuzz ## what comes from the network, a minute each; ARGS="--seconds 300 node"
	$(BIN)/python -m tests.fuzz $(ARGS)

package: $(VENV)/installed-lint ## build wheel and sdist, and try each in a clean environment
	$(BIN)/python tools/check_package.py

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache _trial_temp* demo

$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/installed-%: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@
