# Two commands matter: `make demo` and `make test`. Each does all of its own set-up.
PYTHON ?= python3
LAB := $(PYTHON) -m e2e.lab

.PHONY: help up demo down test lint status clean lock

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

up: ## bring everything up (cluster, vCenter simulator, operator) and leave it running
	@$(LAB) up

demo: ## up, then ordinary Pods in instant-cloned VMs, with the times of each stage
	@$(LAB) demo

down: ## end everything that up started, and leave nothing behind
	@$(LAB) down

test: ## linters and all tests; make test ARGS="-k name" for some
	@$(LAB) test $(ARGS)

lint: ## linters only
	@$(LAB) lint

status: ## what is up, and how to go on
	@$(LAB) status

clean: ## down, and remove what tools left in the checkout
	@$(LAB) clean

lock: ## write requirements.lock anew from pyproject.toml (needs pip-compile)
	@$(PYTHON) -m e2e.lab.lock
