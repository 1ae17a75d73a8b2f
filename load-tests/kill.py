#!/usr/bin/env python3
"""Runs weir and kills it with SIGKILL at moments drawn by committed position, one in each part of
the input, then lets it end. Exit code 0 only if it ends well and at least half of the kills hit an
open transaction.

    load-tests/kill.py --data DIR --kills 10 --seed 1 --log weir.log -- weir run --until-end ...

The command must log weir::stage::committer at debug: its last line says whether a transaction was
open when the process died.
"""

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

INPUTS = ("labels", "disputes", "chats", "invoices", "transactions")


def connect(data):
    return sqlite3.connect(f"file:{data}/weir.db?mode=ro", uri=True, timeout=10)


def total(db):
    """Input records on the log."""
    names = ",".join(f"'{name}'" for name in INPUTS)
    query = f"SELECT coalesce(sum(b.count), 0) FROM batch b JOIN topic t ON t.id = b.id >> 55 WHERE t.name IN ({names})"
    return db.execute(query).fetchone()[0]


def committed(db):
    query = "SELECT coalesce(sum(next), 0) FROM position WHERE grp = 'weir.score'"
    return db.execute(query).fetchone()[0]


class Log:
    """Follows the process's log for the committer's lines."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.rest = b""
        self.open = False

    def read(self):
        data = self.rest + self.file.read()
        lines = data.split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            if b"transaction opened" in line:
                self.open = True
            elif b"transaction committed" in line:
                self.open = False
        return self.open


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", required=True)
    parser.add_argument("--deadline", type=float, default=600)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = [word for word in args.command if word != "--"]
    rng = random.Random(args.seed)
    db = connect(args.data)
    size = total(db)
    part = size / args.kills
    # not in the last tenth of a part: a batch may carry the position on before the signal arrives
    targets = [int(i * part + rng.random() * part * 0.9) for i in range(args.kills)]
    print(f"seed {args.seed}, {size} input records, kills at {targets}", flush=True)
    open(args.log, "ab").close()
    # a time-out from outside must not leave the process behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    hits = 0
    deadline = time.monotonic() + args.deadline
    for number, target in enumerate(targets, 1):
        log = Log(args.log)
        log.read()
        log.open = False
        with open(args.log, "ab") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            # until the position is reached, and from then on until a transaction is seen open
            patience = None
            while True:
                if process.poll() is not None:
                    print(f"kill {number}: the process ended by itself with {process.returncode}")
                    return 1
                if time.monotonic() > deadline:
                    print(f"kill {number}: the deadline of {args.deadline} s has passed")
                    return 1
                is_open = log.read()
                if committed(db) >= target:
                    patience = patience or time.monotonic() + 0.2
                    if is_open or time.monotonic() > patience:
                        break
                time.sleep(0.0005)
            os.kill(process.pid, signal.SIGKILL)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        was_open = log.read()
        hits += was_open
        at = committed(db)
        inside = (number - 1) * part <= at < number * part
        state = "in an open transaction" if was_open else "between transactions"
        print(f"kill {number:2}: wanted {target}, committed {at} ({'inside' if inside else 'OUTSIDE'} its part), {state}", flush=True)
    with open(args.log, "ab") as out:
        left = max(1.0, deadline - time.monotonic())
        code = subprocess.run(command, stdout=out, stderr=out, timeout=left).returncode
    print(f"{hits} of {args.kills} kills in an open transaction, the last run ended with {code}")
    return 0 if code == 0 and hits * 2 >= args.kills else 1


if __name__ == "__main__":
    sys.exit(main())
