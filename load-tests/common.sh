# Sourced by the scripts of this folder: builds, paths, a webhook stub that is always stopped.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# a relative folder is relative to where the script was called
case ${1:-} in
  "") DATA_SETS=../shared/data ;;
  /*) DATA_SETS=$1 ;;
  *) DATA_SETS=$OLDPWD/$1 ;;
esac
TARGET=${CARGO_TARGET_DIR:-target}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/weir-load.XXXXXX")
STUB_PID=
trap 'status=$?; [ -z "$STUB_PID" ] || kill "$STUB_PID" 2>/dev/null || true; if [ $status -eq 0 ]; then rm -rf "$WORK"; else echo "kept: $WORK"; fi; exit $status' EXIT

say() { printf '\n== %s\n' "$*"; }

# release, or dev: what tests are built as, with debug assertions and checked arithmetic
PROFILE=${WEIR_PROFILE:-release}
[ -n "${WEIR_BUILT:-}" ] || cargo build --quiet --profile "$PROFILE" --workspace
BIN=$TARGET/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")
WEIR=$BIN/weir
JUDGE=$BIN/weir-judge

# The shipped topology, with a webhook to the stub.
stub() {
  export WEIR_WEBHOOK_SECRET="whsec_$(head -c 24 /dev/urandom | base64)"
  python3 load-tests/webhook_stub.py --port 0 --log "$WORK/webhook.jsonl" "$@" > "$WORK/stub.port" &
  STUB_PID=$!
  for _ in $(seq 100); do [ -s "$WORK/stub.port" ] && break; sleep 0.05; done
  export WEIR_WEBHOOK_URL="http://127.0.0.1:$(grep -o '[0-9]*$' "$WORK/stub.port" | head -1)/hook"
  cp -r topology "$WORK/topology"
  cat >> "$WORK/topology/weir.toml" <<'TOML'
[[webhook]]
name = "stub"
url = "${WEIR_WEBHOOK_URL}"
secret = "${WEIR_WEBHOOK_SECRET}"
allow_private = true
backoff_ms = 20
backoff_max_ms = 500
TOML
}

# The mixed input onto the topics of a data folder.
load_mixed() {
  local replay=("$WEIR" --log warn replay --topology "$WORK/topology" --data "$1")
  "${replay[@]}" --map load-tests/maps/handbook.toml --limit "${HANDBOOK_ROWS:-200000}" "$DATA_SETS/handbook-transactions/transactions.csv.zst"
  "${replay[@]}" --map load-tests/maps/cloudwalk.toml "$DATA_SETS/cloudwalk-chargebacks/transactions.csv.zst"
  "${replay[@]}" --map load-tests/maps/online-retail.toml "$DATA_SETS/online-retail/invoice-lines.csv.zst"
  "${replay[@]}" --map load-tests/maps/multidogo.toml "$DATA_SETS/multidogo-finance/train.csv.zst" "$DATA_SETS/multidogo-finance/dev.csv.zst"
  "${replay[@]}" --map load-tests/maps/cfpb.toml "$DATA_SETS/cfpb-complaints/complaints-2015q1.csv.zst"
}

need_data() {
  if [ ! -d "$DATA_SETS" ]; then
    echo "no data sets in $DATA_SETS: nothing can be proved"
    exit 1
  fi
}
