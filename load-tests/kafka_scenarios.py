"""The scenarios of the proof on a broker. Each takes a world, disturbs what runs on it, and returns
what it measured; the judge has been asked by then."""

import random
import signal
import threading
import time
from dataclasses import dataclass, field

from kafka_lib import Failed, PATIENCE_S, Weir, broker, broker_session_s, cassandra, command, must, now_ms, say, seconds_of, until, BIN
from kill import Log

TRANSACTION_S = 10
CLASSIC_SESSION_S = 10
# a restart under the same identity on the classic protocol, whose members are static
RECOVERY_S = 3.0
RSS_MAX_MB = 600
OUTAGE_S = 60
OUTAGE_LINES_MAX = 200
OUTAGE_BACK_S = 15


@dataclass
class Result:
    events: int = 0
    kills: int = 0
    recovery: list = field(default_factory=list)
    note: str = ""


@dataclass
class Options:
    seed: int = 1
    kills: int = 10
    seconds: float = 25
    verify: int = 50_000
    # where the tables are; None: a data folder
    store: str = None
    quick: bool = False
    # data folder of the live run with kills, by protocol
    killed: dict = field(default_factory=dict)


def session_s(world):
    return CLASSIC_SESSION_S if world.protocol == "classic" else broker_session_s()


def recovery_max_s(world):
    """How long after a kill -9 and a restart the first new decision may take."""
    return RECOVERY_S if world.protocol == "classic" else session_s(world) + TRANSACTION_S + 12


def held(world, times, bound, what):
    """All measured first; then judged against the bound, so that one slow moment hides nothing else."""
    slow = [seconds for seconds in times if seconds > bound]
    if slow:
        raise Failed(f"{what}: {len(slow)} of {len(times)} above {bound:g} s: {', '.join(f'{s:.2f}' for s in slow)}")


def paced(world, options):
    """No disturbance."""
    weir = world.weir()
    load = world.load(options.seconds)
    since = world.probe.first_new(weir.started_ms, 30, weir.alive)
    began = now_ms()
    load.wait()
    ended = now_ms()
    weir.alive()
    behind = world.probe.end - world.probe.committed
    events = world.finish()
    world.judge_all()
    per_second = events / ((ended - began) / 1000 + since)
    return Result(events=events, note=f"{per_second:,.0f}/s, {behind} behind at the end of the load, longest silence "
                  f"{world.probe.silence(began, ended):.2f} s")


def kill_often(world, weir, size, options):
    """kill -9 at moments drawn by committed position, one in each part of the input, each in an open
    transaction where one is seen soon; restarted at once under the same identity."""
    rng = random.Random(options.seed)
    part = size / options.kills
    # not in the last tenth of a part: a batch may carry the position on before the signal arrives
    targets = [int((i + rng.random() * 0.9) * part) for i in range(options.kills)]
    say(f"   seed {options.seed}, {size} input records, kills at {targets}")
    probe, hits, outside, times = world.probe, 0, 0, []
    for number, target in enumerate(targets, 1):
        log = Log(weir.log)
        log.file.seek(weir.size())
        patience = None
        deadline = time.monotonic() + PATIENCE_S
        while True:
            weir.alive()
            probe.check()
            if time.monotonic() > deadline:
                raise Failed(f"kill {number}: position {target} was not reached within {PATIENCE_S} s: {weir.last_words()}")
            is_open = log.read()
            if probe.committed >= target:
                patience = patience or time.monotonic() + 0.2
                if is_open or time.monotonic() > patience:
                    break
            time.sleep(0.0005)
        at = probe.committed
        weir.kill()
        was_open = log.read()
        log.file.close()
        hits += was_open
        inside = (number - 1) * part <= at < number * part
        outside += not inside
        weir.start()
        seconds = probe.first_new(weir.started_ms, recovery_max_s(world) + 30, weir.alive)
        times.append(seconds)
        say(f"   kill {number:2}: wanted {target}, committed {at} ({'inside' if inside else 'OUTSIDE'} its part), "
            f"{'in an open transaction' if was_open else 'between transactions'}, new output after {seconds:.2f} s")
    if hits * 2 < options.kills:
        raise Failed(f"only {hits} of {options.kills} kills hit an open transaction")
    if outside * 2 > options.kills:
        raise Failed(f"{outside} of {options.kills} kills were outside their part of the input")
    return hits, times


