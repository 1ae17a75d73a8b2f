"""Scenarios about what decides: it is changed under load, and every decision re-runs by what it names."""

import json
import re
import time

from kafka_lib import BIN, Failed, PATIENCE_S, must, say
from kafka_scenarios import Result

LISTS = """
[[list]]
name = "bad_ips"
match = "cidr"
file = "lists/bad_ips.csv"

[[list.decides]]
kind = "transaction"
field = "ip"
outcome = "REVIEW"
reason = "LISTED_IP"
text = "{ip} is in a network that fraud came from"

[[list]]
name = "merchants"
match = "exact"
"""
MODELS = """
[[model]]
name = "payments"
kind = "transaction"
file = "payments.toml"
reasons = 2

[model.inputs]
amount = "double(amount_minor) / 100.0"
"""
MODEL = """
model = "logistic"
version = 1
intercept = {intercept}

[[feature]]
name = "amount"
weight = 0.4
missing = 50.0
mean = 50.0
scale = 60.0

[[feature]]
name = "payments_count_24h"
weight = 0.3
missing = 0.0
"""
# a process is killed after so many changes
KILL_EVERY = 4
# the longest that a worker may be held by a change
HELD_MS = 10.0


class Pen:
    """Publishes, as people do: one command after another."""

    def __init__(self, world):
        self.world = world
        self.versions = []

    def write(self, *words):
        text = must([BIN / "weir", "--log", "warn", *words, "--topology", self.world.topology, "--data", self.world.folder / "pen"],
                    self.world.env("load"))
        found = re.findall(r"version (\d+)", text)
        if not found:
            raise Failed(f"{words} said no version: {text}")
        self.versions.append(int(found[0]))


def candidates(world):
    """Rules, models, entries and challengers that are to be published: folders by name."""
    folder = world.folder / "candidates"
    rules = (world.topology / "rules").iterdir()
    texts = {path.name: path.read_text() for path in rules}
    thresholds = "thresholds = { step_up = 0.40, review = 0.60, block = 0.90 }"
    if thresholds not in texts["transactions.toml"]:
        raise Failed(f"{thresholds!r} is not in the shipped rules of transactions")
    for name, values in {"calm": "0.50, review = 0.70, block = 0.95", "strict": "0.30, review = 0.45, block = 0.70"}.items():
        for challenger in ("", "challenger/"):
            place = folder / name / challenger / "rules" if challenger else folder / name
            place.mkdir(parents=True, exist_ok=True)
            for file, text in texts.items():
                (place / file).write_text(text.replace(thresholds, f"thresholds = {{ step_up = {values} }}"))
    for name, intercept in {"first": -4.0, "second": -3.0}.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "models.toml").write_text(MODELS)
        (folder / name / "payments.toml").write_text(MODEL.format(intercept=intercept))
    (folder / "many.csv").write_text("value,expires,note\n" + "".join(f"10.{n // 256}.{n % 256}.0/24,,\n" for n in range(10_000)))
    return folder


def control(world, options):
    """Rules, lists, models, challengers and flags are published and taken back under load, two processes being killed in turn."""
    (world.topology / "lists.toml").write_text(LISTS)
    (world.topology / "lists").mkdir()
    (world.topology / "lists" / "bad_ips.csv").write_text("value,expires,note\n198.51.100.0/24,,documentation\n")
    # whoever publishes and whoever decides share it
    with open(world.topology / "weir.toml", "a") as file:
        file.write(f'\n[snapshots]\nplace = "{world.folder / "snapshots"}"\n')
    folder = candidates(world)
    weir = world.weir()
    pair = (weir, world.weir("b", "score"))
    seconds = 12 if options.quick else max(options.seconds, 60)
    load = world.load(seconds)
    world.probe.first_new(weir.started_ms, 30, weir.alive)
    pen = Pen(world)
    changes = [
        ("rules", "publish", folder / "strict"), ("lists", "add", "bad_ips", "203.0.113.0/24"),
        ("models", "publish", folder / "first"), ("shadow", "publish", "calm", folder / "calm" / "challenger"),
        ("rules", "publish", folder / "calm"), ("lists", "publish", "bad_ips", folder / "many.csv"),
        ("models", "publish", folder / "second"), ("flags", "set", "night", "true"),
        ("rules", "rollback"), ("lists", "remove", "bad_ips", "10.0.7.0/24"),
        ("models", "rollback"), ("shadow", "publish", "strict", folder / "strict" / "challenger"),
        ("lists", "rollback", "bad_ips"), ("rules", "rollback", "--to", "0"),
        ("flags", "reset", "night"), ("models", "rollback", "--to", "0"),
        ("shadow", "withdraw", "calm"), ("lists", "rollback", "bad_ips", "--to", "0"),
        ("rules", "publish", folder / "strict"), ("models", "publish", folder / "second"),
    ]
    began, kills = time.monotonic(), 0
    for number, words in enumerate(changes):
        # spread over the load, the last of them before its end
        time.sleep(max(0.0, began + number * 0.8 * seconds / len(changes) - time.monotonic()))
        pen.write(*words)
        for one in pair:
            one.alive()
        # partitions move while versions do
        if number % KILL_EVERY == KILL_EVERY - 1:
            victim = pair[number // KILL_EVERY % 2]
            victim.kill()
            victim.start()
            kills += 1
    loaded = load.running()
    changed_for = time.monotonic() - began
    events = world.finish(load)
    world.judge_all()
    if pen.versions != sorted(set(pen.versions)):
        raise Failed(f"versions do not rise: {pen.versions}")
    history = must([BIN / "weir", "--log", "warn", "rules", "history", "--json", "--topology", world.topology, "--data", world.folder / "pen"],
                   world.env("load"))
    rejected = [line for line in map(json.loads, history.splitlines()) if line["rejected"]]
    if rejected or len(history.splitlines()) != len(changes):
        raise Failed(f"{len(history.splitlines())} changes, expected {len(changes)}; rejected: {rejected}")
    said = "".join(one.log.read_text(errors="replace") for one in pair)
    held = [int(us) / 1000 for us in re.findall(r"held_us=(\d+)", said)]
    if not loaded and not options.quick:
        raise Failed(f"the load ended before the last of {changed_for:.0f} s of changes")
    if len(held) < len(changes) // 2 or max(held) > HELD_MS:
        raise Failed(f"{len(held)} changes taken up, the longest hold {max(held, default=0):.3f} ms, expected at most {HELD_MS} ms")
    began = time.monotonic()
    again = json.loads(must([BIN / "weir", "--log", "warn", "explain", "--verify", "topic", "--limit", options.verify, "--json",
                             "--topology", world.topology, "--data", weir.data], world.env("load"), PATIENCE_S * 3))
    if again["different"] or not again["same"]:
        raise Failed(f"decided again: {again}")
    say(f"   {again['same']:,} decisions decided again in {time.monotonic() - began:.0f} s, all to the byte")
    return Result(events=events, kills=kills, note=f"{len(changes)} changes, {len(held)} taken up, a worker held {max(held):.2f} ms at most; "
                  f"{again['same']:,} decisions the same to the byte")


CONTROL_SCENARIOS = {"control": (control, ("classic", "consumer"))}
