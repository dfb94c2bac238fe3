# `make` alone lists the targets. Each sets up .venv first if it is missing or stale. Works with GNU make 3.81.

PY := .venv/bin/python
RUN := $(PY) -m mnistlib
STEP := 03_augment
USER_STAMP := .venv/.ready
DEV_STAMP := .venv/.ready-for-development
TESTS := OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help report series published pages bench choices step cloud-smoke check test ruff jupyter clean moved

help: ## list the targets
	@echo "Usage: make TARGET"
	@echo
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'
	@echo
	@echo "Each target sets up .venv first; PYTHON=/path/to/python names the Python (3.11 to 3.13) to build it with."

report: $(USER_STAMP) ## train a step, write its page below build/, print the verdict: make report STEP=00_skeleton
	@$(RUN) report "$(STEP)"

series: $(USER_STAMP) ## train what is missing of the steps, rebuild reports/
	@$(PY) -m website

published: $(USER_STAMP) ## train what is missing of the published models, rebuild reports/published/
	@$(PY) -m replication

pages: $(USER_STAMP) ## rebuild every page of reports/ without training
	@$(PY) -m website --no-training
	@$(PY) -m replication --no-training

pictures: $(DEV_STAMP) ## photograph the pages in Chromium into images/, record how soon the drawing page is ready
	@$(PY) tests/screenshots.py

bench: $(DEV_STAMP) ## time the series against two public recipes, write reports/benchmarks.html
	@$(PY) -m benchmarks

choices: $(USER_STAMP) ## train the candidates of every step on six folds of writers, record the choices
	@$(PY) -m selection

step: $(USER_STAMP) ## copy a step into one of your own: make step NAME=04_mine FROM=03_augment
	@$(foreach name,NAME FROM,$(if $($(name)),,$(error $(name) is missing: make step NAME=04_mine FROM=03_augment)))$(RUN) new-step "$(NAME)" --from "$(FROM)"

cloud-smoke: $(DEV_STAMP) ## use every way to run in AWS once, for less than a dollar: make cloud-smoke REPOSITORY=https://…
	@$(if $(REPOSITORY),,$(error REPOSITORY is missing: make cloud-smoke REPOSITORY=https://…))$(PY) scripts/cloud_smoke.py --repository "$(REPOSITORY)"

check: $(DEV_STAMP) ruff ## ruff and the quick tests
	@$(TESTS) -m "not slow and not smoke"

test: $(DEV_STAMP) ruff ## ruff, all tests, and a smoke run of every notebook
	@$(TESTS)

ruff: $(DEV_STAMP)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

jupyter: $(USER_STAMP) ## start JupyterLab in notebooks/, reachable from this machine only
	@$(PY) -m jupyterlab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=. notebooks

clean: ## remove build/ (your runs) and caches; .venv stays
	rm -rf build .pytest_cache .ruff_cache .hypothesis

# A stamp is written last, so an interrupted set-up starts again. It holds the folder in which the environment was made: one that was
# moved or copied is stale too, because it would import the library from the old folder.
ifneq ($(shell test -x $(PY) && cat $(USER_STAMP) 2>/dev/null),$(CURDIR))
$(USER_STAMP): moved
endif
moved:

$(USER_STAMP): requirements.txt pyproject.toml
	@sh .ci/venv
	$(PY) -m pip install --disable-pip-version-check -r requirements.txt
	@printf '%s\n' "$(CURDIR)" > $@

$(DEV_STAMP): $(USER_STAMP)
	$(PY) -m pip install --disable-pip-version-check -e ".[dev]"
	@touch $@