def kills(world, options):
    """kill -9 of weir, restarted at once."""
    weir = world.weir()
    load = world.load(options.seconds)
    hits, times = kill_often(world, weir, load.events, options)
    events = world.finish(load)
    world.judge_all()
    options.killed[world.protocol] = weir.data
    held(world, times, recovery_max_s(world), "new output after a kill")
    return Result(events=events, kills=options.kills, recovery=times, note=f"{hits} in an open transaction")


def joins(world, options):
    """A second process joins and leaves twice."""
    first = world.weir()
    # the consumer protocol moves partitions at the broker's heartbeats, some seconds apart
    load = world.load(max(options.seconds, 30 if world.protocol == "classic" else 45))
    world.probe.first_new(first.started_ms, 30, first.alive)
    began = now_ms()
    took_over = []
    second = None
    for _ in range(2):
        time.sleep(3)
        if second:
            second.start()
        else:
            second = world.weir("b", "score")
        since, joined = second.size(), now_ms()

        def works():
            first.alive()
            second.alive()
            return second.count("transaction committed", since, debug=True)

        until(works, 30, "the second process's first commit", 0.05)
        took_over.append((now_ms() - joined) / 1000)
        time.sleep(3)
        second.end_well()
    loaded = load.running()
    silence = world.probe.silence(began, now_ms())
    events = world.finish(load)
    world.judge_all()
    if not loaded:
        raise Failed("the load ended before the second process had left twice")
    crashes = first.count("worker crashed") + second.count("worker crashed")
    return Result(events=events, recovery=took_over, note=f"first commit of who joined; longest silence {silence:.2f} s, "
                  f"{crashes} workers started again")


def broker_kill(world, options):
    """kill -9 of the broker under load, back after 5 s."""
    weir = world.weir()
    load = world.load(max(options.seconds, 20))
    world.probe.first_new(weir.started_ms, 30, weir.alive)
    world.probe.reach(load.events * 0.3, 60)
    broker("kill")
    killed = now_ms()
    time.sleep(5)
    broker("start")
    back = now_ms()
    seconds = world.probe.first_new(back, 90, weir.alive)
    silence = world.probe.silence(killed, now_ms())
    events = world.finish(load)
    world.judge_all()
    return Result(events=events, kills=1, recovery=[seconds], note=f"away for {(back - killed) / 1000:.1f} s, silence {silence:.1f} s, "
                  f"{load.restarts} replays went on, {weir.count('worker crashed')} workers started again")


def sigterm(world, options):
    """SIGTERM and a restart under load."""
    weir = world.weir()
    load = world.load(max(options.seconds * 0.8, 12))
    world.probe.first_new(weir.started_ms, 30, weir.alive)
    world.probe.reach(load.events * 0.4, 60)
    asked = time.monotonic()
    code = weir.end()
    drained = time.monotonic() - asked
    if code != 0:
        raise Failed(f"exit code {code} after SIGTERM, expected 0: {weir.last_words()}")
    weir.start()
    seconds = world.probe.first_new(weir.started_ms, recovery_max_s(world) + 30, weir.alive)
    loaded = load.running()
    events = world.finish(load)
    world.judge_all()
    held(world, [seconds], RECOVERY_S, "new output after SIGTERM and a restart")
    if not loaded:
        raise Failed("the load ended before weir was back")
    return Result(events=events, recovery=[seconds], note=f"exit code 0, drained in {drained:.2f} s")


