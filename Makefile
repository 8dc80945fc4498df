# Each command installs what it needs, inside the checkout.

PYTHON ?= python3
LOCAL = @$(PYTHON) infra/local

.PHONY: help demo test deployed up down reference lint simulation bench pins recording image try-docker
help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: ## deploy everything to an AWS emulator, run jobs and show each step
	$(LOCAL) demo

test: ## run all tests: the workspace's, then those of the deployed stack
	$(LOCAL) test

deployed: ## run the tests of the deployed stack, with template.yaml and with Terraform
	$(LOCAL) deployed

up: ## start the stack and leave it running
	$(LOCAL) up

down: ## stop the stack that `make up` started
	$(LOCAL) down

reference: ## update the reference in the Terraform module's README
	@$(PYTHON) infra/docs/terraform_reference.py

pins: ## pin the Python packages that infra/local/*.in name, with their dependencies and hashes
	@$(PYTHON) infra/local/pins.py

recording: ## draw docs/setup.svg: a session of `jitgate setup` at a terminal
	$(LOCAL) recording

simulation: ## simulate how long jobs wait, and write docs/SIMULATION.md; takes some minutes
	cargo run --profile bench -p jitgate-tests --example simulate >/dev/null

lint: ## check the template, the Terraform module, workflows, documents and Python files
	$(LOCAL) lint

bench: ## measure the release binaries, and write the tables of docs/PERFORMANCE.md; takes half an hour
	$(LOCAL) bench

image: ## build the runner images, and print what a task pulls of each
	@$(PYTHON) infra/image/build.py

try-docker: ## try in a real account, on the stack $STACK, what no emulator shows of Docker
	@$(PYTHON) infra/image/try_docker.py
