#!/usr/bin/env python3
"""What rolling snapshots cost: the same events decided about with and without, in turns.

    load-tests/snapshot_cost.py [--events 3000000] [--accounts 1000000] [--pairs 2]

Generated events of uniformly drawn accounts on the embedded log. The rate is that of the middle of a run, by
weir's own counter; the time a worker is held comes from its histogram, as the upper end of the bucket that
the quantile is in. Exit code 0 only if p99 is at most 5 ms, nothing is above 25 ms (the bucket that 20 ms
is in), and the rate falls by less than a tenth.
"""

import argparse
import re
import shutil
import statistics
import sys
import time

from kafka_lib import ROOT, Failed, build, concluded
from restore import answer, metric, run, start

PATIENCE_S = 1_800


def held(text):
    """Upper ends, in milliseconds, of the buckets of the 99th percentile and of the longest."""
    found = re.findall(r'weir_snapshot_hold_duration_seconds_bucket\{le="([^"]+)"\} (\d+)', text)
    buckets = [(float(le), int(count)) for le, count in found]
    if not buckets or not buckets[-1][1]:
        return None
    total = buckets[-1][1]
    upper = lambda share: next(le * 1000 for le, count in buckets if count >= share * total)  # noqa: E731
    return upper(0.99), upper(1), total


def once(args, work, loaded, port, enabled):
    data, folder = work / "data", work / "topology"
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(loaded, data)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "topology", folder)
    with open(folder / "weir.toml", "a") as file:
        file.write(f"\n[snapshots]\nenabled = {str(enabled).lower()}\n")
    process = start(folder, data, port, work / "weir.log")
    began = time.monotonic()
    # the first part fills the tables, the last may be cut short
    marks, last = [args.events * 0.4, args.events * 0.95], ""
    at = []
    while len(at) < 2:
        if process.poll() is not None or time.monotonic() - began > PATIENCE_S:
            raise Failed(f"weir ended with {process.returncode}, or does not get on")
        done, now = metric(port, "weir_records_received_total"), time.monotonic()
        if done >= marks[len(at)]:
            at.append((now, done))
        time.sleep(0.05)
    last = answer(port, "/metrics") or ""
    process.kill()
    process.wait()
    (since, first), (until, second) = at
    return (second - first) / (until - since), held(last)


def prove(args, work):
    loaded, port = work / "loaded", 31_000
    run("generate", "--to-topics", "--count", args.events, "--accounts", args.accounts, "--topology", ROOT / "topology", "--data", loaded)
    print(f"{args.events:,} events of {args.accounts:,} accounts", flush=True)
    rates = {True: [], False: []}
    worst = []
    for _ in range(args.pairs):
        for enabled in (False, True):
            rate, hold = once(args, work, loaded, port, enabled)
            rates[enabled].append(rate)
            if enabled:
                if not hold:
                    raise Failed("no shard was copied: more events are needed")
                worst.append(hold)
            told = f", held at most {hold[0]:.1f} ms at p99, {hold[1]:.1f} at worst, {hold[2]:,} times" if hold else ""
            print(f"   {'with' if enabled else 'without':8} {rate:>10,.0f} events/s{told}", flush=True)
    ratio = statistics.median(rates[True]) / statistics.median(rates[False])
    p99, most = max(hold[0] for hold in worst), max(hold[1] for hold in worst)
    print(f"rate with snapshots, of that without: {ratio:.2f}; held: p99 at most {p99:.1f} ms, worst at most {most:.1f} ms")
    if ratio < 0.9 or p99 > 5 or most > 25:
        raise Failed("expected a rate of at least 0.90, p99 of at most 5 ms, nothing above 25 ms")
    print("holds")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--no-build", action="store_true", help="the release build is there")
    args = parser.parse_args()
    build(args.no_build)
    return concluded(prove, args, "weir-snapshot-cost")


if __name__ == "__main__":
    sys.exit(main())
