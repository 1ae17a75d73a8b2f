#!/usr/bin/env python3
"""Whether anybody notices that the store stands still: 5,000 events/s through weir while Cassandra is
stopped (SIGSTOP) for five minutes.

    load-tests/store_paused.py [--minutes 5] [--rate 5000]

Latency is that from the moment an event is due until its decision is read, by weir-floor: for a minute
without a store, for one with the store at work, then for as long as it is stopped, then for a minute
while the sink catches up.
Memory is sampled all the time. Then the sink is watched catching up, at the rate that is printed. Exit
code 0 only if the p99 while the store stands still is at most that without any store plus a half, memory
stays within 10 % of what it is after the first minute of the stop, and the sink catches up.
"""

import argparse
import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

from kafka_lib import BIN, CHILDREN, ROOT, Failed, build, cassandra, concluded
from store_bench import run, scrape, topology


class Watch(threading.Thread):
    """Samples resident memory and the sink's lag once a second."""

    def __init__(self, pid, port):
        super().__init__(daemon=True)
        self.pid, self.port, self.samples, self.stopped = pid, port, [], False

    def run(self):
        while not self.stopped:
            try:
                status = Path(f"/proc/{self.pid}/status").read_text()
            except OSError:
                return
            rss = re.search(r"VmRSS:\s+(\d+)", status)
            text = scrape(self.port) or ""
            lag = re.search(r'weir_sink_lag_records\{sink="store"\} (\S+)', text)
            if rss:
                self.samples.append((time.monotonic(), int(rss[1]) / 1024, float(lag[1]) if lag else None))
            time.sleep(1)

    def between(self, since, until):
        return [rss for at, rss, _ in self.samples if since <= at < until]

    def lag(self):
        return next((lag for _, _, lag in reversed(self.samples) if lag is not None), None)


def latency(prefix, tape, rate, seconds):
    text = run([BIN / "weir-floor", "--json", "latency", "--brokers", os.environ["WEIR_TEST_BROKERS"], "--prefix", prefix, "--file", tape,
                "--rate", rate, "--seconds", seconds, "--warmup", 5])
    return json.loads(text)


def line(what, found):
    print(f"{what:28}{found['p50_ms']:>9.1f}{found['p99_ms']:>9.1f}{found['p999_ms']:>9.1f}{found['max_ms']:>9.1f}{found['missing']:>9}", flush=True)


def without_store(args, work, weir, port, tape):
    """Nothing but scoring, on topics of its own: what the store must not change."""
    prefix = f"alone{os.getpid()}."
    folder = topology(work, "alone", prefix, "alone", 1)
    run([*weir, "topics", "create", "--topology", folder, "--partitions", 4])
    process = CHILDREN.start([*weir, "run", "--roles", "score,api", "--listen", f"127.0.0.1:{port}", "--topology", folder, "--data",
                              work / "data-alone"])
    time.sleep(3)
    found = latency(prefix, tape, args.rate, 60)
    line("no store at all", found)
    process.send_signal(signal.SIGTERM)
    if process.wait(60):
        raise Failed(f"weir ended with {process.returncode}")
    run([BIN / "weir-floor", "--json", "topics", "--brokers", os.environ["WEIR_TEST_BROKERS"], "--prefix", prefix, "--delete"])
    return found


