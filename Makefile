# One word for each thing a person does with this tree; the work is in tools/.
.DEFAULT_GOAL := build
.PHONY: help deps build demo test check-long check-coremltools check-adapters format lint docs plans python clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

deps: ## install compilers, libraries and Python packages (apt-get, pip); quick when all is there
	@tools/setup.sh

build: deps ## build/bin/millwright and everything else
	@tools/build.sh release

demo: deps ## build the command line tool, then inspect, run and evaluate a small language model
	@tools/build.sh release millwright_cli
	@tools/demo.sh

test: deps ## everything CI checks: lint, unit tests and suites, the tests under sanitizers, Python, Rust
	@tools/test.sh

check-long: ## slow tests, a BLAS, ARM, sanitizers, fuzzers (FUZZ_SECONDS=600 each), clang-tidy; CHECKS=run_blas ...: some
	@tools/setup.sh --check-long --blas --aarch64
	@tools/check_long.sh

check-coremltools: ## coremltools 9.0 loads every package that `convert` and `train` write
	@tools/check_coremltools.sh

check-adapters: ## PEFT and mlx-lm compute what `train --lora-rank` writes, and the other way round
	@tools/check_adapters.sh

format: deps ## format the C++ and Rust sources in place
	@tools/format.sh

lint: build ## formatting, include directions, sizes, paths in docs, tables of ops and of settings, clippy
	@tools/lint.sh

docs: build ## write docs/ops.md from the catalog, docs/settings.md and Python's classes from the settings
	@tools/ops_table.sh write
	@tools/settings_tables.sh write

plans: build ## write tests/data/plans: what each of some models is planned as
	@tools/plans.sh

python: build ## install the Python package into .deps/venv
	@tools/python.sh

clean: ## remove what was built; .deps stays
	rm -rf build build-aarch64 build-asan build-blas build-debug build-fuzz
