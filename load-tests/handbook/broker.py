"""The same payments through a broker, paced, decided about by two processes that tell each other what
they did to terminals: there a profile is as old as a commit and its way take.

Payments and disputes are put on their topics in the order of their times, as they would have come.
"""

import heapq
import json
import os
import shutil
import sqlite3
import time

from book import DELAY_S, payments
from decisions import counted
from kafka_lib import BIN, CHILDREN, PARTITIONS, Failed, command, must

RATE = 10_000
PREFIX = "handbook."
# the store on the same two cores may end well after the input
STORE_PATIENCE_S = 900
END_S = 60
LOOK_S = 0.5


def iso(second):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def payment(row):
    number, second, customer, terminal, cents, _ = row
    return {"kind": "transaction", "tenant": "default", "account_id": f"cust-{customer}", "event_id": f"tx-{number}",
            "transaction_id": str(number), "event_time": iso(second), "card_id": f"card-{customer}",
            "merchant_id": f"term-{terminal}", "terminal_id": f"term-{terminal}", "amount_minor": cents, "currency": "EUR",
            "channel": "POS", "status": "AUTHORIZED"}


def dispute(row):
    number, second, customer, terminal, cents, _ = row
    opened = iso(second + DELAY_S)
    return {"kind": "dispute", "tenant": "default", "account_id": f"cust-{customer}", "event_id": f"dispute-{number}",
            "dispute_id": f"dispute-{number}", "transaction_id": str(number), "event_time": opened, "opened_at": opened,
            "network": "VISA", "reason_code": "10.4", "amount_minor": cents, "currency": "EUR", "stage": "CHARGEBACK",
            "merchant_id": f"term-{terminal}", "terminal_id": f"term-{terminal}", "card_id": f"card-{customer}",
            "transaction_time": iso(second)}


def write_events(path, folder, rows_max):
    """All events in the order of their times, a dispute before the payments of its second."""
    def rows():
        return (row for row in payments(folder) if row[0] < rows_max)

    disputes = ((row[1] + DELAY_S, 0, row) for row in rows() if row[5])
    all_payments = ((row[1], 1, row) for row in rows())
    with open(path, "w") as file:
        for _, is_payment, row in heapq.merge(disputes, all_payments):
            file.write(json.dumps(payment(row) if is_payment else dispute(row)) + "\n")


class Store:
    """The decisions that the store sink has written to a data folder."""

    def __init__(self, path):
        self.db = sqlite3.connect(f"{(path / 'weir.db').resolve().as_uri()}?mode=ro", uri=True, timeout=10)

    def close(self):
        self.db.close()

    def count(self):
        return self.db.execute("SELECT count(*) FROM decision").fetchone()[0]

    def counts(self):
        return {"decisions": self.count()}

    def payloads(self, _topic):
        yield from (record for record, in self.db.execute("SELECT record FROM decision"))


def topology(work, source):
    """The topology of the comparison, on a broker and paced."""
    folder = work / "topology"
    shutil.copytree(source, folder)
    (folder / "weir.toml").write_text("\n".join(
        ["[kafka]", f'brokers = "{os.environ["WEIR_TEST_BROKERS"]}"', f'prefix = "{PREFIX}"', 'process = "${WEIR_PROCESS}"', ""]))
    return folder


def decide(weir, source, sets, work, rows_max, total, show):
    """A store with a decision about every event."""
    places = topology(work, source)
    env = {name: os.environ | {"WEIR_PROCESS": name} for name in ("load", "a", "b")}
    # an earlier run may have been stopped
    command([BIN / "weir-floor", "topics", "--brokers", os.environ["WEIR_TEST_BROKERS"], "--prefix", PREFIX, "--delete"])
    must([weir, "--log", "warn", "topics", "create", "--topology", places, "--partitions", PARTITIONS], env["load"])
    write_events(work / "events.jsonl", sets, rows_max)
    show(f"{total:,} events written in the order of their times, {total / RATE:.0f} s of them at {RATE:,} a second")
    processes = []
    for name, roles in (("a", "score,store"), ("b", "score")):
        log = open(work / f"{name}.log", "ab")
        processes.append((name, CHILDREN.start([weir, "--log", "info", "run", "--topology", places, "--data", work / name,
                                                "--roles", roles], env=env[name], stdout=log, stderr=log)))
        log.close()
    loading = CHILDREN.start([weir, "--log", "warn", "replay", "--topology", places, "--data", work / "load", "--rate", RATE,
                              work / "events.jsonl"], env=env["load"])
    deadline, shown = time.monotonic() + total / RATE + STORE_PATIENCE_S, time.monotonic()
    while (stored := counted(lambda: Store(work / "a"), Store.count)) < total:
        time.sleep(LOOK_S)
        for name, process in (*processes, ("replay", loading)):
            ended = process.poll()
            if ended is not None and (name != "replay" or ended != 0):
                raise Failed(f"weir {name} ended with {ended}, see {work}")
        if time.monotonic() > deadline:
            raise Failed(f"{stored:,} of {total:,} decisions are stored in time, see {work}")
        if time.monotonic() - shown >= 5:
            shown = time.monotonic()
            show(f"stored: {stored:,} of {total:,}")
    for name, process in processes:
        process.terminate()
        if process.wait(END_S) != 0:
            raise Failed(f"weir {name} ended with {process.returncode} when asked to, see {work}")
    return Store(work / "a")
