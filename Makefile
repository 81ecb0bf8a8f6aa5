# What a person types. `make` alone says what there is.

SHELL := /bin/bash
# Where rustup puts cargo, for shells that were never told.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help setup ui browser-test run image image-test lint test api-test bench bench-containers bench-ui fuzz clean

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## Install what building and running needs (Debian)
	@scripts/setup.sh

ui: ## Build the web UI, which the next build of the binary takes in
	@scripts/ui.sh build

browser-test: ## Drive a running appliance in Chromium; ARGS goes to Playwright
	@scripts/setup.sh test
	@scripts/ui.sh build
	@cargo build --locked --workspace --bins --quiet
	@scripts/as-root.sh scripts/ui.sh browser-test $(ARGS)

run: setup ## Build Palisade and show it at work; ARGS="--once" and others go to 'palisade lab'
	@scripts/ui.sh if-possible build
	@cargo build --locked --release -p palisade
	@exec scripts/as-root.sh "$(TARGET)/release/palisade" lab $(ARGS)

image: setup ## Make the container image, target/oci/palisade.tar; needs neither a container engine nor a registry
	@image/make.sh $(NAMES)

image-test: ## Test that image: its size, that it can be made again bit for bit, and its containers; builds it twice
	@scripts/setup.sh image-test
	@image/test.sh

lint: ## Check the formatting and the fuzz targets' lock file, and run clippy
	@cargo fmt --all --check
	@cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null
	@cargo clippy --locked --workspace --all-targets --quiet -- -D warnings

test: ## Install what the tests need, lint, and run the whole test suite
	@scripts/setup.sh test
	@scripts/ui.sh if-possible build
	@$(MAKE) --no-print-directory lint
	@scripts/test.sh

api-test: ## Ask the API everything that its description says can be asked; EXAMPLES=50 says how much of each
	@scripts/setup.sh test
	@cargo build --locked -p palisade
	@PALISADE_EXAMPLES=$(or $(EXAMPLES),50) scripts/cargo.sh test --locked -p palisade-tests --test schemathesis -- --nocapture

bench: ## Install what the benchmarks need, and run them; ARGS="--quick" and others go to the benchmark
	@scripts/setup.sh bench
	@cargo build --locked --release -p palisade
	@scripts/cargo.sh bench --locked -p palisade-tests --bench forwarding $(if $(ARGS),-- $(ARGS))
	@$(if $(ARGS),,$(MAKE) --no-print-directory bench-containers)

bench-containers: ## Only the benchmarks of the container image
	@scripts/setup.sh bench
	@image/make.sh
	@PALISADE_TEST_IMAGE=$(abspath $(TARGET))/oci/palisade.tar scripts/cargo.sh bench --locked -p palisade-tests --bench containers $(if $(ARGS),-- $(ARGS))

bench-ui: ## Measure how fast the web UI is, and what it costs the appliance
	@scripts/setup.sh test
	@scripts/ui.sh build
	@cargo build --locked --release -p palisade
	@PALISADE_BINARY=$(abspath $(TARGET))/release/palisade scripts/as-root.sh scripts/ui.sh measure $(ARGS)

fuzz: ## Fuzz the parsers; SECONDS_EACH=30 says for how long each
	@scripts/setup.sh test
	@tests/fuzz/run.sh

clean: ## Remove what was built
	@cargo clean
