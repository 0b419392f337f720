# make demo | test | test-slow | test-faults | fuzz | lint | protos | install | clean
#
# PYTHON=... chooses the interpreter (3.9 - 3.13). The default one gets .venv, any other
# .venv-<version>, so both environments can live side by side.

DEFAULT_PYTHON := $(shell for candidate in python3 python3.11 python3.12 python3.10 python3.9 python3.13; do \
  $$candidate -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
  && { $$candidate -c 'import sys; print(sys.executable)'; break; }; done)
PYTHON ?= $(DEFAULT_PYTHON)
ifeq ($(strip $(PYTHON)),)
$(error No Python between 3.9 and 3.13 was found; name one with PYTHON=...)
endif

VERSION_OF = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := $(if $(filter $(call VERSION_OF,$(DEFAULT_PYTHON)),$(call VERSION_OF,$(PYTHON))),.venv,.venv-$(call VERSION_OF,$(PYTHON)))
BIN := $(VENV)/bin
RUN := runs/shapes_demo
DATA := data/shapes
DEMO := configs/shapes/kmax_demo.textproto

.PHONY: demo test test-slow test-faults fuzz lint format protos install print-python clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: install
	$(BIN)/python -m pytest -m slow

test-faults: install
	$(BIN)/python -m pytest -m faults
	$(BIN)/python -m tests.faults.kill_and_resume --kills=20

# Stops at the first defect and names the file that repeats it.
FUZZ_RUNS ?= 1000000
FUZZ_SECONDS ?= 600
fuzz: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[fuzz]"
	$(BIN)/python -m tests.fuzz.fuzz_config -runs=$(FUZZ_RUNS) -max_total_time=$(FUZZ_SECONDS)
	$(BIN)/python -m tests.fuzz.fuzz_records -runs=$(FUZZ_RUNS) -max_total_time=$(FUZZ_SECONDS)

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The generated modules are committed; regenerate them with Python 3.9 - 3.11 after changing a .proto.
protos: install
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. protos/*.proto

demo: install
	$(BIN)/kmax build-data shapes --output_dir=$(DATA)
	$(BIN)/kmax train --config_file=$(DEMO) --model_dir=$(RUN) --set KMAX_DATA=data
	rm -rf $(RUN)/saved_model $(RUN)/predictions
	$(BIN)/kmax export --config_file=$(DEMO) --checkpoint=$(RUN) --export_dir=$(RUN)/saved_model
	$(BIN)/kmax predict --saved_model=$(RUN)/saved_model $(DATA)/images/val_00000*.jpg --output_dir=$(RUN)/predictions
	$(BIN)/kmax eval --config_file=$(DEMO) --checkpoint=$(RUN) --set KMAX_DATA=data
	@echo
	@echo "PQ and mIoU on images that were never trained on: the table above, and $(RUN)/metrics.jsonl"
	@echo "Ground truth beside prediction:                   $(RUN)/pictures/"
	@echo "Predictions of the exported model:                $(RUN)/predictions/"
	@echo "SavedModel for TF Serving:                        $(RUN)/saved_model/1/"

print-python:
	@echo $(PYTHON)

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
