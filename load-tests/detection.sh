#!/usr/bin/env bash
# How well weir tells fraud from the rest, on a public fraud data set: 1,236,698 payments and the disputes that
# follow from the frauds are decided about by the rules of load-tests/detection/topology; models are trained on a
# past week, and all are measured on four test weeks.
#
#   load-tests/detection.sh [DATA_SETS]            default ../shared/data; builds weir first
#   load-tests/detection.sh --weeks choice         on the weeks that rules and features were chosen on
#   load-tests/detection.sh --first 2018-08-08     on the weeks that begin on these days; may be said often
#   WEIR=target/release/weir load-tests/detection.sh   this weir, instead of building one
#   FEATURES=features.csv load-tests/detection.sh  measures a file that is there, without weir; keeps it
#
# What is measured, and what the candidates are: load-tests/detection/measure.py --help (needs numpy and xgboost-cpu).
# Those two come into a Python environment of their own (DETECTION_VENV, default target/detection-venv), which
# is made once and needs a package index. Takes about three minutes and 3 GB below TMPDIR.
#
# Exit codes: 0 it holds, or there is no data set; 1 it does not hold, or something failed; 2 wrong usage.
set -euo pipefail
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }
SETS=../shared/data
WEEKS=()
CALLED_IN=$PWD
cd "$(dirname "$0")/.."
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --weeks | --first) [ $# -ge 2 ] || { usage >&2; exit 2; }; WEEKS+=("$1" "$2"); shift 2 ;;
    -*) usage >&2; exit 2 ;;
    *) SETS=$(cd "$CALLED_IN" && realpath -m -- "$1"); shift ;;
  esac
done
# what is relative is relative to where the script was called
for name in FEATURES WEIR DETECTION_VENV; do
  [ -z "${!name:-}" ] || printf -v "$name" %s "$(cd "$CALLED_IN" && realpath -ms -- "${!name}")"
done

HERE=load-tests/detection
SET=$SETS/handbook-transactions
VENV=${DETECTION_VENV:-${CARGO_TARGET_DIR:-target}/detection-venv}
if [ ! -f "$SET/transactions.csv.zst" ] && [ -z "${FEATURES:-}" ]; then
  echo "skipped: $SET/transactions.csv.zst is not there"
  exit 0
fi
if ! "$VENV/bin/python" -c 'import numpy, xgboost' 2> /dev/null; then
  timeout 60 python3 -m venv "$VENV"
  timeout 600 "$VENV/bin/pip" install --quiet --disable-pip-version-check -r "$HERE/requirements.txt"
fi
# also says at once what is wrong with the weeks that were asked for
timeout 60 "$VENV/bin/python" "$HERE/measure.py" ${WEEKS[@]+"${WEEKS[@]}"} --self-test

if [ -z "${FEATURES:-}" ]; then
  if [ -z "${WEIR:-}" ]; then
    cargo build --quiet --release
    WEIR=${CARGO_TARGET_DIR:-target}/release/weir
  fi
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/weir-detection.XXXXXX")
  trap 'status=$?; rm -rf "$WORK"; exit $status' EXIT
  FEATURES=$WORK/features.csv
  timeout 1800 "$WEIR" --log warn backtest --topology "$HERE/topology" --data "$SET/transactions.csv.zst" \
    --map load-tests/maps/handbook.toml --map load-tests/maps/handbook-disputes.toml \
    --labels column:TX_FRAUD --resamples 0 --export "$FEATURES" > /dev/null
fi
timeout 1800 "$VENV/bin/python" "$HERE/measure.py" ${WEEKS[@]+"${WEEKS[@]}"} "$FEATURES"
