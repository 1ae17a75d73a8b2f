#!/usr/bin/env bash
# The conformance cases of CEL against weir's rule compiler: what passed, what lies outside of what rules
# can use, by reason, and what gave something else than is expected.
#
#   load-tests/cel.sh [FILE]       default ../shared/data/cel-conformance/cases.jsonl
#   load-tests/cel.sh cases.jsonl
#
# FILE has one JSON object a line: file, section, name, expr, and value or evalError; bindings, typeEnv
# and disableCheck where they are needed. CEL_TIMEOUT_S (1800) bounds build and run.
# Exit codes: 0 no case failed (and of the default file enough are inside), 1 some failed, 2 wrong usage
# or no such file.
set -euo pipefail

case ${1:-} in
  -h | --help)
    sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
  -*)
    echo "unknown option $1, expected a file or --help" >&2
    exit 2
    ;;
esac
[ $# -le 1 ] || { echo "$# files, expected one" >&2; exit 2; }

if [ $# -eq 1 ]; then
  [ -r "$1" ] || { echo "$1: no such file, expected conformance cases as JSON lines" >&2; exit 2; }
  WEIR_CEL_CASES=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
  export WEIR_CEL_CASES
fi
cd "$(dirname "$0")/.."
timeout "${CEL_TIMEOUT_S:-1800}" cargo test --quiet --test cel_conformance -- --nocapture || exit 1
