# `make dev` starts everything on this machine; ARGS go to `tidings dev`.
# The build directory lies outside the checkout, so that copies of it share one.
export CARGO_TARGET_DIR := $(shell .ci/target)
CARGO ?= cargo

.PHONY: dev build test help

help:
	@echo "make dev [ARGS=...]  build, then start Kafka, Postgres and every role; Ctrl-C stops them"
	@echo "make build           build the tidings program"
	@echo "make test            everything that a change must pass"

# exec: Ctrl-C and the exit status belong to tidings itself.
dev: build
	@exec "$$CARGO_TARGET_DIR/debug/tidings" dev $(ARGS)

build:
	@$(CARGO) build --bin tidings

test:
	@exec .ci/test