def prove(args, work):
    prefix = f"paused{os.getpid()}."
    floor = [BIN / "weir-floor", "--json"]
    folder = topology(work, "paused", prefix, f"paused{os.getpid()}", 256)
    weir = [BIN / "weir", "--log", "warn"]
    port = 20_000 + os.getpid() % 10_000
    seed = f"seed{prefix}"
    tape = work / "tape"
    run([*floor, "topics", "--brokers", os.environ["WEIR_TEST_BROKERS"], "--prefix", seed, "--partitions", 4])
    source = topology(work, "seed", seed, "seed", 1)
    run([*weir, "generate", "--to-topics", "--count", 200_000, "--topology", source, "--data", work / "seed-data"])
    run([*floor, "record", "--brokers", os.environ["WEIR_TEST_BROKERS"], "--prefix", seed, "--out", tape])
    run([*floor, "topics", "--brokers", os.environ["WEIR_TEST_BROKERS"], "--prefix", seed, "--delete"])
    run([*weir, "topics", "create", "--topology", folder, "--partitions", 4])
    run([*weir, "store", "migrate", "--topology", folder])
    words = ["--listen", f"127.0.0.1:{port}", "--topology", folder, "--data", work / "data"]
    print(f"{args.rate:,}/s{'':22}{'p50 ms':>9}{'p99':>9}{'p99.9':>9}{'max':>9}{'missing':>9}", flush=True)
    alone = without_store(args, work, weir, port, tape)
    process = CHILDREN.start([*weir, "run", "--roles", "score,store,api", *words])
    watch = Watch(process.pid, port)
    watch.start()
    try:
        time.sleep(3)
        beside = latency(prefix, tape, args.rate, 60)
        line("store at work", beside)
        cassandra("pause")
        paused = time.monotonic()
        try:
            still = latency(prefix, tape, args.rate, args.minutes * 60)
        finally:
            cassandra("resume")
        resumed = time.monotonic()
        line("store stands still", still)
        behind = watch.lag() or 0
        after = latency(prefix, tape, args.rate, 60)
        line("store catches up", after)
        if process.poll() is not None:
            raise Failed(f"weir ended by itself with {process.returncode}")
        began, left = time.monotonic(), watch.lag() or 0
        while (lag := watch.lag()) is None or lag > 0:
            if process.poll() is not None:
                raise Failed(f"weir ended by itself with {process.returncode}, {watch.lag()} records left")
            if time.monotonic() - began > args.catch_up:
                break
            time.sleep(1)
        lag, seconds = watch.lag() or 0, time.monotonic() - began
        print(f"\n{behind:,.0f} records behind when the store went on, {left:,.0f} a minute of load later")
        print(f"catch-up rate: {(left - lag) / seconds:,.0f} records/s over {seconds:.0f} s without load; {lag:,.0f} left")
        if lag >= left > 0:
            raise Failed("the sink does not catch up")
        base = watch.between(paused + 60, paused + 90)
        rest = watch.between(paused + 60, resumed)
        low, high, base = min(rest), max(rest), sorted(base)[len(base) // 2]
        print(f"memory: {base:.1f} MB a minute into the stop, then {low:.1f} to {high:.1f} MB")
        process.send_signal(signal.SIGTERM)
        if process.wait(60):
            raise Failed(f"weir ended with {process.returncode}")
    finally:
        watch.stopped = True
        CHILDREN.close()
        run([*floor, "topics", "--brokers", os.environ["WEIR_TEST_BROKERS"], "--prefix", prefix, "--delete"])
    if alone["missing"] + beside["missing"] + still["missing"] + after["missing"]:
        raise Failed("decisions were not seen")
    if still["p99_ms"] > alone["p99_ms"] * 1.5:
        raise Failed(f"p99 is {still['p99_ms']:.1f} ms while the store stands still, expected at most {alone['p99_ms'] * 1.5:.1f}")
    if high > base * 1.1 or low < base * 0.9:
        raise Failed(f"memory is not flat: {low:.1f} to {high:.1f} MB, expected {base:.1f} MB within 10 %")
    print("holds: nobody but the store's own readers noticed")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5, help="for which the store stands still (at least 2)")
    parser.add_argument("--rate", type=int, default=5_000, help="events a second")
    parser.add_argument("--catch-up", type=float, default=120, metavar="SECONDS", help="that the sink is watched catching up")
    parser.add_argument("--no-build", action="store_true", help="the release build is there")
    args = parser.parse_args()
    build(args.no_build)
    if "WEIR_TEST_CQL" not in os.environ:
        door = str(ROOT / "scripts" / "services")
        os.execv(door, [door, "run", "--kafka", "--cassandra", "--", sys.executable, str(Path(__file__).resolve()), *sys.argv[1:]])
    return concluded(prove, args, "weir-paused")


if __name__ == "__main__":
    sys.exit(main())