def stop_in_transaction(weir):
    """SIGSTOP with a transaction open; a moment between two is tried again."""
    for _ in range(200):
        log = Log(weir.log)
        log.file.seek(weir.size())
        until(log.read, 10, "the next transaction", 0.0005)
        weir.signal(signal.SIGSTOP)
        # the signal is delivered in its own time
        time.sleep(0.05)
        if log.read():
            log.file.close()
            return
        log.file.close()
        weir.signal(signal.SIGCONT)
        time.sleep(0.1)
    raise Failed("no transaction was seen open in 200 tries")


def zombie(world, options):
    """A worker stopped past its session in an open transaction while another takes over."""
    asleep = max(25, session_s(world) + 15)
    first = world.weir()
    second = world.weir("b", "score")
    load = world.load(asleep + 15)
    for weir in (first, second):
        until(lambda: weir.alive() or weir.count("transaction committed", debug=True), 60, f"process {weir.label}'s first commit", 0.1)
    # both own partitions, and the load is well under way
    world.probe.reach(min(30_000, load.events * 0.2), 60)
    since, others = first.size(), second.size()
    stop_in_transaction(first)
    stopped = now_ms()
    # the probe's view of the ends is a moment old: what came since is what has to be taken over
    time.sleep(0.5)
    mark = world.probe.end
    try:
        # what the second process commits of its own partitions would hide that the others stand still
        until(lambda: second.alive() or second.count("partition restored", others), asleep, "taking over from who was stopped", 0.05)
        until(lambda: second.alive() or world.probe.committed >= mark, asleep, "deciding what was left to who took over")
        taken_over = (now_ms() - stopped) / 1000
        time.sleep(max(0.0, asleep - (now_ms() - stopped) / 1000))
    finally:
        first.signal(signal.SIGCONT)
    woken = first.size()
    loaded = load.running()
    ended = lambda: first.process.poll() is not None
    until(lambda: ended() or first.count("worker crashed, starting again", woken), 30, "the refusal of the transaction that was left open", 0.1)
    if ended():
        # not what is promised, but nothing may be lost by it
        first.gone = True
        code, words = first.process.returncode, first.last_words()
        world.finish(load)
        world.judge_all()
        raise Failed(f"process {first.label} ended with {code} when it was resumed, expected a restart of its worker (the judge agrees): {words}")
    lines = first.lines(woken, debug=True)
    place = next(number for number, line in enumerate(lines) if "worker crashed, starting again" in line)
    said = lines[place]
    # a sink that starts again proves nothing, nor would the transaction that was left open
    if any("transaction committed" in line for line in lines[:place]):
        raise Failed(f"the transaction that was left open was committed: {said}")

    def works_again():
        first.alive()
        return any("transaction committed" in line for line in first.lines(woken, debug=True)[place:])

    until(works_again, 60, "a commit after the refusal", 0.1)
    again = (now_ms() - stopped) / 1000 - asleep
    events = world.finish(load)
    world.judge_all()
    if not loaded:
        raise Failed("the load ended before the stopped process was resumed")
    say(f"   {said.strip()[:240]}")
    commits = first.count("transaction committed", since, debug=True)
    return Result(events=events, recovery=[taken_over], note=f"recovery is the takeover; asleep for {asleep:.0f} s, refused, commits again {again:.1f} s after waking "
                  f"({commits} since)")


def sample(weir, stop, sizes):
    while not stop.wait(0.2):
        sizes.append(weir.rss_mb())


