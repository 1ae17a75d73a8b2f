#!/usr/bin/env python3
"""The rate of weir against that of a bare librdkafka loop, on one broker, in one run.

    scripts/services run --kafka -- load-tests/bench.py
    scripts/services run --kafka -- load-tests/bench.py --quick

The same events are put on fresh topics for every run. The bare loop comes in two forms: it forwards
its input, or it writes the records and bytes that weir wrote for such input, already encoded. The
forms and weir take turns; a rate is that between 10 % and 90 % of the input, by committed positions.
Latency is that from the moment an event is due until its decision is read, at two rates. weir exports its
metrics and is asked for them, and for comparison runs without.

Everything shares one machine: only ratios within one run mean anything. The last line is

    ratio to the bare loop: R

with R = median rate of weir / median rate of the loop that writes the same output.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.request
from pathlib import Path

from kafka_lib import BIN, ROOT, build

RULES = 6
RUN_S, STOP_S = 600, 30
PORT, SCRAPE_S = 20_000 + os.getpid() % 10_000, 2
PASS, SAME, WEIR, PLAIN = "bare loop, pass-through", "bare loop, same output", "weir", "weir without metrics"


def stop(message):
    print(f"bench: {message}", file=sys.stderr)
    sys.exit(1)


class Bench:
    def __init__(self, args, work):
        self.args, self.work = args, work
        self.brokers = os.environ.get("WEIR_TEST_BROKERS") or stop("WEIR_TEST_BROKERS is not set: call it inside scripts/services run --kafka")
        pid = Path(os.environ.get("WEIR_TEST_SERVICES", "/nowhere"), "kafka.pid")
        # a broker in a container is not ours to look at
        self.broker_pid = int(pid.read_text()) if pid.is_file() else None
        self.tape, self.template = args.tape or work / "tape", args.template or work / "template"
        self.number = self.events = 0

    def prefix(self, what):
        self.number += 1
        return f"bench{os.getpid()}.{self.number}.{what}."

    def floor(self, verb, prefix, *options, deadline=RUN_S):
        command = [BIN / "weir-floor", "--json", verb, "--brokers", self.brokers, "--prefix", prefix, *map(str, options)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=deadline)
        if done.returncode:
            stop(f"weir-floor {verb} failed with {done.returncode}")
        return json.loads(done.stdout)

    def topology(self, prefix):
        """The shipped topology, with its log on this broker."""
        folder = self.work / f"topology-{prefix}"
        shutil.copytree(ROOT / "topology", folder)
        for rules in sorted((folder / "rules").glob("*.toml")):
            found = len(tomllib.loads(rules.read_text())["rule"])
            if found != RULES:
                stop(f"{rules.name} has {found} rules, expected {RULES}: figures could not be compared")
        file = folder / "weir.toml"
        # sections of the shipped file that are about Kafka give way to ours
        text = re.sub(r"(?ms)^\[+kafka\b.*?(?=^\[|\Z)", "", file.read_text())
        settings = "".join(f'"{name}" = "{value}"\n' for name, value in (item.split("=", 1) for item in self.args.producer))
        file.write_text(f'{text}\n[kafka]\nbrokers = "{self.brokers}"\nprefix = "{prefix}"\nprocess = "bench"\n'
                        + (f"[kafka.settings]\n{settings}" if settings else ""))
        return folder

    def weir(self, verb, topology, *options):
        return [BIN / "weir", "--log", "warn", verb, "--topology", topology, "--data", self.work / "data", *map(str, options)]

    def fresh(self, what):
        """Topics with the whole input on them."""
        prefix = self.prefix(what)
        self.floor("topics", prefix, "--partitions", self.args.partitions)
        self.events = self.floor("load", prefix, "--file", self.tape, "--exact")["sent"]
        return prefix

    def command(self, form, prefix, until_end):
        end = ["--until-end"] if until_end else []
        if form in (WEIR, PLAIN):
            # without a server nothing is exported, and what is counted goes nowhere
            roles = "score,api" if form == WEIR else "score"
            command = self.weir("run", self.topology(prefix), "--roles", roles, "--listen", f"127.0.0.1:{PORT}", *end)
            return command, f"{prefix}{self.args.weir_group}"
        group = f"{prefix}floor"
        options = ["--form", "same-output", "--template", self.template] if form == SAME else ["--form", "pass-through"]
        settings = [word for setting in self.args.producer for word in ("--producer", setting)]
        return [BIN / "weir-floor", "--json", "loop", "--brokers", self.brokers, "--prefix", prefix, "--group", group,
                *options, *settings, *end], group

    def start(self, command, log):
        out = open(log, "wb")
        return subprocess.Popen(list(map(str, command)), stdout=out, stderr=out)

    def failed(self, what, log):
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        stop(f"{what}; its last lines:\n{tail}")

    def flat_out(self, form, keep=False):
        prefix = self.fresh(form.split()[0])
        command, group = self.command(form, prefix, until_end=True)
        log = self.work / f"{prefix}log"
        process = self.start(command, log)
        scraper = threading.Thread(target=scrape, args=(process,), daemon=True)
        if form == WEIR:
            scraper.start()
        try:
            pids = [process.pid] + ([self.broker_pid] if self.broker_pid else [])
            watched = self.watch(prefix, group, pids, form, log, process)
            if reap(process, RUN_S) != 0:
                self.failed(f"{form} ended with {process.returncode}", log)
        finally:
            end(process)
        seen = {"rate": watched["per_second"], "cpu": watched["cpu_us_per_event"][0], "rss": process.rss_mb}
        seen["broker"] = watched["cpu_us_per_event"][1] if self.broker_pid else None
        if not keep:
            self.floor("topics", prefix, "--delete")
        say(f"  {form:26}{seen['rate']:>12,.0f}/s")
        return seen, prefix

    def watch(self, prefix, group, pids, form, log, process):
        command = [BIN / "weir-floor", "--json", "watch", "--brokers", self.brokers, "--prefix", prefix, "--group", group]
        for pid in pids:
            command += ["--pid", str(pid)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=RUN_S)
        if done.returncode:
            end(process)
            self.failed(f"{form} could not be watched", log)
        return json.loads(done.stdout)

    def latency(self, form, rate):
        prefix = self.prefix("late")
        self.floor("topics", prefix, "--partitions", self.args.partitions)
        command, _ = self.command(form, prefix, until_end=False)
        log = self.work / f"{prefix}log"
        process = self.start(command, log)
        try:
            time.sleep(2)
            found = self.floor("latency", prefix, "--file", self.tape, "--rate", rate, "--seconds", self.args.latency_seconds,
                               "--warmup", min(5, self.args.latency_seconds / 3))
            if process.poll() is not None:
                self.failed(f"{form} ended by itself with {process.returncode}", log)
        finally:
            end(process)
        self.floor("topics", prefix, "--delete")
        return found | {"rss": process.rss_mb}

    def prepare(self):
        args = self.args
        if not args.tape:
            say(f"{args.events:,} events, seed {args.seed}")
            prefix = self.prefix("seed")
            self.floor("topics", prefix, "--partitions", args.partitions)
            subprocess.run(list(map(str, self.weir("generate", self.topology(prefix), "--to-topics", "--count", args.events, "--seed", args.seed))),
                           check=True, timeout=RUN_S)
            taped = self.floor("record", prefix, "--out", self.tape)
            if taped["records"] != args.events:
                stop(f"{taped['records']} events are on the topics, expected {args.events}")
            self.floor("topics", prefix, "--delete")
        say("a round that is not counted: the broker compiles, and weir's output is sampled")
        self.flat_out(PASS)
        if args.template:
            self.flat_out(SAME)
            return
        _, prefix = self.flat_out(WEIR, keep=True)
        self.floor("sample", prefix, "--out", self.template)
        self.floor("topics", prefix, "--delete")
        self.flat_out(SAME)


def scrape(process):
    """What Prometheus does, more often than it usually does."""
    while process.returncode is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=2) as answer:
                answer.read()
        except OSError:
            pass  # it begins, or has ended
        time.sleep(SCRAPE_S)


def say(message):
    print(message, flush=True)


def reap(process, deadline):
    """Waits for a process and notes the most memory it had."""
    until = time.monotonic() + deadline
    while process.returncode is None:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            process.rss_mb = usage.ru_maxrss / 1024
        elif time.monotonic() > until:
            return None
        else:
            time.sleep(0.02)
    return process.returncode


def end(process):
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            process.send_signal(number)
            reap(process, STOP_S)


def median(runs, name):
    values = [run[name] for run in runs if run[name] is not None]
    return statistics.median(values) if values else None


def cell(value, digits, width):
    return f"{value:>{width},.{digits}f}" if value is not None else f"{'-':>{width}}"


def print_rates(runs, events):
    say(f"\nflat out, {events:,} events; medians of {len(next(iter(runs.values())))} runs")
    say(f"{'':26}{'events/s':>10}{'from':>10}{'to':>10}{'CPU µs/event':>14}{'broker':>8}{'RSS MB':>8}")
    for form, seen in runs.items():
        rates = [run["rate"] for run in seen]
        say(f"{form:26}{cell(median(seen, 'rate'), 0, 10)}{cell(min(rates), 0, 10)}{cell(max(rates), 0, 10)}"
            f"{cell(median(seen, 'cpu'), 2, 14)}{cell(median(seen, 'broker'), 2, 8)}{cell(max(run['rss'] for run in seen), 0, 8)}")


def print_latency(found):
    say(f"\nfrom due to decided, ms{'':3}{'events/s':>10}{'p50':>10}{'p99':>10}{'p99.9':>10}{'max':>10}{'missing':>9}{'sent late':>11}{'RSS MB':>8}")
    for form, seen in found:
        times = "".join(cell(seen[name], 1, 10) for name in ("p50_ms", "p99_ms", "p999_ms", "max_ms"))
        say(f"{form:26}{seen['rate']:>10,.0f}{times}{seen['missing']:>9}{seen['sent_latest_ms']:>11.1f}{seen['rss']:>8.0f}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=5, help="runs of each form")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--latency-seconds", type=float, default=30, help="of each latency run; 0: none")
    parser.add_argument("--quick", action="store_true", help="one run of each on 200,000 events, latency for 8 s")
    parser.add_argument("--producer", action="append", default=[], metavar="NAME=VALUE", help="a setting of librdkafka, for weir and the loop alike")
    parser.add_argument("--weir-group", default="weir.score", help="weir's consumer group, without the prefix")
    parser.add_argument("--tape", type=Path, metavar="FILE", help="input of weir-floor record, instead of new events")
    parser.add_argument("--template", type=Path, metavar="FILE", help="of weir-floor sample; with --tape the loop is measured without weir")
    parser.add_argument("--no-build", action="store_true", help="the release build is there")
    args = parser.parse_args()
    if args.template and not args.tape:
        parser.error("--template needs --tape")
    if args.quick:
        args.events, args.pairs, args.latency_seconds = min(args.events, 200_000), 1, min(args.latency_seconds, 8)
    return args


def main():
    args = parse()
    # the way out of a signal is that of an error: whatever was started is ended
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    build(args.no_build)
    with tempfile.TemporaryDirectory(prefix="weir-bench.") as work:
        bench = Bench(args, Path(work))
        bench.prepare()
        forms = [PASS, SAME] + ([] if args.template else [WEIR, PLAIN])
        runs = {form: [] for form in forms}
        for number in range(args.pairs):
            say(f"round {number + 1} of {args.pairs}")
            # nobody always comes after the same one
            for form in forms[number % len(forms):] + forms[:number % len(forms)]:
                runs[form].append(bench.flat_out(form)[0])
        late = []
        if args.latency_seconds:
            half = round(median(runs[forms[-1] if args.template else WEIR], "rate") / 2, -3)
            for rate in (2_000, half):
                for form in forms[1:3]:
                    late.append((form, bench.latency(form, rate)))
        print_rates(runs, bench.events)
        if late:
            print_latency(late)
        lost = sum(seen["missing"] for _, seen in late)
        if lost:
            stop(f"{lost} decisions were not seen")
        if WEIR in runs:
            cost = 1 - median(runs[WEIR], "rate") / median(runs[PLAIN], "rate")
            say(f"\nwhat metrics cost, exported and asked for every {SCRAPE_S} s: {cost:.1%} of the rate")
            say(f"\nratio to the bare loop: {median(runs[WEIR], 'rate') / median(runs[SAME], 'rate'):.2f}")


if __name__ == "__main__":
    try:
        main()
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        stop(error)
