#!/usr/bin/env python3
"""Dashboards, alerts and recording rules on the real thing: weir between Kafka, a store and webhooks, scraped
by Prometheus with the repository's rules, and then every expression asked.

    scripts/services run -- load-tests/dashboards.py

Events flow for a minute, duplicates, late ones and bad records among them; one receiver of webhooks refuses
everything; a second process joins and leaves; an account is erased; weir is stopped in an open transaction until
the broker gives it up, so that its worker starts again. Then must hold:

    every expression of a panel has data, and so has every operand of an alert's or a rule's condition,
    but those in dashboards/empty.json, which must have none
    every name scraped is in the vocabulary, with its help, type and labels
    what waits is nothing once nothing is left to do; alerts that should fire, do
    a scrape while weir drains is answered whole or not at all

Environment: WEIR_TEST_BROKERS, WEIR_TEST_CQL (host:port), WEIR_TEST_CQL_USERNAME, WEIR_TEST_CQL_PASSWORD,
WEIR_TEST_PROMETHEUS and WEIR_TEST_PROMTOOL (paths of the programs). Exit code: 0 all holds, 1 it does not,
2 wrong use.
"""

import argparse
import http.client
import importlib.machinery
import importlib.util
import json
import math
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True

import kafka_lib  # noqa: E402
from kafka_lib import BIN, CHILDREN, PARTITIONS, Failed, Load, World, concluded, must, say, until  # noqa: E402
from kafka_scenarios import stop_in_transaction  # noqa: E402

ROOT = kafka_lib.ROOT
ENVIRONMENT = ("WEIR_TEST_BROKERS", "WEIR_TEST_CQL", "WEIR_TEST_CQL_USERNAME", "WEIR_TEST_CQL_PASSWORD",
               "WEIR_TEST_PROMETHEUS", "WEIR_TEST_PROMTOOL")
RATE = 300
LOAD_S = 60
# the least that weir takes; a transaction is given up by the broker within another 10 s
SESSION_S, TRANSACTION_S = 6, 5
ASLEEP_S = TRANSACTION_S + 12
START_S, CALM_S, DRAIN_S, ANSWER_S = 60, 60, 40, 10
SCRAPE_MS = 1000
# scraped every second, a rate over this has data
RATE_INTERVAL = "5s"
# a receiver that refuses everything
BROKEN = "broken"
# these wait for nobody once nothing is left to do
CALM = ("weir_lag_records", "weir_lag_seconds", "weir_lag_wait_seconds", "weir_records_in_flight",
        "weir_records_buffered", "weir_pressure_steps", "weir_sink_in_flight", "weir_sink_lag_records",
        "weir_sink_lag_seconds")
# alerts that the refusing receiver must cause, with the states that will do
ALERTED = {"WeirUndeliverable": ("firing",), "WeirBreakerOpen": ("pending", "firing")}
# what the run is for: without it, an expression that has data proves little
HAPPENED = (("weir_records_discarded_total", {}), ("weir_dead_letters_total", {"code": "conflicting_duplicate"}),
            ("weir_dead_letters_total", {"code": "card_number"}), ("weir_dead_letters_total", {"code": "undeliverable"}),
            ("weir_restarts_total", {}), ("weir_sink_errors_total", {"sink": BROKEN}), ("weir_store_rows_total", {}),
            ("weir_events_late_total", {}), ("weir_erasures_total", {}), ("weir_records_heard_total", {}))
# whoever keeps nothing of other entities hears no touches
PROFILED = """
[[feature]]
name = "merchant_payments_count_24h"
kind = "transaction"
key = "merchant"
aggregate = "count"
window = "24h"
"""
ROUTES = ("/", "/health/live", "/health/ready", "/api/decisions?limit=5", "/version", "/no/such/path")


