# The one door: everything that is done to weir is done through a recipe here.

CARGO ?= cargo
DATA_SETS ?= ../shared/data

.PHONY: demo test lint unit prove prove-kafka memory crash bench engine detection store-paused restore handbook steps

## decisions on simulated events, with a page at http://127.0.0.1:8080/
demo:
	$(CARGO) run --release -- demo

## everything: format, lints, unit and property tests, crash points, proofs on real servers and input
# one build for tests and proofs: half the time, and the proofs have debug assertions and checked arithmetic
test: export WEIR_PROFILE = dev
test: lint unit prove

## format, clippy, licences
lint:
	$(CARGO) fmt --all --check
	scripts/check-deploy && scripts/check-deploy --self-test
	scripts/check-dashboards && scripts/check-dashboards --self-test
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	  $(CARGO) deny check bans licenses sources; \
	else echo "cargo-deny is not installed: licences not checked (cargo install cargo-deny)"; fi

## unit, property and integration tests on real servers, with 2,000 seeded crash runs
unit:
	$(CARGO) test --workspace --no-run
	scripts/services run -- env WEIR_CRASH_RUNS=2000 $(CARGO) test --workspace

## the judge's proofs, through the release build if called for itself; the mixed input needs the public data sets
prove:
	load-tests/poison.sh
	@if [ -d "$(DATA_SETS)" ]; then load-tests/mixed.sh "$(DATA_SETS)"; \
	else echo "no data sets in $(DATA_SETS): load-tests/mixed.sh skipped"; fi
	@if [ -d "$(DATA_SETS)" ]; then HANDBOOK_ROWS=150000 load-tests/handbook.sh "$(DATA_SETS)"; \
	else echo "no data sets in $(DATA_SETS): load-tests/handbook.sh skipped"; fi
	load-tests/mixed.sh --kafka --quick "$(DATA_SETS)"
	scripts/services run -- sh -ec 'load-tests/mixed.sh --kafka --store cassandra --quick "$$1"; \
	  load-tests/dashboards.py' sh "$(DATA_SETS)"

## every scenario on a real broker, with both protocols: about a quarter of an hour
prove-kafka:
	load-tests/mixed.sh --kafka "$(DATA_SETS)"
	load-tests/mixed.sh --kafka --store cassandra "$(DATA_SETS)"

## memory over a quarter of an hour
memory:
	load-tests/memory.sh

## 20,000 seeded crash runs
crash:
	WEIR_CRASH_RUNS=all $(CARGO) test --release --lib stage::tests::a_crash -- --nocapture

## what rules, lists and models cost
engine:
	$(CARGO) bench --bench expressions --bench lists --bench models

## how well fraud is told from the rest, on a public data set (Python with numpy and XGBoost, made once)
detection:
	load-tests/detection.sh "$(DATA_SETS)"

## weir against a bare librdkafka loop, five pairs; its store sink against the bare driver, three
bench:
	scripts/services run --kafka -- load-tests/bench.py
	scripts/services run --kafka --cassandra -- load-tests/store_bench.py

## whether anybody notices that the store stands still, over seven minutes
store-paused:
	load-tests/store_paused.py

## how soon weir is ready again after kill -9 with a million accounts, some five minutes
restore:
	load-tests/restore.py

## every feature of the public handbook data against the book's own, all rows; then paced through a broker
handbook:
	load-tests/handbook.sh "$(DATA_SETS)"
	load-tests/handbook.sh --kafka "$(DATA_SETS)"

## CPU time of each step and memory per account
steps:
	$(CARGO) bench --bench steps
