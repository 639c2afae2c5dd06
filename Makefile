# make demo    install (no slicer-core) and read the bundled sample
# make test    install with everything; check format, lint and types; run the tests
# make coverage    the tests, and the share of lines and branches they reach
# make docs    Docs/commands.md, from the commands' parsers
# make bench   the speed claims, as ratios
# make data    the bundled sample and demo models anew (at most once per release: the binaries stay in the history)
#
# PYTHON=...        which Python (CPython 3.11 to 3.13)
# TORCH_INDEX=...   where pip takes torch and torchvision from, e.g. PyTorch's own index of CPU builds (see the README)

SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: demo test coverage docs bench data clean

FITS := import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do if $$p -c '$(FITS)' 2>/dev/null; then echo $$p; break; fi; done)
TORCH_INDEX ?=
BIN := .venv/bin

demo: .venv/demo.stamp
	$(BIN)/her2vit demo --out demo-output

test: .venv/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

coverage: .venv/test.stamp
	$(BIN)/python -m coverage run -m pytest -q
	$(BIN)/python -m coverage report

docs: .venv/demo.stamp
	$(BIN)/python -m HER2ViTTrainingLib.commands.reference Docs/commands.md

bench: .venv/test.stamp
	$(BIN)/python Testing/benchmarks/run.py

data: .venv/demo.stamp
	$(BIN)/python Testing/make_bundled_data.py

# Each stamp is written last: an install that broke off has none, and is done again.
.venv/venv.stamp:
	@test -n "$(PYTHON)" || { echo "make: no CPython 3.11 to 3.13 found; install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@"$(PYTHON)" -c '$(FITS)' 2>/dev/null || { echo "make: $(PYTHON) is not CPython 3.11 to 3.13; install python3.12 (Debian, Ubuntu: apt install python3.12 python3.12-venv) or name another: make PYTHON=..." >&2; exit 2; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "make: $(PYTHON) has no venv with pip; install the package python3-venv (Debian, Ubuntu: apt install python3-venv)" >&2; exit 2; }
	"$(PYTHON)" -m venv --clear .venv
	touch $@

.venv/torch.stamp: .venv/venv.stamp
	if [ -n "$(TORCH_INDEX)" ]; then $(BIN)/python -m pip install -q -i "$(TORCH_INDEX)" torch torchvision; fi
	touch $@

.venv/demo.stamp: .venv/torch.stamp pyproject.toml
	$(BIN)/python -m pip install -q -e .
	touch $@

.venv/test.stamp: .venv/torch.stamp pyproject.toml
	$(BIN)/python -m pip install -q -e ".[test]"
	touch $@ .venv/demo.stamp

clean:
	rm -rf .venv build dist demo-output bench-output
