"""Scenarios about what weir remembers: that it comes back as it was, and that deadlines fire once."""

import json
import os
import random
import re
import threading
import time

from kafka_lib import BIN, Failed, PARTITIONS, PATIENCE_S, Weir, must, now_ms, say, until
from kafka_scenarios import TRANSACTION_S, Result, held, kill_often, recovery_max_s, session_s

DISPUTES = 10_000
STAGES = ("50%", "20s", "5s")
# after the loading of all disputes and before the first stage of any
LOADING_S = 25
# from the first deadline to the last
SPREAD_S = 60
TAKEOVER_EVENTS = 2_000_000


def dispute(number, opened_ms, due_ms):
    iso = lambda ms: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03}Z"  # noqa: E731
    return {"kind": "dispute", "tenant": "default", "account_id": f"acct-{number % 4_000}", "event_id": f"evt-{number}",
            "dispute_id": f"dsp-{number}", "transaction_id": f"txn-{number}", "network": "OTHER", "reason_code": "10.4",
            "amount_minor": 1_000 + number, "currency": "EUR", "stage": "CHARGEBACK", "event_time": iso(opened_ms),
            "opened_at": iso(opened_ms), "due_by": iso(due_ms)}


def deadlines(world, options):
    """Ten thousand disputes with random deadlines: each stage fires once, in order, across five kills."""
    rng = random.Random(options.seed)
    count = DISPUTES // 10 if options.quick else DISPUTES
    settings = world.topology / "weir.toml"
    settings.write_text(re.sub(r"^fire = .*$", f"fire = {json.dumps(STAGES)}", settings.read_text(), flags=re.M))
    weir = world.weir()
    world.probe.check()
    opened = now_ms()
    dues = [opened + int(1000 * (2 * LOADING_S + rng.random() * SPREAD_S)) for _ in range(count)]
    path = world.folder / "disputes.jsonl"
    with open(path, "w") as file:
        file.writelines(json.dumps(dispute(number, opened, due)) + "\n" for number, due in enumerate(dues))
    must([BIN / "weir", "--log", "warn", "replay", "--topology", world.topology, "--data", world.folder / "load", path],
         world.env("load"))
    if now_ms() - opened > 1000 * LOADING_S:
        raise Failed("loading took longer than the time before the first stage")
    # every stage of every dispute is still to come
    moments = [moment for due in dues for moment in ((due + opened) // 2, due - 20_000, due - 5_000)]
    begin, end = (min(moments) - now_ms()) / 1000, (max(moments) - now_ms()) / 1000
    kills = 5
    times = sorted(begin + (end - begin) * (number + rng.random()) / kills for number in range(kills))
    say(f"   seed {options.seed}, {count} disputes, {len(moments)} stages between {begin:.0f} and {end:.0f} s from now, kills at "
        f"{', '.join(f'{at:.1f}' for at in times)}")
    began = time.monotonic()
    for at in times:
        time.sleep(max(0.0, began + at - time.monotonic()))
        weir.alive()
        weir.kill()
        weir.start()
    # whatever the last kill has held up
    time.sleep(max(0.0, began + end - time.monotonic()) + 2 * recovery_max_s(world))
    events = world.finish()
    world.judge_all()
    found = int(re.findall(r"^deadlines +([\d,]+)", (world.folder / "judge.txt").read_text(), re.M)[-1].replace(",", ""))
    if found != len(moments):
        raise Failed(f"{found} stages fired, expected {len(moments)}")
    return Result(events=events, kills=kills, note=f"{found:,} stages of {count:,} deadlines fired, each once")


def hashes(world, topology, *words):
    text = must([BIN / "weir", "--log", "warn", "state", "hash", "--json", "--topology", topology, "--data", world.folder / "looked", *words],
                world.env("load"))
    return json.loads(text)


def state(world, options):
    """A million events, ten kills and two rebalances: what is remembered is what an undisturbed run remembers."""
    place = os.environ.get("WEIR_TEST_S3_ENDPOINT")
    with open(world.topology / "weir.toml", "a") as file:
        file.write("\n[snapshots]\n" + (
            f'place = "s3://{os.environ["WEIR_TEST_S3_BUCKET"]}/{world.name}-{now_ms()}"\nendpoint = "{place}"\nregion = "us-east-1"\n'
            f'access_key = "{os.environ["WEIR_TEST_S3_ACCESS_KEY"]}"\nsecret_key = "${{WEIR_TEST_S3_SECRET_KEY}}"\nallow_http = true\n'
            if place else f'place = "{world.folder / "snapshots"}"\n'))
    calm_topology = calm(world)
    weir = world.weir()
    load = world.load(10 if options.quick else 100)
    said = []

    def rebalance():
        """Somebody joins, works, and leaves."""
        try:
            second = None
            for at in (0.35, 0.65):
                world.probe.reach(load.events * at, PATIENCE_S)
                if second:
                    second.start()
                else:
                    second = world.weir("b", "score")
                since = second.size()
                until(lambda: second.count("transaction committed", since, debug=True), 60, "the second process's first commit", 0.1)
                second.end_well()
                said.append("left")
        except Failed as error:
            said.append(f"failed: {error}")

    thread = threading.Thread(target=rebalance, daemon=True)
    thread.start()
    hits, times = kill_often(world, weir, load.events, options)
    events = world.finish(load)
    thread.join(PATIENCE_S)
    if said != ["left", "left"]:
        raise Failed(f"the second process: {said}, expected it to leave twice")
    world.judge_all()
    kept, whole = hashes(world, world.topology), hashes(world, world.topology, "--log-alone")
    if kept != whole:
        raise Failed(f"from snapshots {kept}, from the log alone {whole}")
    began = time.monotonic()
    undisturbed = Weir(world, "calm", "score", ["--until-end"], calm_topology)
    code = undisturbed.process.wait(PATIENCE_S)
    undisturbed.gone = True
    if code != 0:
        raise Failed(f"the undisturbed run ended with {code}: {undisturbed.last_words()}")
    other = hashes(world, calm_topology)
    for what in ("partitions", "profiles"):
        if kept[what] != other[what]:
            raise Failed(f"{what}: {kept[what]}, undisturbed {other[what]}")
    held(world, times, recovery_max_s(world), "new output after a kill")
    return Result(events=events, kills=options.kills, recovery=times, note=f"{hits} in an open transaction, two rebalances, snapshots in "
                  f"{'S3' if place else 'a folder'}; state of {len(kept['partitions'])} partitions and profiles equal to an undisturbed "
                  f"run's ({time.monotonic() - began:.0f} s) and to the log's")


def takeover(world, options):
    """The owner of a large state is killed: a warm standby goes on as soon as the broker lets it."""
    count = 200_000 if options.quick else TAKEOVER_EVENTS
    settings = world.topology / "weir.toml"
    settings.write_text(settings.read_text().replace("standby = false", "standby = true") + f'\n[snapshots]\nplace = "{world.folder / "snapshots"}"\n')
    began = time.monotonic()
    must([BIN / "weir", "--log", "warn", "generate", "--to-topics", "--count", count, "--accounts", count // 2, "--topology", world.topology,
          "--data", world.folder / "load"], world.env("load"), PATIENCE_S * 10)
    loaded = time.monotonic() - began
    first = world.weir()
    began = time.monotonic()
    until(lambda: first.alive() or (world.probe.check() or world.probe.committed == world.probe.end > 0), PATIENCE_S * 10, "deciding about it all", 0.2)
    built = time.monotonic() - began
    say(f"   {count:,} events made in {loaded:.0f} s, decided about in {built:.0f} s")
    second = world.weir("b", "score")
    owned = lambda: second.count("partition restored")  # noqa: E731
    until(lambda: second.alive() or owned(), 120, "the second process's partitions", 0.1)
    until(lambda: second.alive() or owned() + second.count("partition followed") >= PARTITIONS, PATIENCE_S, "following the others", 0.1)
    load = world.load(40, rate=2_000)
    time.sleep(5)
    since, killed = second.size(), now_ms()
    first.kill()
    time.sleep(0.5)
    mark = world.probe.end
    # what the second process commits of its own partitions would hide that the others stand still
    until(lambda: second.alive() or second.count("partition restored", since), 120, "taking over from who was killed", 0.05)
    until(lambda: second.alive() or world.probe.committed >= mark, 120, "deciding what was left to who took over")
    took = (now_ms() - killed) / 1000
    restored = [line for line in second.lines(since) if "partition restored" in line]
    warm = sum("is_warm=true" in line for line in restored)
    applied = sum(int(count) for line in restored for count in re.findall(r"applied=(\d+)", line))
    first.start()
    events = world.finish(load)
    world.judge_all()
    bound = session_s(world) + TRANSACTION_S + 2
    held(world, [took], bound, "taking over")
    if not restored or warm < len(restored):
        raise Failed(f"{warm} of {len(restored)} partitions were taken over warm")
    return Result(events=events, kills=1, recovery=[took], note=f"at most {bound:g} s; {warm} partitions taken over warm, {applied:,} records "
                  f"read again of {count:,}, which took {built:.0f} s to decide about")


def calm(world):
    """The topology of another weir on the same inputs, with outputs, groups and snapshots of its own."""
    inputs = ("transactions", "disputes", "chats", "invoices", "labels")
    outputs = ("decisions", "escalations", "dead-letters", "weir.rollups", "weir.touches", "weir.fired", "weir.control", "weir.deliveries")
    topology = world.folder / "calm"
    topology.mkdir()
    for path in world.topology.iterdir():
        (topology / path.name).symlink_to(path) if path.name != "weir.toml" else None
    names = [f'"{name}" = "{world.prefix}{name}"' for name in inputs] + [f'"{name}" = "calm.{world.prefix}{name}"' for name in outputs]
    (topology / "weir.toml").write_text("\n".join(
        ['[kafka]', f'brokers = "{world.brokers}"', 'process = "${WEIR_PROCESS}"', f'protocol = "{world.protocol}"', '[kafka.topics]', *names,
         '[snapshots]', f'place = "{world.folder / "calm-snapshots"}"', '']))
    must([BIN / "weir", "--log", "warn", "topics", "create", "--topology", topology, "--partitions", PARTITIONS], world.env("calm"))
    return topology


# name: what it does, protocols it runs on by default; () for those that are asked for alone
STATE_SCENARIOS = {
    "deadlines": (deadlines, ("classic",)),
    "state": (state, ()),
    "takeover": (takeover, ()),
}
