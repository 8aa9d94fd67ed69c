# Everything runs from a plain checkout: `make drill`, `make test`. `make help` lists the rest.

.DEFAULT_GOAL := help
.PHONY: help setup drill test lint types unit sanity artefact refusals drills lab-up lab-down lab-status lab-break lab-heal bench build clean chaos chaos-sample stability

DRILL ?= region_loss
CHAOS_SCHEDULES ?= 1000
UNIT_WORKERS ?= 3
DRILLS := region_loss partition divergence switchover_and_failback static_stability standby_loss witness_loss \
    stale_standby no_receipts second_operator backup_proof application_recovery database_corruption
REGION ?= us-east-1
PYTHON_IN := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PYTHONUNBUFFERED := 1
export BENCH_RUNS
unexport PYTHONPATH

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Virtual environment and packages (every other target does this by itself)
	@tools/setup.sh

drill: setup ## Break the two-region lab and recover it: make drill [DRILL=region_loss]
	@tools/drill.sh $(DRILL)

test: setup ## What gates a change: lint, types, unit tests, a sample of chaos, the built artefact and its sanity, refusals, drills
	@tools/stage.sh lint types unit chaos-sample artefact sanity refusals drills

lint: setup ## ansible-lint (production), yamllint, ruff
	@ruff check .
	@ruff format --check --quiet . || { echo 'lint: run: ruff format .'; exit 1; }
	@yamllint --strict .
	@ansible-lint --offline -q

types: setup ## mypy over plugins and lab
	@mypy plugins lab

unit: setup ## Unit tests against real servers; most of their time is waiting: make unit [UNIT_WORKERS=3]
	@$(PYTHON_IN) -m pytest tests/unit -n $(UNIT_WORKERS) --dist loadfile

sanity: setup ## ansible-test sanity on the built artefact
	@tools/sanity.sh

artefact: setup ## Build the collection, install it elsewhere, run it there and under ansible-runner
	@$(PYTHON_IN) -m pytest tests/artefact

refusals: setup ## Bad input against a healthy lab: refused, named, nothing changed
	@$(PYTHON_IN) -m pytest tests/refusals

drills: setup ## All drills that gate
	@for drill in $(DRILLS); do tools/drill.sh $$drill || exit 1; done

chaos: setup ## Fault schedules in virtual time, defects they must find, a kill at every task: make chaos [CHAOS_SCHEDULES=1000]
	@$(PYTHON_IN) -m tests.chaos.model --count $(CHAOS_SCHEDULES)
	@$(PYTHON_IN) -m pytest tests/chaos/test_model.py
	@$(PYTHON_IN) -m tests.chaos.kill --all
	@$(PYTHON_IN) -m tests.chaos.kill --all --during 0.5

chaos-sample: setup ## A short sample of it
	@$(PYTHON_IN) -m pytest tests/chaos/test_model.py tests/chaos/test_kill.py tests/chaos/test_kill_backups.py -m 'not chaos'

lab-up: setup ## Start the two-region lab
	@$(PYTHON_IN) -m lab start

lab-down: setup ## Stop the lab and remove what it left
	@$(PYTHON_IN) -m lab stop

lab-status: setup ## Show the lab
	@$(PYTHON_IN) -m lab status

lab-break: setup ## Kill a region of the lab: make lab-break REGION=us-east-1
	@$(PYTHON_IN) -m lab break region $(REGION)

lab-heal: setup ## Bring a killed region back: make lab-heal REGION=us-east-1
	@$(PYTHON_IN) -m lab heal region $(REGION)

stability: setup ## What a recovery needs of the region that fails: make stability [REGION=us-east-1] [PLAYBOOK=region_failover]
	@ansible-playbook playbooks/static_stability.yml -e dr_failed_region=$(REGION) -e dr_playbook=$(or $(PLAYBOOK),region_failover)

bench: setup ## Benchmarks, as ratios within one run: make bench [BENCH=services] [BENCH_RUNS=3]
	@$(PYTHON_IN) -m tests.bench $(BENCH)

build: setup ## Build the collection into dist/
	@ansible-galaxy collection build --force --output-path dist .

clean: ## Remove what was built (stops the lab first)
	@if [ -d build/lab ]; then $(PYTHON_IN) -m lab stop; fi
	@rm -rf build dist
