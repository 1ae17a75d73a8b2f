#!/usr/bin/env python3
"""The store sink of weir against the CQL driver alone, on one cluster, in one run.

    scripts/services run --kafka --cassandra -- load-tests/store_bench.py
    scripts/services run --kafka --cassandra -- load-tests/store_bench.py --decisions 20000 --pairs 1

weir decides about events; then its store sink alone takes the decisions from the topic into the
tables. In turns with it the bare loop writes as many rows of the same size with as many statements
under way. weir's rate is that of the whole process, its start included.

The last line is

    store, ratio to the bare loop: R
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from kafka_lib import BIN, CHILDREN, ROOT, Failed, build, concluded

PATIENCE_S = 900
ALIVE_S = 0.2


def run(words):
    """What a program says on its standard output."""
    process = CHILDREN.start(words, stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=PATIENCE_S)
    if process.returncode:
        raise Failed(f"{Path(str(words[0])).name} {words[1]} ended with {process.returncode}")
    return out.decode()


def topology(work, name, prefix, keyspace, in_flight):
    folder = work / f"topology-{name}"
    shutil.copytree(ROOT / "topology", folder)
    with open(folder / "weir.toml", "a") as file:
        file.write(f'\n[kafka]\nbrokers = "{os.environ["WEIR_TEST_BROKERS"]}"\nprefix = "{prefix}"\nprocess = "{name}"\n'
                   f'[store]\nnodes = "{os.environ["WEIR_TEST_CQL"]}"\nkeyspace = "{keyspace}"\nin_flight = {in_flight}\n'
                   'username = "${WEIR_TEST_CQL_USERNAME}"\npassword = "${WEIR_TEST_CQL_PASSWORD}"\n')
    return folder


def scrape(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            return answer.read().decode()
    except OSError:
        return None


def quantile(text, share):
    """Upper end of the bucket that a quantile of the statements is in, milliseconds."""
    found = re.findall(r'weir_store_statement_duration_seconds_bucket\{le="([^"]+)"\} (\d+)', text)
    buckets = [(float(le), int(count)) for le, count in found]
    if not buckets or not buckets[-1][1]:
        return None
    return next((le * 1000 for le, count in buckets if count >= share * buckets[-1][1]), None)


class Bench:
    def __init__(self, args, work):
        self.args, self.work = args, work
        self.number = 0

    def keyspace(self):
        self.number += 1
        return f"bench{os.getpid()}_{self.number}"

    def weir(self, *words):
        return [BIN / "weir", "--log", "warn", *words]

    def sink(self):
        """Decisions a second into the tables, and what its statements took."""
        keyspace = self.keyspace()
        prefix, data = f"{keyspace}.", self.work / keyspace
        folder = topology(self.work, keyspace, prefix, keyspace, self.args.in_flight)
        run(self.weir("topics", "create", "--topology", folder, "--partitions", 4))
        run(self.weir("generate", "--to-topics", "--count", self.args.decisions, "--topology", folder, "--data", data))
        run(self.weir("run", "--roles", "score", "--until-end", "--topology", folder, "--data", data))
        run(self.weir("store", "migrate", "--topology", folder))
        port = 20_000 + os.getpid() % 10_000
        began, last = time.monotonic(), None
        process = CHILDREN.start(self.weir("run", "--roles", "store,api", "--listen", f"127.0.0.1:{port}", "--until-end",
                                           "--topology", folder, "--data", data))
        while process.poll() is None:
            if time.monotonic() - began > PATIENCE_S:
                raise Failed("the sink did not come to the end")
            last = scrape(port) or last
            time.sleep(ALIVE_S)
        seconds = time.monotonic() - began
        if process.returncode:
            raise Failed(f"the sink ended with {process.returncode}")
        run([BIN / "weir-floor", "topics", "--brokers", os.environ["WEIR_TEST_BROKERS"], "--prefix", prefix, "--delete"])
        stored = re.search(r'weir_store_rows_total\{table="decision"\} (\d+)', last or "")
        if not stored or int(stored[1]) < self.args.decisions * 0.5:
            raise Failed(f"only {stored and stored[1]} decisions were seen being stored")
        return {"rate": self.args.decisions / seconds, "p50": quantile(last, 0.5), "p99": quantile(last, 0.99)}

    def floor(self):
        keyspace = self.keyspace()
        folder = topology(self.work, keyspace, f"{keyspace}.", keyspace, self.args.in_flight)
        run(self.weir("store", "migrate", "--topology", folder))
        text = run([BIN / "weir-floor", "--json", "store", "--keyspace", keyspace, "--decisions", self.args.decisions, "--bytes",
                    self.args.bytes, "--in-flight", self.args.in_flight])
        found = json.loads(text)
        return {"rate": found["decisions_per_second"], "p50": found["p50_ms"], "p99": found["p99_ms"]}


def middle(runs, name):
    values = [run[name] for run in runs if run[name] is not None]
    return statistics.median(values) if values else float("nan")


def show(what, runs):
    rates = [run["rate"] for run in runs]
    print(f"{what:26}{middle(runs, 'rate'):>12,.0f}{min(rates):>10,.0f}{max(rates):>10,.0f}{middle(runs, 'p50'):>10.1f}"
          f"{middle(runs, 'p99'):>10.1f}", flush=True)


def prove(args, work):
    bench = Bench(args, work)
    loops, sinks = [], []
    # the cluster compiles while it is young: a round that is not counted
    bench.floor()
    for _ in range(args.pairs):
        loops.append(bench.floor())
        sinks.append(bench.sink())
    print(f"\ninto the store, {args.decisions:,} decisions, {args.in_flight} statements under way; medians of {args.pairs} runs")
    print(f"{'':26}{'decisions/s':>12}{'from':>10}{'to':>10}{'p50 ms':>10}{'p99 ms':>10}")
    show("bare driver loop", loops)
    show("weir's store sink", sinks)
    print("(of weir the upper end of the bucket that the quantile is in)")
    print(f"\nstore, ratio to the bare loop: {middle(sinks, 'rate') / middle(loops, 'rate'):.2f}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=40_000)
    parser.add_argument("--bytes", type=int, default=900, help="of a decision's record in the bare loop")
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--no-build", action="store_true", help="the release build is there")
    args = parser.parse_args()
    for name in ("WEIR_TEST_BROKERS", "WEIR_TEST_CQL"):
        if name not in os.environ:
            parser.error(f"{name} is not set: call it inside scripts/services run --kafka --cassandra")
    build(args.no_build)
    return concluded(prove, args, "weir-store-bench")


if __name__ == "__main__":
    sys.exit(main())