def load_checks():
    """scripts/check-dashboards as a module: its reading of rules, dashboards and vocabulary is ours."""
    loader = importlib.machinery.SourceFileLoader("check_dashboards", str(ROOT / "scripts" / "check-dashboards"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_dashboards", loader))
    loader.exec_module(module)
    return module


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- what weir tells ------------------------------------------------------------------------------


def get(port, path):
    """Status and body; None where nobody answered at all. Half an answer is a failure."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
            return None
        # without a length an answer that was cut off looks like a whole one
        if answer.getheader("content-length") is None and not answer.chunked:
            raise Failed(f"{path} was answered {answer.status} with neither a length nor chunks")
        return answer.status, answer.read().decode()
    except (http.client.HTTPException, OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path} was answered by half: {error!r}") from None
    finally:
        connection.close()


SAMPLE = re.compile(r'(weir_\w+|\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\\n]|\\.)*)"')


class Exposition:
    """What one scrape says; every line must be understood."""

    def __init__(self, text):
        if not text.endswith("\n"):
            raise Failed(f"a scrape ends with {text[-40:]!r}, expected a whole line")
        self.help, self.type, self.samples = {}, {}, []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split(" ", 3)
            if line.startswith(("# HELP ", "# TYPE ")) and len(words) == 4:
                kept = self.help if words[1] == "HELP" else self.type
                if words[2] in kept:
                    raise Failed(f"line {number} of a scrape: a second {words[1]} of {words[2]}")
                kept[words[2]] = words[3].replace("\\n", "\n").replace("\\\\", "\\")
                continue
            found = SAMPLE.fullmatch(line)
            if line and not found:
                raise Failed(f"line {number} of a scrape is {line[:120]!r}, expected a sample")
            if found:
                self.samples.append((found[1], dict(LABEL.findall(found[2] or "")), self.number(found[3], number)))

    @staticmethod
    def number(text, number):
        try:
            return float(text)
        except ValueError:
            raise Failed(f"line {number} of a scrape has the value {text!r}, expected a number") from None

    def values(self, name, **wanted):
        return [value for found, labels, value in self.samples
                if found == name and all(labels.get(label) == text for label, text in wanted.items())]

    def check(self, metrics):
        """Against the vocabulary; the problems."""
        problems = set()
        for name, labels, _ in self.samples:
            metric = metrics.get(name)
            if metric is None:
                problems.add(f"{name} is scraped and not in the vocabulary")
                continue
            source = metric.source
            kind = "histogram" if name != source else metric.shape.lower()
            if self.type.get(source) != kind:
                problems.add(f"{source} has the type {self.type.get(source)}, expected {kind}")
            if self.help.get(source) != metric.help:
                problems.add(f"{source} has the help {self.help.get(source)!r}, expected {metric.help!r}")
            wanted = metric.labels - {"job", "instance"}
            if set(labels) != wanted:
                problems.add(f"{name} has the labels {sorted(labels)}, expected {sorted(wanted)}")
        return sorted(problems)


def scrape(port):
    """None where nobody answers."""
    answer = get(port, "/metrics")
    if answer is None:
        return None
    if answer[0] != 200:
        raise Failed(f"/metrics was answered {answer[0]}, expected 200")
    return Exposition(answer[1])


class Visitor:
    """Somebody who looks at every route, so that there are requests to count."""

    def __init__(self, port):
        self.port, self.stop = port, threading.Event()
        self.thread = threading.Thread(target=self.visit, daemon=True)
        self.thread.start()

    def visit(self):
        while True:
            for path in ROUTES:
                if self.stop.wait(0.25):
                    return
                try:
                    get(self.port, path)
                except Failed:
                    pass  # weir may be stopped; whether it answers is judged elsewhere

    def close(self):
        self.stop.set()
        self.thread.join(ANSWER_S + 5)


# ---- Prometheus -----------------------------------------------------------------------------------


class Prometheus:
    """A real one that scrapes weir each second and evaluates the rules as often."""

    def __init__(self, program, folder, target_port):
        folder.mkdir()
        self.port, self.log = free_port(), folder / "prometheus.log"
        rules = [str(path) for path in sorted((ROOT / "dashboards" / "rules").glob("*.yml"))]
        interval = f"{SCRAPE_MS}ms"
        # JSON is YAML too
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "rule_files": rules,
            "scrape_configs": [{"job_name": "weir", "static_configs": [{"targets": [f"127.0.0.1:{target_port}"]}]}]}))
        words = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
                 f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        with open(self.log, "ab") as out:
            self.process = CHILDREN.start([program, *words], stdout=out, stderr=out)
        until(self.answers, START_S, "Prometheus' start", 0.1)

    def alive(self):
        if self.process.poll() is not None:
            words = self.log.read_text(errors="replace").splitlines()[-3:]
            raise Failed(f"Prometheus ended with {self.process.returncode}: {' | '.join(words)}")

    def answers(self):
        self.alive()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, path, **words):
        """The data of an answer; Failed with Prometheus' own words where it refuses."""
        self.alive()
        form = urllib.parse.urlencode(words).encode() or None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", form, timeout=ANSWER_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Failed(json.load(error).get("error", str(error))) from None

    def has_data(self, expression, began, ended):
        """Whether any series had a number in that time."""
        result = self.ask("query_range", query=expression, start=f"{began:.3f}", end=f"{ended:.3f}", step="1")["result"]
        return any(not math.isnan(float(value)) for series in result for _, value in series["values"])

    def alerts(self):
        rules = [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
        sick = [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]
        if sick:
            raise Failed(f"rules that cannot be evaluated: {'; '.join(sick)}")
        return {rule["name"]: rule["state"] for rule in rules if rule["type"] == "alerting"}


# ---- what is run ----------------------------------------------------------------------------------


def prepare_topology(world):
    """The world's topology with a store, a receiver that refuses everything, and little patience."""
    path = world.topology / "weir.toml"
    text = path.read_text()
    limits = f"session_timeout_ms = {SESSION_S * 1000}\ntransaction_timeout_ms = {TRANSACTION_S * 1000}"
    for pattern, new in ((r"(?m)^\[kafka\]$", f"[kafka]\n{limits}"), (r"(?m)^wait_seconds = \d+", "wait_seconds = 1")):
        text, changed = re.subn(pattern, new, text)
        if changed != 1:
            raise Failed(f"{pattern!r} is {changed} times in {path}, expected once")
    text += "\n".join(["[[webhook]]", f'name = "{BROKEN}"', f'url = "{start_stub(world, BROKEN, 1.0)}"',
                       'secret = "${WEIR_WEBHOOK_SECRET}"', "allow_private = true", "attempts_max = 3", "backoff_ms = 20",
                       "backoff_max_ms = 500",
                       "[store]", 'nodes = "${WEIR_TEST_CQL}"', 'keyspace = "weir_dashboards"',
                       'username = "${WEIR_TEST_CQL_USERNAME}"', 'password = "${WEIR_TEST_CQL_PASSWORD}"', ""])
    path.write_text(text)
    with open(world.topology / "features.toml", "a") as file:
        file.write(PROFILED)
    world.stub_url = start_stub(world, "stub", 0.05)
    must([kafka_lib.BIN / "weir", "--log", "warn", "store", "migrate", "--topology", world.topology], world.env("load"))


def start_stub(world, name, fail_rate):
    """URL of a receiver of webhooks."""
    stub = CHILDREN.start(["load-tests/webhook_stub.py", "--port", 0, "--secret", world.stub_secret,
                           "--log", world.folder / f"{name}.jsonl", "--fail-rate", fail_rate], stdout=subprocess.PIPE)
    said = select.select([stub.stdout], [], [], START_S)[0]
    found = re.fullmatch(rb"(\d+)\s*", stub.stdout.readline()) if said else None
    if not found:
        raise Failed("the webhook stub did not start")
    return f"http://127.0.0.1:{int(found[1])}/hook"


def make_events(world, seed):
    """Two files with how many events each has: good ones; and duplicates of their beginning, bad and late ones."""
    good, count = world.folder / "events.jsonl", RATE * LOAD_S
    must([kafka_lib.BIN / "weir", "--log", "warn", "generate", "--count", count, "--accounts", 2000,
          "--fraud-share", 0.05, "--seed", seed, "--out", good])
    with open(good) as file:
        begin = [json.loads(line) for line, _ in zip(file, range(RATE * 5))]
    rng = random.Random(seed)
    again = rng.sample([event for event in begin if event["kind"] == "transaction"], 180)
    for number, event in enumerate(again):
        if number % 6 == 4:
            event["amount_minor"] += 1
        elif number % 6 == 5:
            event |= {"event_id": f"bad-{number}", "card_id": "4111111111111111"}
        elif number % 6 == 3:
            event |= {"event_id": f"late-{number}", "transaction_id": f"late-{number}",
                      "event_time": "2026-01-01T00:00:00.000Z"}
    other = world.folder / "again.jsonl"
    other.write_text("".join(json.dumps(event) + "\n" for event in again))
    return (good, count), (other, len(again))


def figures(weir, port):
    """A scrape of a process that must be there."""
    weir.alive()
    found = scrape(port)
    if found is None:
        raise Failed(f"process {weir.label} does not answer on /metrics: {weir.last_words()}")
    return found


def owned(weir, port):
    return sum(figures(weir, port).values("weir_partitions_owned"))


def run_course(world, weir, port, seed):
    """All that is done to weir, in order."""
    def ready():
        weir.alive()
        found = scrape(port)
        parts = found.values("weir_part_ready") if found else []
        return parts and all(parts) and sum(found.values("weir_partitions_owned")) == PARTITIONS

    (good, count), (other, bad) = make_events(world, seed)
    until(ready, START_S, "weir being ready", 0.2)
    load = Load(world, [([good], count)], RATE)
    time.sleep(8)
    spoilt = Load(world, [([other], bad)], 15)
    say("   a second process joins and leaves")
    second = world.weir("b", "score")
    until(lambda: second.alive() or owned(weir, port) < PARTITIONS, START_S, "the second process taking over", 0.2)
    time.sleep(2)
    second.end_well()
    until(lambda: owned(weir, port) == PARTITIONS, START_S, "the first process having all partitions again", 0.2)
    spoilt.wait()
    with open(good) as file:
        first = json.loads(file.readline())
    say(f"   account {first['account_id']} is erased")
    must([kafka_lib.BIN / "weir", "--log", "warn", "erase", "--topology", world.topology, "--yes", "--account",
          f"{first['tenant']}/{first['account_id']}"], world.env("load"))
    say("   a flag is set and set back")
    # the first of a histogram is not seen to rise
    for count, words in enumerate((("set", "proof", "true"), ("reset", "proof")), 1):
        must([kafka_lib.BIN / "weir", "--log", "warn", "flags", *words, "--topology", world.topology, "--data",
              world.folder / "pen"], world.env("load"))
        until(lambda least=count: sum(figures(weir, port).values("weir_policy_changes_total")) >= least, START_S,
              "a change that was taken up", 0.2)
        time.sleep(3 * SCRAPE_MS / 1000)
    say(f"   weir is stopped in a transaction for {ASLEEP_S} s")
    stop_in_transaction(weir)
    try:
        time.sleep(ASLEEP_S)
    finally:
        weir.signal(signal.SIGCONT)
    until(lambda: sum(figures(weir, port).values("weir_restarts_total")) > 0, START_S, "a restart after the stop", 0.2)
    load.wait()
    wait_calm(weir, port)


def busy(found):
    """What still waits, the refusing receiver aside."""
    return [f"{name}{labels} is {value:g}" for name, labels, value in found.samples
            if name in CALM and value and labels.get("sink") != BROKEN]


def wait_calm(weir, port):
    """Nothing is left to do, and what weir tells says so."""
    deadline = time.monotonic() + CALM_S
    while left := busy(figures(weir, port)):
        if time.monotonic() > deadline:
            raise Failed(f"{CALM_S} s after the last event weir still says that something waits: {'; '.join(left[:8])}")
        time.sleep(0.5)


def drain(weir, port):
    """SIGTERM, and scrapes until the process is gone: how many were answered."""
    weir.alive()
    weir.gone = True
    deadline = time.monotonic() + DRAIN_S
    weir.process.terminate()
    answered = 0
    while weir.process.poll() is None:
        answered += scrape(port) is not None
        if time.monotonic() > deadline:
            raise Failed(f"weir did not end within {DRAIN_S} s of SIGTERM: {weir.last_words()}")
        time.sleep(0.01)
    if weir.process.returncode != 0:
        raise Failed(f"weir ended with {weir.process.returncode} after SIGTERM: {weir.last_words()}")
    if not answered:
        raise Failed("no scrape was answered while weir drained, expected the first at least")
    return answered


# ---- what must hold -------------------------------------------------------------------------------


class Judge:
    """Asks Prometheus for everything that dashboards and rules ask it for."""

    def __init__(self, checks, vocabulary, prometheus, began, ended):
        self.checks, self.prometheus, self.window = checks, prometheus, (began, ended)
        self.problems, self.asked, self.excused = [], 0, 0
        findings = checks.Findings()
        self.metrics, self.rules, self.dashboards = checks.load(ROOT, vocabulary, findings)
        if findings.all:
            raise Failed(f"scripts/check-dashboards has {len(findings.all)} findings, expected none: {findings.all[0]}")
        empty = json.loads((ROOT / "dashboards" / "empty.json").read_text())
        self.empty = {entry["metric"]: entry for entry in empty["metrics"]}
        self.empty_expressions = {entry["expr"]: entry for entry in empty["expressions"]}
        # what is recorded of an empty metric is empty too
        self.may_be_empty = set(self.empty)
        for place, _, tree in self.rules.expressions:
            name = place.rsplit(": ", 1)[1]
            if name in self.rules.recorded and self.reads_empty(tree):
                self.may_be_empty.add(name)

    def reads_empty(self, tree):
        names = {found.name for found in self.checks.selectors(tree)}
        return any(name in self.may_be_empty or self.metrics[name].source in self.may_be_empty for name in names)

    def has_data(self, text):
        self.asked += 1
        text = text.replace("$__rate_interval", RATE_INTERVAL).replace("$job", ".*").replace("$instance", ".*")
        return self.prometheus.has_data(text, *self.window)

    def require(self, place, text, tree):
        """An expression that must have data, unless something says that it has none."""
        text = " ".join(text.split())
        try:
            if self.has_data(text):
                return
        except Failed as error:
            self.problems.append(f"{place}: Prometheus refuses it: {error}\n    {text}")
            return
        if text in self.empty_expressions or self.reads_empty(tree):
            self.excused += 1
        else:
            self.problems.append(f"{place}: no data, expected some, or an entry in dashboards/empty.json\n    {text}")

    def judge(self):
        for place, text, tree in self.dashboards.expressions:
            self.require(place, text, tree)
        for place, text, tree in self.rules.expressions:
            for leaf in self.checks.leaves(tree):
                self.require(place, self.checks.text_of(leaf, text), leaf)
            try:
                self.has_data(text)
            except Failed as error:
                self.problems.append(f"{place}: Prometheus refuses it: {error}\n    {text}")
        for name in self.rules.recorded:
            self.require(f"recording rule {name}", name, self.checks.parse(name))
        self.judge_empty()
        for name, states in ALERTED.items():
            state = self.prometheus.alerts().get(name)
            if state not in states:
                self.problems.append(f"alert {name} is {state}, expected {' or '.join(states)}, "
                                     "since a receiver refuses everything")
        return self.problems

    def judge_empty(self):
        """Every metric is there, but those listed; and what is listed is really empty."""
        for source in sorted({metric.source for metric in self.metrics.values() if metric.source}):
            there = self.has_data(f'count({{__name__=~"{source}(_bucket|_sum|_count)?"}})')
            entry = self.empty.get(source)
            if not there and not entry:
                self.problems.append(f"{source}: was never scraped, expected it, or an entry in dashboards/empty.json")
            if there and entry and not entry.get("either"):
                self.problems.append(f"{source}: was scraped, and dashboards/empty.json says that {entry['reason']}")
        for text, entry in self.empty_expressions.items():
            if self.has_data(text) and not entry.get("either"):
                self.problems.append(f"dashboards/empty.json: has data, expected none ({entry['reason']})\n    {text}")


def prove(args, work):
    checks = load_checks()
    metrics = checks.read_vocabulary(args.metrics)
    say("== rules by themselves")
    say(must([ROOT / "scripts" / "check-dashboards", "--metrics", args.metrics]).strip())
    say(f"== a minute of events, {RATE} a second, seed {args.seed}")
    world = World(work, os.environ["WEIR_TEST_BROKERS"], None, "dashboards", "classic")
    prepare_topology(world)
    port = free_port()
    # before weir: WeirAbsent has to see nothing once
    prometheus = Prometheus(os.environ["WEIR_TEST_PROMETHEUS"], work / "prometheus", port)
    began = time.time()
    time.sleep(3)
    weir = world.weir("a", "score,store,notify,api", ["--listen", f"127.0.0.1:{port}"])
    visitor = Visitor(port)
    try:
        run_course(world, weir, port, args.seed)
    finally:
        visitor.close()
    # the last scrape and the rules after it
    time.sleep(2 * SCRAPE_MS / 1000)
    found = figures(weir, port)
    problems = found.check(metrics)
    problems += [f"{name}{labels or ''} is 0 after all that was done to weir, expected more" for name, labels in HAPPENED
                 if not sum(found.values(name, **labels))]
    judge = Judge(checks, args.metrics, prometheus, began, time.time())
    problems += judge.judge()
    say(f"   {judge.asked} questions to Prometheus, {judge.excused} without data as dashboards/empty.json says")
    say(f"   {drain(weir, port)} scrapes answered while weir drained, none by half")
    for problem in problems:
        say(f"FAILED: {problem}")
    return 1 if problems else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=Path, default=BIN / "weir", metavar="FILE",
                        help="the program; default: the release build, or WEIR_PROFILE's")
    parser.add_argument("--metrics", type=Path, default=ROOT / "src/telemetry/metric.rs", metavar="FILE",
                        help="the vocabulary (src/telemetry/metric.rs)")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", 1)), metavar="NUMBER",
                        help="of the events; default: SEED, else 1")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and data")
    args = parser.parse_args()
    args.weir, args.metrics = args.weir.resolve(), args.metrics.resolve()
    for path in (args.weir, args.metrics):
        if not path.is_file():
            parser.error(f"{path} is no file")
    if args.weir.name != "weir":
        parser.error(f"--weir: {args.weir} is called {args.weir.name}, expected weir")
    missing = [name for name in ENVIRONMENT if not os.environ.get(name)]
    if missing:
        parser.error(f"{', '.join(missing)} not set: this works inside `scripts/services run`")
    return args


def proved(args, work):
    since = time.monotonic()
    code = prove(args, work)
    say(f"{'dashboards, alerts and rules hold' if code == 0 else 'NOT PROVED'} ({time.monotonic() - since:.0f} s)")
    return code


def main():
    args = arguments()
    # where kafka_lib's processes look for weir
    kafka_lib.BIN = args.weir.parent

    return concluded(proved, args, "weir-dashboards", args.keep)


if __name__ == "__main__":
    sys.exit(main())
