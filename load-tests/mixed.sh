#!/usr/bin/env bash
# The main job on real input: payments, disputes, invoices and chats of public data sets through
# `weir run` on the embedded log, escalations to a webhook. Proved by the judge three times:
# undisturbed, with ten kills under live merge, and with ten kills under strict merge, where the
# decisions must be byte for byte those of the undisturbed run.
#
#   load-tests/mixed.sh [DATA_SETS]          default ../shared/data
#   load-tests/mixed.sh --kafka [...]        on a real broker, see --kafka --help
if [ "${1:-}" = --kafka ]; then
  shift
  exec "$(dirname "$0")/kafka_proof.py" "$@"
fi
. "$(dirname "$0")/common.sh"
need_data
stub --fail-rate 0.01
RUN=("$WEIR" --log "info,weir::stage::committer=debug" run --topology "$WORK/topology" --roles score,store,notify --until-end)

say "load"
load_mixed "$WORK/loaded"
for run in strict strict-killed live-killed; do cp -r "$WORK/loaded" "$WORK/$run"; done

say "undisturbed, strict merge"
time "${RUN[@]}" --merge strict --data "$WORK/strict" 2> "$WORK/strict.log"
"$JUDGE" "$WORK/strict" --webhook-log "$WORK/webhook.jsonl"
mv "$WORK/webhook.jsonl" "$WORK/webhook-strict.jsonl"

# the stub keeps its file open: a new one for each run, on the same port is not needed
for mode in live strict; do
  say "ten kills, $mode merge"
  kill "$STUB_PID" && wait "$STUB_PID" 2>/dev/null || true
  rm -rf "$WORK/topology" "$WORK/stub.port"
  stub --fail-rate 0.01
  time load-tests/kill.py --data "$WORK/$mode-killed" --seed "${SEED:-1}" --log "$WORK/$mode-killed.log" -- \
    "${RUN[@]}" --merge "$mode" --data "$WORK/$mode-killed"
  "$JUDGE" "$WORK/$mode-killed" --webhook-log "$WORK/webhook.jsonl"
  mv "$WORK/webhook.jsonl" "$WORK/webhook-$mode.jsonl"
done

say "strict merge: the same decisions with and without kills"
"$JUDGE" "$WORK/strict" --compare "$WORK/strict-killed"

say "decided again from their own records"
"$WEIR" explain --all --verify --limit "${VERIFY:-50000}" --data "$WORK/live-killed"
say "proved"
