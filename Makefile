# Everything that people and CI run. Each target sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The seed of the property tests. It is fixed, so that every run has the same cases.
SEED ?= 1
# One process for each core, each with files that follow one another: what a file has made for its
# tests is made once. At the end, a process that is done takes tests from another.
IN_PROCESSES := --numprocesses logical --maxprocesses 4 --dist worksteal

# Of other systems, whose code `make lint` doesn't compile here. The first has NEON as well.
TARGETS := aarch64-apple-darwin x86_64-pc-windows-gnu

.PHONY: help demo test test-rust test-python test-integrations test-slow coverage coverage-rust coverage-python test-aarch64 test-wheel gpu gpu-packages docs lint check-targets msrv format bench wheel licences audit clean nasm build fuzz mutants

help: ## List these commands
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1@\2/p' $(MAKEFILE_LIST) | column -t -s @

demo: build ## Draw view pairs, time the loader beside timm's, train a small model on your CPU (SEEDS=1 is quickest)
	$(BIN)/tied-augment demo $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SECONDS),--seconds $(SECONDS))

test: test-rust test-python ## Run the tests (5 minutes on two cores, once compiled)

test-rust: nasm ## Run the tests of the Rust core, which need no Python
	PROPTEST_RNG_SEED=$(SEED) cargo test --locked

test-python: build ## Run the tests of the Python package
	$(BIN)/pytest $(IN_PROCESSES)

test-integrations: build ## Run the tests of whole programs: train.py, examples, Ray, S3, Lightning
	$(BIN)/pytest -m "integration and not slow" $(IN_PROCESSES)

test-slow: build ## Run the long tests that `make test` leaves out (20 minutes)
	@$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/pytest -m slow

coverage: coverage-rust coverage-python ## Measure which lines and branches the tests reach

# Without optimization the tests take too long, hence the profile of `make mutants`. The model of the
# loader's queue takes a million steps. Of the Python tests, these reach most of the core.
CORE_TESTS := batch decode* fused fused_buffers fused_capsules fused_in_loss loader_arguments \
	loader_failures loader_sources malformed no_memory packed* policy_strings render samples view*
