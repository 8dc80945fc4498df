# Everything is set up by the commands themselves, below this folder.

PYTHON ?= python3
LOCAL = @$(PYTHON) infra/local

.PHONY: help demo test deployed up down reference lint simulation bench
help: ## what there is to do
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

demo: ## deploy everything to an emulator, run jobs through it, and show their way
	$(LOCAL) demo

test: ## every test: the workspace's, then the deployed stack's end to end
	$(LOCAL) test

deployed: ## only the deployed stack's tests, by template.yaml and by Terraform
	$(LOCAL) deployed

up: ## bring the stack up and leave it running
	$(LOCAL) up

down: ## end what `make up` left running
	$(LOCAL) down

reference: ## write the Terraform module's reference anew
	@$(PYTHON) infra/docs/terraform_reference.py

simulation: ## how long jobs wait in bursts and on whole days; writes docs/SIMULATION.md, takes some minutes
	cargo run --profile bench -p jitgate-tests --example simulate >/dev/null

lint: ## hold template.yaml and the local stack against their rules
	$(LOCAL) lint

bench: ## measure the release binaries, and write the table in docs/PERFORMANCE.md
	$(LOCAL) bench