def outage(world, options, way=("pause", "resume")):
    """The broker away for a minute under load."""
    rate = 5_000
    weir = world.weir()
    load = world.load(OUTAGE_S / 2 + 25, rate)
    world.probe.first_new(weir.started_ms, 30, weir.alive)
    sizes, stop = [], threading.Event()
    sampler = threading.Thread(target=sample, args=(weir, stop, sizes), daemon=True)
    sampler.start()
    try:
        time.sleep(8)
        before, log_before = weir.rss_mb(), weir.size()
        broker(way[0])
        time.sleep(OUTAGE_S)
        weir.alive()
        broker(way[1])
        back, log_after = now_ms(), weir.size()
        first = world.probe.first_new(back, 90, weir.alive)
        full = until(lambda: weir.alive() or full_speed(world, back, rate), 90, f"coming back to {rate} events/s", 0.2)
        events = world.finish(load)
    finally:
        stop.set()
        sampler.join(5)
    lines = weir.lines(log_before, log_after)
    world.judge_all()
    note = (f"{way[0]} for {OUTAGE_S} s, full speed after {full[0]:.1f} s, RSS {before:.0f} MB before, {max(sizes):.0f} MB at most, "
            f"{len(lines)} lines logged, {load.restarts} replays went on")
    if full[0] > OUTAGE_BACK_S:
        raise Failed(f"full speed {full[0]:.1f} s after the broker was back, expected {OUTAGE_BACK_S} s ({note})")
    if max(sizes) > RSS_MAX_MB:
        raise Failed(f"{max(sizes):.0f} MB resident, expected {RSS_MAX_MB} at most ({note})")
    if len(lines) >= OUTAGE_LINES_MAX:
        raise Failed(f"{len(lines)} lines logged while the broker was away, expected less than {OUTAGE_LINES_MAX} ({note})")
    return Result(events=events, kills=int(way[0] == "kill"), recovery=[first], note=note)


def full_speed(world, since_ms, rate):
    world.probe.check()
    seconds = world.probe.speed_from(since_ms, rate * 0.95)
    return None if seconds is None else (seconds,)


def outage_kill(world, options):
    """The same, the broker killed."""
    return outage(world, options, ("kill", "start"))


def strict(world, options):
    """Strict merge: the same bytes with and without kills; decisions of the live run decided again."""
    undisturbed = world.prefix
    disturbed = undisturbed.rstrip(".") + "-killed."
    words = ["--merge", "strict", "--until-end"]
    world.preload(options.seconds)
    calm = world.weir(words=words)
    code = calm.process.wait(PATIENCE_S)
    if code != 0:
        raise Failed(f"the undisturbed run ended with {code}: {calm.last_words()}")
    world.judge_all()
    events = until(lambda: world.probe.check() or world.probe.end, 10, "the ends of the inputs")
    # another world of topics, with a receiver and a folder of its own
    world.make_topics(disturbed)
    world.preload(options.seconds)
    world.stub.kill()
    (world.folder / "webhook.jsonl").rename(world.folder / "webhook-calm.jsonl")
    world.begin()
    calm.gone = True
    killed = Weir(world, "a", "score,store,notify", words)
    hits, times = kill_often(world, killed, events, options)
    code = killed.process.wait(PATIENCE_S)
    if code != 0:
        raise Failed(f"the run with kills ended with {code}: {killed.last_words()}")
    world.judge(killed.data, "--brokers", world.brokers, "--prefix", disturbed, "--compare-prefix", undisturbed, "--webhook-log",
                world.folder / "webhook.jsonl")
    data = options.killed.get(world.protocol, killed.data)
    again = must([BIN / "weir", "explain", "--all", "--verify", "--limit", options.verify, "--data", data]).strip().splitlines()[-1]
    held(world, times, recovery_max_s(world), "new output after a kill")
    return Result(events=events, kills=options.kills, recovery=times, note=f"{hits} in an open transaction, decisions byte-identical; "
                  f"{'live run ' if data != killed.data else ''}{again}")