coverage-rust: export CARGO_TARGET_DIR := target/llvm-cov-target
coverage-rust: nasm $(VENV)/.made ## Measure the Rust half alone (8 minutes)
	rustup component add llvm-tools
	command -v cargo-llvm-cov >/dev/null || cargo install --locked cargo-llvm-cov
	set -e; eval "$$(cargo llvm-cov show-env --sh)"; cargo llvm-cov clean --workspace; \
	PROPTEST_RNG_SEED=$(SEED) cargo test --locked --profile mutants -- --skip loader::model; \
	$(BIN)/maturin build --quiet --locked --profile mutants --out $$CARGO_TARGET_DIR; \
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $$CARGO_TARGET_DIR/package \
		$$CARGO_TARGET_DIR/*.whl; \
	PYTHONPATH=$(CURDIR)/$$CARGO_TARGET_DIR/package $(BIN)/pytest \
		$(foreach name,$(CORE_TESTS),$(wildcard tests/python/test_$(name).py)); \
	cargo llvm-cov report --profile mutants --show-missing-lines

# Tests at the limits of threads and memory may fail while they are measured.
coverage-python: build ## Measure the Python half alone
	@$(BIN)/python -m pip install --quiet --group coverage
	$(BIN)/coverage erase
	-$(BIN)/coverage run -m pytest -m "not slow" $(IN_PROCESSES)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-aarch64: ## Build for 64-bit ARM and run the tests of pixels under qemu (Debian or Ubuntu; 20 minutes)
	PROPTEST_RNG_SEED=$(SEED) tests/aarch64/run.sh rust
	tests/aarch64/run.sh python

docs: build ## Build the site of the documentation into target/site/html (needs Python 3.11)
	@$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/python docs/site/build.py

# Nothing is built or installed, so that it runs without network (docs/gpu.md).
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
gpu: ## Test and time on a machine with an NVIDIA GPU, results into gpu-results (8 minutes)
	$(GPU_PYTHON) tests/gpu/run.py $(if $(OUT),--out $(OUT))

gpu-packages: wheel ## Collect what `make gpu` needs besides torch and timm into dist/, for a machine without network
	$(BIN)/python -m pip download --quiet --dest dist --only-binary :all: pytest pytest-timeout \
		scikit-image scikit-learn tqdm matplotlib nvidia-ml-py

lint: build ## Check format, style, types and stubs
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --features python -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=python $(BIN)/stubtest tied_augment._core

# Nothing is linked, so libjpeg is not compiled: that would take the C compiler of each system.
check-targets: export CC := true
check-targets: export AR := true
check-targets: export PYO3_NO_PYTHON := 1
check-targets: ## Check that the Rust code compiles for macOS and Windows
	rustup target add $(TARGETS)
	cargo clippy --locked --all-targets $(TARGETS:%=--target %) -- -D warnings
	cargo clippy --locked --features python $(TARGETS:%=--target %) -- -D warnings

msrv: MSRV = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
msrv: export PYO3_NO_PYTHON := 1
msrv: ## Check that the oldest Rust that Cargo.toml names compiles this
	rustup toolchain install $(MSRV) --profile minimal
	cargo +$(MSRV) check --locked
	cargo +$(MSRV) check --locked --features python

format: build ## Rewrite the sources in the house format
	cargo fmt
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: build ## Compare speeds with the peers on this machine, in one run
	cargo bench --locked
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python benches/peers.py
	$(BIN)/python benches/loader.py
	$(BIN)/python benches/ops.py
	$(BIN)/python benches/methods.py
	$(BIN)/python benches/fused_loss.py

# The C of libjpeg is checked as well. Its assembly is not. Undefined behaviour of C ends in a trap.
# To guide the fuzzer by every comparison takes up to three quarters of the time. It finds what a
# small corpus lacks; COMPARES=no leaves it out.
COMPARES ?= yes
$(if $(filter-out yes no,$(COMPARES)),$(error COMPARES must be yes or no, not $(COMPARES)))
SANITIZED := CC=clang CFLAGS="-fsanitize=address,undefined,fuzzer-no-link -fsanitize-trap=undefined \
	$(if $(filter no,$(COMPARES)),-fno-sanitize-coverage=trace-cmp)"
fuzz: build ## Fuzz every target for SECONDS (60) each, with sanitizers; needs nightly Rust, clang
	command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	$(BIN)/python fuzz/seeds.py
	set -e; for target in $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))); do \
		$(SANITIZED) cargo +nightly fuzz run $(if $(filter no,$(COMPARES)),--no-trace-compares) \
			$$target -- -max_len=6000 -timeout=20 \
			-max_total_time=$(or $(SECONDS),60) -print_final_stats=1; \
	done

mutants: build ## See that tests notice SAMPLE (20) random changes of FILES; TESTS chooses Python's tests
	command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants
	@$(BIN)/python -m pip install --quiet --group mutants
	$(BIN)/python tests/mutants.py --sample $(or $(SAMPLE),20) --tests "$(or $(TESTS),test_*.py)" \
		"$(or $(FILES),src/plan/*.rs src/policy/*.rs)"

wheel: nasm $(VENV)/.made ## Build a wheel for this machine into dist/
	$(BIN)/maturin build --release --locked --out dist

test-wheel: ## Run the Python tests against the newest wheel in dist/, in a venv of its own
	$(PYTHON) -m venv --clear target/wheel-venv
	target/wheel-venv/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	target/wheel-venv/bin/python -m pip install --quiet "$$(ls -t dist/*.whl | head -1)[demo]" --group dev
	target/wheel-venv/bin/python tests/smoke.py
	target/wheel-venv/bin/pytest --installed -m "not slow" $(IN_PROCESSES)

licences: ## Write the licences of the crates in a wheel into THIRD_PARTY.md
	command -v cargo-about >/dev/null || cargo install --locked cargo-about --features cli
	cargo about generate --locked --features python about.hbs --output-file THIRD_PARTY.md

audit: ## Check licences, sources and known faults of what a wheel needs and contains (asks GitHub and PyPI)
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked check
	$(PYTHON) -m venv --clear target/audit-venv
	target/audit-venv/bin/python -m pip install --quiet pip-audit zizmor
	target/audit-venv/bin/pip-audit .
	target/audit-venv/bin/zizmor --offline --quiet .github

clean: ## Remove what the other commands made
	rm -rf target dist $(VENV) tied-augment-demo python/tied_augment/*.so

build: nasm $(VENV)/.made
	@echo "Building the Rust core: 2 to 4 minutes the first time"
	@PIP_QUIET=1 $(BIN)/maturin develop --release --locked --quiet --extras demo

$(VENV)/.made: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@echo "Installing torch and other packages into $(VENV): on Linux 6 GB, most of it CUDA's." \
		"For 1 GB without CUDA: make TORCH_INDEX=(the index of torch's CPU wheels, see pytorch.org)"
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' 'maturin>=1.9,<2'
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install torch torchvision --index-url $(TORCH_INDEX))
	$(BIN)/python -m pip install $(if $(TERM),,--quiet) --group dev
	touch $@

# Without nasm libjpeg is built without SIMD and decodes 2.5 times slower. Only x86 needs it.
nasm:
	@case "$$(uname -m)" in x86_64|i?86|amd64) ;; *) exit 0;; esac; \
	command -v nasm >/dev/null && exit 0; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
	if command -v apt-get >/dev/null && \
	   $$sudo apt-get update -qq && $$sudo apt-get install -y -qq nasm >/dev/null; then exit 0; fi; \
	echo "warning: nasm is not installed and could not be; JPEG decoding will be slow" >&2
