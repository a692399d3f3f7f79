# make play: set up and play the bundled song without vocals.   make test: set up and run all checks.
# PIP_ARGS is passed to pip; PYTHON selects the interpreter (3.11 or newer) for a new .venv.
BIN := .venv/bin
SONG := $(firstword $(sort $(wildcard demo/*/mixture.flac)))
NEEDS := pyproject.toml constraints.txt scripts/setup.sh
export PIP_ARGS PYTHON

.PHONY: help setup play test lint bench wheel clean

help:
	@echo "make play    set up, then play the bundled song without vocals"
	@echo "make setup   set up only: .venv, Python packages, PortAudio"
	@echo "make test    set up, then ruff, pyright and pytest"
	@echo "make lint    ruff and pyright"
	@echo "make bench   generate docs/benchmarks.md from the results in out/bench"
	@echo "make wheel   build dist/rtsep-*.whl"
	@echo "make clean   remove generated files, except .venv"

setup: .venv/ready-play

play: .venv/ready-play
	@test -n "$(SONG)" || { echo "bundled song not found: demo/*/mixture.flac" >&2; exit 1; }
	@$(BIN)/rtsep play $(SONG) --gain vocals=-inf

# Both parts are always run; real-time tests have the machine to themselves.
test: lint
	@failed=0; \
	$(BIN)/pytest -m "not realtime" --numprocesses=auto --dist=loadfile || failed=1; \
	$(BIN)/pytest -m realtime --durations=15 || failed=1; \
	exit $$failed

lint: .venv/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/pyright

bench: .venv/ready-test
	$(BIN)/python -m benches.document

wheel: .venv/ready-test
	$(BIN)/python -m hatchling build -t wheel -d dist

clean:
	rm -rf build dist out .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/ready-play: $(NEEDS)
	@scripts/setup.sh play

.venv/ready-test: $(NEEDS)
	@scripts/setup.sh test
