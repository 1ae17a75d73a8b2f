#!/usr/bin/env bash
# Memory over a quarter of an hour: 5,000 events a second on a fixed set of accounts, event time at ten
# times real time so that windows turn over. The resident memory of weir, sampled every five seconds,
# must stay within 10 % of what it is in the third minute.
#
#   load-tests/memory.sh [MINUTES]           default 15; starts a broker of its own
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${WEIR_TEST_BROKERS:-}" ]; then
  exec scripts/services run --kafka -- load-tests/memory.sh "$@"
fi
MINUTES=${1:-15}
TARGET=${CARGO_TARGET_DIR:-target}
WEIR=$TARGET/release/weir
WORK=$(mktemp -d "${TMPDIR:-/tmp}/weir-memory.XXXXXX")
PIDS=()
trap 'status=$?; kill "${PIDS[@]}" 2>/dev/null || true; wait 2>/dev/null || true; if [ $status -eq 0 ]; then rm -rf "$WORK"; else echo "kept: $WORK"; fi; exit $status' EXIT

[ -n "${NO_BUILD:-}" ] || cargo build --quiet --release
cp "$WEIR" "$WORK/weir"
cp -r topology "$WORK/topology"
cat >> "$WORK/topology/weir.toml" <<TOML

[kafka]
brokers = "$WEIR_TEST_BROKERS"
prefix = "memory."
process = "memory"
TOML
run=("$WORK/weir" --log warn)
"${run[@]}" topics create --partitions 4 --topology "$WORK/topology" > /dev/null
"${run[@]}" run --topology "$WORK/topology" --data "$WORK/data" --roles score,store > "$WORK/weir.log" 2>&1 &
WEIR_PID=$!
PIDS+=("$WEIR_PID")
# event time begins so long ago that it never passes the wall clock
start=$(date -u -d "-$((MINUTES * 10 + 10)) minutes" +%Y-%m-%dT%H:%M:%SZ)
"${run[@]}" generate --to-topics --count $((MINUTES * 60 * 5000)) --rate 5000 --density 500 --accounts 1000 \
  --start "$start" --topology "$WORK/topology" --data "$WORK/feed" 2> "$WORK/feed.log" &
PIDS+=("$!")
python3 - "$WEIR_PID" "$MINUTES" <<'PY'
import sys, time
pid, minutes = sys.argv[1], float(sys.argv[2])
began, samples = time.monotonic(), []
while (at := time.monotonic() - began) < minutes * 60:
    try:
        rss = next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS")) / 1024
    except (OSError, StopIteration):
        sys.exit(f"weir has ended after {at:.0f} s")
    samples.append((at, rss))
    if len(samples) % 12 == 0:
        print(f"minute {at / 60:5.1f}: {rss:7.1f} MB", flush=True)
    time.sleep(5)
base = [rss for at, rss in samples if 120 <= at < 180] or [samples[-1][1]]
base = sorted(base)[len(base) // 2]
rest = [rss for at, rss in samples if at >= 180] or base
low, high = min(rest), max(rest)
print(f"third minute {base:.1f} MB; after it {low:.1f} to {high:.1f} MB ({(low / base - 1) * 100:+.1f} % to {(high / base - 1) * 100:+.1f} %)")
sys.exit(0 if 0.9 * base <= low and high <= 1.1 * base else 1)
PY
grep -c . "$WORK/weir.log" | sed 's/^/lines in the log of weir: /' || true
