#!/usr/bin/env python3
"""How soon weir is ready again after kill -9, with a large state.

    load-tests/restore.py [--events 10000000] [--accounts 1000000]

Generated events are decided about on the embedded log, with snapshots at the default interval; at a random
moment of the second half weir is killed. It is started again, and the time until /health/ready says yes is
taken. Printed with it: records read again, the snapshot's size, memory by account. Exit code 0 only if it
is ready within 20 s and within a tenth of the time that building the state had taken.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

from kafka_lib import BIN, CHILDREN, ROOT, Failed, build, concluded

PATIENCE_S = 1_800


def run(*words):
    process = CHILDREN.start([BIN / "weir", "--log", "warn", *words], stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=PATIENCE_S)
    if process.returncode:
        raise Failed(f"weir {words[0]} ended with {process.returncode}")
    return out.decode()


def answer(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as got:
            return got.read().decode()
    except OSError:
        return None


def metric(port, name):
    text = answer(port, "/metrics") or ""
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


def start(folder, data, port, log):
    words = [BIN / "weir", "--log", "info", "run", "--roles", "score,api", "--listen", f"127.0.0.1:{port}", "--topology", folder, "--data", data]
    with open(log, "ab") as out:
        return CHILDREN.start(words, stderr=out, stdout=out)


def ready_after(process, port, began):
    while answer(port, "/health/ready") is None:
        if process.poll() is not None:
            raise Failed(f"weir ended by itself with {process.returncode}")
        if time.monotonic() - began > PATIENCE_S:
            raise Failed("weir does not become ready")
        time.sleep(0.02)
    return time.monotonic() - began


def prove(args, work):
    folder, data, log = work / "topology", work / "data", work / "weir.log"
    shutil.copytree(ROOT / "topology", folder)
    with open(folder / "weir.toml", "a") as file:
        file.write("\n[snapshots]\n")
    port = 20_000 + os.getpid() % 10_000
    began = time.monotonic()
    run("generate", "--to-topics", "--count", args.events, "--accounts", args.accounts, "--topology", folder, "--data", data)
    print(f"{args.events:,} events of {args.accounts:,} accounts made in {time.monotonic() - began:.0f} s", flush=True)
    rng = random.Random(args.seed)
    until = int(args.events * rng.uniform(0.5, 0.95))
    began = time.monotonic()
    process = start(folder, data, port, log)
    ready_after(process, port, began)
    done, said = 0, 0
    while done < until:
        if process.poll() is not None:
            raise Failed(f"weir ended by itself with {process.returncode}")
        if time.monotonic() - began > PATIENCE_S:
            raise Failed(f"{done:,} events are decided about, expected {until:,}")
        time.sleep(0.2)
        done = metric(port, "weir_records_received_total") or done
        if done - said > args.events / 10:
            said = done
            print(f"   {done:,.0f} decided about, {metric(port, 'weir_snapshots_written_total'):.0f} snapshots", flush=True)
    built = time.monotonic() - began
    process.send_signal(signal.SIGKILL)
    process.wait()
    print(f"killed after {built:.0f} s with {done:,.0f} of them decided about (seed {args.seed})", flush=True)
    listing = json.loads(run("snapshot", "list", "--json", "--topology", folder, "--data", data))
    marker = log.stat().st_size
    began = time.monotonic()
    process = start(folder, data, port, log)
    took = ready_after(process, port, began)
    text = log.read_text(errors="replace")[marker:]
    applied = sum(int(count) for count in re.findall(r"partition restored.*?applied=(\d+)", text))
    process.send_signal(signal.SIGTERM)
    if process.wait(60):
        raise Failed(f"weir ended with {process.returncode} after SIGTERM")
    stats = json.loads(run("state", "stats", "--json", "--topology", folder, "--data", data))
    accounts = sum(part["accounts"] for part in stats["partitions"])
    size = sum(part["bytes"] for part in stats["partitions"])
    print(f"ready again after {took:.1f} s: {built / took:.0f} times as fast as it was built")
    print(f"records read again: {applied:,}")
    print(f"snapshots: {json.dumps(listing)[:600]}")
    print(f"{accounts:,} accounts, {size / max(accounts, 1):,.0f} bytes each; "
          f"{stats['profiles']['entities']:,} other entities, {stats['profiles']['bytes'] / max(stats['profiles']['entities'], 1):,.0f} bytes each")
    if took > 20 or took > built / 10:
        raise Failed(f"ready after {took:.1f} s, expected at most 20 s and {built / 10:.1f} s")
    print("holds")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", 1)), help="where the kill falls; default: SEED, else 1")
    parser.add_argument("--no-build", action="store_true", help="the release build is there")
    args = parser.parse_args()
    build(args.no_build)
    return concluded(prove, args, "weir-restore")


if __name__ == "__main__":
    sys.exit(main())
