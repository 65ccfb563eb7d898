# Everything runs from `.venv`, which the first target that needs it makes.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup demo app test bench docs lint house
setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@echo "Setting up .venv: a few minutes, once."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all]'
	touch $(READY)

demo: $(READY)
	$(BIN)/scalenet segment --sample -m scalenet_s0 -o out/demo --overwrite
	$(BIN)/scalenet pose --sample -m scalenet_p0 -o out/demo --overwrite

app: $(READY)
	$(BIN)/scalenet demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 tests/app tests/commands tests/data tests/engines tests/evaluate
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 $(foreach part,app commands data engines evaluate,--ignore tests/$(part))

bench: $(READY)
	$(BIN)/python -m benchmarks

docs: $(READY)
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

house: $(READY)
	$(BIN)/python -m tests.house

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