def twice(world, options):
    """Two running processes with one name: one of them gives way."""
    first = world.weir()
    load = world.load(options.seconds)
    world.probe.first_new(first.started_ms, 30, first.alive)
    world.probe.reach(load.events * 0.1, 60)
    second = world.weir("a", "score")
    both = (first, second)
    began = now_ms()
    until(lambda: any(weir.process.poll() is not None for weir in both), 90, "one of two processes with one name giving way", 0.05)
    took = (now_ms() - began) / 1000
    gone, left = both if first.process.poll() is not None else both[::-1]
    code = gone.process.returncode
    words = gone.last_words()
    if code != 4 or "same [kafka] process name" not in words:
        raise Failed(f"process {gone.label} ended with {code}, expected 4 and a message about the process name: {words}")
    gone.gone = True
    world.probe.first_new(now_ms(), 60, left.alive)
    silence = world.probe.silence(began, now_ms())
    loaded = load.running()
    events = world.finish(load)
    world.judge_all()
    if not loaded:
        raise Failed("the load ended before one of the two had given way")
    return Result(events=events, note=f"the {'first' if gone is first else 'second'} one ended with 4 after {took:.1f} s, longest silence "
                  f"{silence:.2f} s")


def store_paced(world, options):
    """No disturbance, with the store in Cassandra: it falls behind on two cores, and catches up."""
    weir = world.weir()
    load = world.load(options.seconds)
    world.probe.first_new(weir.started_ms, 30, weir.alive)
    began = now_ms()
    load.wait()
    loaded = (now_ms() - began) / 1000
    weir.alive()
    behind = world.probe.end - world.probe.committed
    events = world.finish()
    took = (now_ms() - began) / 1000
    world.judge_all()
    return Result(events=events, note=f"decided at {events / loaded:,.0f}/s, {behind} behind at the end of the load; all stored "
                  f"{took:.0f} s after its beginning, {events / took:,.0f}/s")


def store_edges(world, options):
    """Cassandra killed for 30 s, the receiver of webhooks down for 30 s, weir killed five times."""
    weir = world.weir()
    load = world.load(options.seconds)
    world.probe.first_new(weir.started_ms, 30, weir.alive)
    away, kills, port, times = 10 if options.quick else 30, 5, world.stub_port, []

    def restart():
        weir.alive()
        weir.kill()
        weir.start()
        times.append(world.probe.first_new(weir.started_ms, 60, weir.alive) if load.running() else 0.0)

    part = options.seconds / kills
    plan = [(part * (number + 0.5), "kill", restart) for number in range(kills)]
    plan += [(part * 0.9, "store away", lambda: cassandra("kill")), (part * 0.9 + away, "store back", lambda: cassandra("start")),
             (part * 1.9, "receiver away", world.stop_stub), (part * 1.9 + away, "receiver back", lambda: world.start_stub(port))]
    began = time.monotonic()
    for at, what, act in sorted(plan, key=lambda step: step[0]):
        time.sleep(max(0.0, began + at - time.monotonic()))
        say(f"   {time.monotonic() - began:5.1f} s: {what}")
        act()
    events = world.finish(load)
    world.judge_all()
    slow = [seconds for seconds in times if seconds]
    return Result(events=events, kills=kills, recovery=slow, note=f"store and receiver away for {away} s each; all stored "
                  f"{time.monotonic() - began:.0f} s after the beginning")


# name: what it does, protocols it runs on by default; () for those that are asked for alone
SCENARIOS = {
    "paced": (paced, ("classic", "consumer")),
    "kills": (kills, ("classic", "consumer")),
    "joins": (joins, ("classic", "consumer")),
    "sigterm": (sigterm, ("classic", "consumer")),
    "zombie": (zombie, ("classic",)),
    "twice": (twice, ("classic",)),
    "strict": (strict, ("classic",)),
    "broker-kill": (broker_kill, ("classic", "consumer")),
    "outage": (outage, ("classic",)),
    "outage-kill": (outage_kill, ()),
}
# the same for --store
STORE_SCENARIOS = {
    "store-paced": (store_paced, ("classic",)),
    "store-edges": (store_edges, ("classic",)),
}
NEEDS_BROKER = ("broker-kill", "outage", "outage-kill")
QUICK = ("paced", "kills", "sigterm", "zombie", "control")

__all__ = ["NEEDS_BROKER", "Options", "QUICK", "Result", "SCENARIOS", "STORE_SCENARIOS", "command", "seconds_of"]
