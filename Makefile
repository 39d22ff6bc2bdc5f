# Options: PYTHON=python3.12 (setup), ARGS="…" (handed to the command behind test, test-soak, bench, lock).
# make exits 2 whenever a recipe fails and prints the recipe's own code; infra/setup.sh alone exits 3 when
# Python, Java or a download is missing.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-soak lint format lock bench notebooks clean distclean
export PYTHON
BIN := .venv/bin

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv/ and .jars/ from the locks; repeatable
	@infra/setup.sh

demo: setup ## the main job on an embedded broker, end to end, results on screen
	@$(BIN)/sluice demo $(ARGS)

test: setup ## all tests but the long ones; ARGS="-k name"
	@$(BIN)/pytest -n 3 --no-loadscope-reorder -m "not soak" $(ARGS)

test-soak: setup ## the tests that take long
	@$(BIN)/pytest -n 2 --no-loadscope-reorder -m soak $(ARGS)

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup ## put the code into ruff's form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup ## the benchmarks
	@if [ -f benchmarks/__main__.py ]; then $(BIN)/python -m benchmarks $(ARGS); \
	else echo "the benchmarks arrive with benchmarks/__main__.py"; exit 1; fi

# Without a lake the first line says so, in one line; nbconvert would show a stack trace.
notebooks: setup ## run the notebooks on the lake of the settings, as HTML into build/notebooks
	@$(BIN)/sluice query --sql "SELECT 1" > /dev/null
	@$(BIN)/jupyter nbconvert --log-level ERROR --execute --to html --output-dir build/notebooks notebooks/*.ipynb
	@ls build/notebooks/*.html

lock: setup ## remake requirements.lock and infra/jars.sha256; ARGS=--upgrade for newer versions
	@infra/lock.sh $(ARGS)

clean: ## remove caches and build leftovers; data under var/ stays
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis spark-warehouse metastore_db derby.log
	@find src tests jobs benchmarks infra -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## … and .venv/ and .jars/
	@rm -rf .venv .jars
