#!/usr/bin/env bash
# Bad input: one thousand scattered bad records among 100,000 end in dead letters with position,
# stage and code; six hundred in a row stop the process with its own exit code; once the cause is
# fixed, requeued records get their decisions. The judge agrees at each step.
#
#   load-tests/poison.sh
. "$(dirname "$0")/common.sh"
RUN=("$WEIR" --log warn run --topology "$WORK/topology" --roles score,store --until-end --data "$WORK/data")
cp -r topology "$WORK/topology"

say "one thousand scattered among 100,000"
"$WEIR" generate --count 100000 --seed "${SEED:-1}" --to-topics --topology "$WORK/topology" --data "$WORK/data"
load-tests/poison.py scatter --data "$WORK/data" --count 1000 --seed "${SEED:-1}" --expect "$WORK/expected"
"${RUN[@]}"
"$WEIR" dlq list --data "$WORK/data" --limit 2000 --json \
  | python3 -c 'import json,sys
for line in sys.stdin:
    d = json.loads(line)
    print("%s/%d@%d %s %s" % (d["topic"], d["partition"], d["offset"], d["stage"], d["code"]))' | sort > "$WORK/found"
sort "$WORK/expected" > "$WORK/expected.sorted"
diff "$WORK/expected.sorted" "$WORK/found"
echo "$(wc -l < "$WORK/found") dead letters, each where and why it was expected"
"$JUDGE" "$WORK/data"

say "six hundred in a row"
load-tests/poison.py run --data "$WORK/data" --count 600 --schema "$WORK/later.avsc"
status=0
"${RUN[@]}" || status=$?
if [ "$status" -ne 3 ]; then echo "exit code $status, expected 3"; exit 1; fi
"$WEIR" dlq list --data "$WORK/data" --code unknown_schema --limit 2

say "the cause is fixed, the rest is decided about, the dead letters are requeued"
mkdir -p "$WORK/topology/schemas"
cp "$WORK/later.avsc" "$WORK/topology/schemas/"
"${RUN[@]}"
"$WEIR" dlq requeue --code unknown_schema --topic chats --topology "$WORK/topology" --data "$WORK/data"
"${RUN[@]}"
"$JUDGE" "$WORK/data" --late-schemas "$WORK/topology/schemas"
decided=$("$WEIR" explain --all --verify --json --data "$WORK/data")
echo "decided again: $decided"
later=$(sqlite3 "$WORK/data/weir.db" "SELECT count(*) FROM decision WHERE account_id = 'later'" 2>/dev/null \
  || python3 -c 'import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM decision WHERE account_id = ?", ("later",)).fetchone()[0])' "$WORK/data/weir.db")
if [ "$later" -ne 600 ]; then echo "$later decisions of the later producer, expected 600"; exit 1; fi
echo "600 of 600 have their decisions"
say "proved"
