#!/usr/bin/env bash
# An S3 server for tests: starts MinIO on a free port of 127.0.0.1, makes a bucket, runs a command and
# stops MinIO whatever happens.
#
#   load-tests/minio.sh [--bucket NAME] -- COMMAND...
#
# The command finds in its environment WEIR_TEST_S3_ENDPOINT, WEIR_TEST_S3_BUCKET,
# WEIR_TEST_S3_ACCESS_KEY and WEIR_TEST_S3_SECRET_KEY. MinIO is the program that MINIO names, else the
# one in PATH; it is had with Go:
#
#   CGO_ENABLED=0 go install -ldflags='-s -w' github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
#
# Exit codes: the command's; 2 on a wrong command line; 70 when MinIO is not to be had or does not start.
#
# Example:
#
#   MINIO=~/go/bin/minio load-tests/minio.sh -- cargo test --test snapshot
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
wrong() { echo "minio.sh: $*; see --help" >&2; exit 2; }
refused() { echo "minio.sh: $*" >&2; exit 70; }

BUCKET=weir-test
while [ $# -gt 0 ]; do
  case $1 in
    -h|--help) usage; exit 0 ;;
    --bucket) [ $# -ge 2 ] || wrong "--bucket has no name"; BUCKET=$2; shift 2 ;;
    --) shift; break ;;
    *) wrong "unknown argument $1" ;;
  esac
done
[ $# -gt 0 ] || wrong "there is no command"
[[ $BUCKET =~ ^[a-z0-9][a-z0-9-]{2,62}$ ]] || wrong "bucket is $BUCKET, expected 3 to 63 of a-z, 0-9, -"

MINIO=${MINIO:-$(command -v minio || true)}
[ -n "$MINIO" ] || refused "no minio in PATH and MINIO is not set: --help says how it is had"
[ -x "$MINIO" ] || refused "MINIO is $MINIO, expected a program"

STATE=$(mktemp -d "${TMPDIR:-/tmp}/weir-minio.XXXXXX")
PID=
# nothing is left behind, and the exit code is the command's
finish() {
  status=$?
  trap - EXIT
  if [ -n "$PID" ] && kill "$PID" 2>/dev/null; then
    for _ in $(seq 50); do kill -0 "$PID" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$PID" 2>/dev/null || true
  fi
  [ -z "$PID" ] || wait "$PID" 2>/dev/null || true
  rm -rf "$STATE"
  exit $status
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

export WEIR_TEST_S3_BUCKET=$BUCKET
export WEIR_TEST_S3_ACCESS_KEY=weir-test
WEIR_TEST_S3_SECRET_KEY=$(python3 -c 'import secrets; print(secrets.token_hex(20))')
export WEIR_TEST_S3_SECRET_KEY
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export WEIR_TEST_S3_ENDPOINT=http://127.0.0.1:$PORT
# a folder in MinIO's data is a bucket: no client is needed to make one
mkdir -p "$STATE/data/$BUCKET"
MINIO_ROOT_USER=$WEIR_TEST_S3_ACCESS_KEY MINIO_ROOT_PASSWORD=$WEIR_TEST_S3_SECRET_KEY \
  MINIO_BROWSER=off MINIO_UPDATE=off CI=true HOME=$STATE \
  "$MINIO" server "$STATE/data" --address "127.0.0.1:$PORT" --quiet > "$STATE/log" 2>&1 &
PID=$!

ready() {
  python3 - "$WEIR_TEST_S3_ENDPOINT/minio/health/ready" <<'PY'
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    sys.exit(0 if opener.open(sys.argv[1], timeout=1).status == 200 else 1)
except OSError:
    sys.exit(1)
PY
}
for attempt in $(seq 100); do
  kill -0 "$PID" 2>/dev/null || { tail -5 "$STATE/log" >&2; refused "MinIO ended before it was ready"; }
  ready && break
  [ "$attempt" -lt 100 ] || { tail -5 "$STATE/log" >&2; refused "MinIO is not ready after 100 attempts"; }
  sleep 0.2
done

# in the background, so that a signal is answered at once and not when the command ends
"$@" <&0 &
COMMAND=$!
stop_command() { kill "$COMMAND" 2>/dev/null || true; exit "$1"; }
trap 'stop_command 129' HUP
trap 'stop_command 130' INT
trap 'stop_command 143' TERM
wait "$COMMAND"
