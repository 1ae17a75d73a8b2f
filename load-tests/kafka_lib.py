"""What the proof on a broker is made of: processes that never outlive it, input at a steady rate,
positions and output watched from outside, and one world of topics for each scenario.

Times are milliseconds since 1970 where they come from the probe, else seconds. Only the standard
library is used.
"""

import ctypes
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
# release, or dev: what tests are built as, with debug assertions and checked arithmetic
PROFILE = os.environ.get("WEIR_PROFILE", "release")
BIN = (ROOT / TARGET).resolve() / ("debug" if PROFILE == "dev" else PROFILE)
PARTITIONS = 4
LOG = os.environ.get("WEIR_PROOF_LOG", "info,weir::stage::committer=debug")
# the longest that anything may take which has no bound of its own
PATIENCE_S = 180
# a store on the same two cores takes some thousand decisions a second
STORE_PATIENCE_S = 900


class Failed(Exception):
    """Something that was to be proved does not hold."""


def now_ms():
    return time.time_ns() // 1_000_000


def say(text):
    print(text, flush=True)


def build(take_as_it_is=False):
    """Builds the programs, once for a script and those that it calls, unless they are taken as they are."""
    if not take_as_it_is and "WEIR_BUILT" not in os.environ:
        subprocess.run(["cargo", "build", "--quiet", "--profile", PROFILE, "--workspace"], cwd=ROOT, check=True)
    os.environ["WEIR_BUILT"] = "1"


def until(condition, patience_s, what, step_s=0.02):
    """The first true value of `condition`."""
    deadline = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"{what} took longer than {patience_s:.0f} s")
        time.sleep(step_s)


class Children:
    """Every process that was started: none outlives us, however we end."""

    def __init__(self):
        self.all = []
        self.lock = threading.Lock()
        self.closed = False
        libc = ctypes.CDLL(None, use_errno=True)
        parent = os.getpid()

        def tie():
            # PR_SET_PDEATHSIG
            libc.prctl(1, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            # a Ctrl-C at the terminal is for us alone
            os.setpgid(0, 0)

        self.tie = tie

    def start(self, command, **options):
        with self.lock:
            if self.closed:
                raise Failed("the proof is being stopped")
            process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, cwd=ROOT, preexec_fn=self.tie, **options)
            self.all = [known for known in self.all if known.poll() is None] + [process]
            return process

    def close(self, final=False):
        with self.lock:
            self.closed = self.closed or final
            for process in self.all:
                if process.poll() is None:
                    process.kill()
            for process in self.all:
                process.wait()
            self.all = []


CHILDREN = Children()


class Stopped(BaseException):
    """A signal asked us to end."""


def concluded(prove, args, prefix, keep=False):
    """The exit code of `prove(args, work)` in a folder of its own: nothing that was started outlives it,
    whatever ends it, and the folder is kept if it fails."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number, _frame):
        raise Stopped(number)

    for number in signals:
        signal.signal(number, stop)
    os.chdir(ROOT)
    work = Path(tempfile.mkdtemp(prefix=f"{prefix}."))
    code = 1
    try:
        code = prove(args, work)
    except (Failed, OSError, subprocess.SubprocessError) as error:
        say(f"FAILED: {error}")
    except Stopped as stopped:
        code = 128 + stopped.args[0]
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        CHILDREN.close(final=True)
        if code == 0 and not keep:
            shutil.rmtree(work, ignore_errors=True)
        else:
            say(f"kept: {work}")
    return code


def command(words, env=None, patience_s=PATIENCE_S, log=None):
    """Runs to the end; exit code and output."""
    out = open(log, "ab") if log else subprocess.PIPE
    process = CHILDREN.start(words, env=env, stdout=out, stderr=subprocess.STDOUT if not log else out)
    try:
        text, _ = process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Failed(f"{Path(str(words[0])).name} {words[1]} took longer than {patience_s:.0f} s") from None
    finally:
        if log:
            out.close()
    return process.returncode, (text or b"").decode(errors="replace")


def must(words, env=None, patience_s=PATIENCE_S):
    code, text = command(words, env, patience_s)
    if code != 0:
        raise Failed(f"{Path(str(words[0])).name} {words[1]} ended with {code}:\n{text.strip()[-3000:]}")
    return text


def broker(verb):
    must(["scripts/services", "broker", verb])


def cassandra(verb):
    must(["scripts/services", "store", verb])


class Probe:
    """Follows weir-probe."""

    def __init__(self, brokers, prefix):
        self.committed, self.end = 0, 0
        self.positions = []  # (at, committed, end)
        self.visible = []    # (at, count, newest)
        self.process = CHILDREN.start([BIN / "weir-probe", "--brokers", brokers, "--prefix", prefix, "--partitions", PARTITIONS],
                                      stdout=subprocess.PIPE)
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        for line in self.process.stdout:
            word, *rest = line.decode(errors="replace").split()
            if word == "committed":
                at, self.committed, self.end = map(int, rest)
                self.positions.append((at, self.committed, self.end))
            elif word == "visible":
                self.visible.append(tuple(map(int, rest)))

    def check(self):
        if self.process.poll() is not None:
            raise Failed(f"the probe ended with {self.process.returncode}")

    def first_new(self, since_ms, patience_s, alive=lambda: None):
        """Seconds from `since_ms` until a decision was seen that was made after it."""
        state = [len(self.visible)]
        # what came while we were not looking is looked at too
        while state[0] > 0 and self.visible[state[0] - 1][0] >= since_ms:
            state[0] -= 1

        def found():
            self.check()
            alive()
            while state[0] < len(self.visible):
                at, _, newest = self.visible[state[0]]
                state[0] += 1
                if newest >= since_ms:
                    return max(at - since_ms, 1)
            return None

        return until(found, patience_s, "the first new decision", 0.005) / 1000

    def reach(self, mark, patience_s, what="the committed position"):
        until(lambda: self.check() or self.committed >= mark, patience_s, f"{what} {mark}")

    def silence(self, since_ms, until_ms):
        """The longest time in which no decision was seen, in seconds."""
        times = [since_ms] + [at for at, _, _ in self.visible if since_ms <= at <= until_ms] + [until_ms]
        return max(b - a for a, b in zip(times, times[1:])) / 1000

    def speed_from(self, since_ms, per_second):
        """Seconds from `since_ms` to the first second in which so many records were committed."""
        points = [(at, committed) for at, committed, _ in self.positions if at >= since_ms]
        first = 0
        for at, committed in points:
            while at - points[first][0] > 1000:
                first += 1
            if committed - points[first][1] >= per_second:
                return max(points[first][0] - since_ms, 0) / 1000
        return None

    def close(self):
        self.process.kill()
        self.process.wait()
        self.thread.join(5)


class Input:
    """Events of all kinds, as files to replay with how many events each brings."""

    def __init__(self, folder, work):
        self.folder, self.work = Path(folder), work
        self.rows_max = int(os.environ.get("HANDBOOK_ROWS", 10**9))
        self.generated = not self.folder.is_dir()
        self.sets = []

    def prepare(self, most):
        """Counts the events of each set, by replaying them to a folder; makes them where there are none."""
        if self.generated:
            path = self.work / "events.jsonl"
            self.count = min(most, self.rows_max)
            must([BIN / "weir", "--log", "warn", "generate", "--count", self.count, "--out", path])
            say(f"no data sets in {self.folder}: {self.count} simulated events instead")
            return
        names = [("handbook", "handbook-transactions/transactions.csv.zst"), ("cloudwalk", "cloudwalk-chargebacks/transactions.csv.zst"),
                 ("online-retail", "online-retail/invoice-lines.csv.zst"),
                 ("multidogo", "multidogo-finance/train.csv.zst", "multidogo-finance/dev.csv.zst"),
                 ("cfpb", "cfpb-complaints/complaints-2015q1.csv.zst")]
        for name, *files in names:
            files = [self.folder / file for file in files]
            if name == "handbook":
                # one event a row, of which there are 1.75 million
                self.sets.append((name, files, None))
                continue
            text = must([BIN / "weir", "--log", "warn", "replay", "--topology", "topology", "--data", self.work / "counting",
                         "--map", f"load-tests/maps/{name}.toml", *files])
            self.sets.append((name, files, sum(map(int, re.findall(r": (\d+) events in", text)))))
        shutil.rmtree(self.work / "counting")

    def plan(self, events):
        """(words, events) of each replay, for so many events together; fewer if there are no more."""
        if self.generated:
            events = min(events, self.count)
            return [(["--limit", events, self.work / "events.jsonl"], events)]
        others = sum(count for _, _, count in self.sets if count)
        rows = max(1, min(events - others, self.rows_max))
        share = min(1.0, events / (others + rows))
        planned = []
        for name, files, count in self.sets:
            words = ["--map", f"load-tests/maps/{name}.toml"]
            if count is None:
                planned.append((words + ["--limit", rows, *files], rows))
            else:
                planned.append((words + files, count))
        if share < 0.95:
            say(f"the smaller data sets alone are {others} events: more than the {events} wanted")
        return planned


class Load:
    """Replays in parallel whose rates sum to `rate`, so that all of them end together. One that the
    broker's absence ended goes on where it was."""

    def __init__(self, world, planned, rate):
        self.world, self.rate = world, rate
        self.events = sum(count for _, count in planned)
        self.seconds = self.events / rate
        self.restarts = 0
        self.problem = None
        self.stopping = False
        self.threads = []
        for number, (words, count) in enumerate(planned):
            words = ["--rate", f"{count / self.seconds:.3f}", *words]
            thread = threading.Thread(target=self.replay, args=(number, words), daemon=True)
            self.threads.append(thread)
            thread.start()

    def replay(self, number, words):
        deadline = time.monotonic() + self.seconds + PATIENCE_S
        while not self.stopping:
            try:
                # they share what they know of their progress by file and cluster, not by folder
                code, _ = command([BIN / "weir", "--log", "warn", "replay", "--topology", self.world.topology, "--data",
                                   self.world.folder / f"load-{number}", *words], self.world.env("load"),
                                  max(1.0, deadline - time.monotonic()), self.world.folder / f"load-{number}.log")
            except Failed as error:
                self.problem = str(error)
                return
            if code == 0:
                return
            self.restarts += 1
            if time.monotonic() > deadline:
                self.problem = f"a replay keeps ending with {code}"
                return
            time.sleep(0.5)

    def running(self):
        return any(thread.is_alive() for thread in self.threads)

    def wait(self, patience_s=None):
        until(lambda: not self.running(), patience_s or self.seconds + PATIENCE_S, "the replay of the input", 0.05)
        if self.problem:
            raise Failed(self.problem)


class Weir:
    """A running process of weir, with its log."""

    def __init__(self, world, name, roles, words=(), topology=None):
        self.world, self.name, self.roles, self.words = world, name, roles, list(words)
        self.topology = topology or world.topology
        # two processes with one name have a folder and a log each
        taken = sum(1 for known in world.weirs if known.name == name)
        self.label = name if taken == 0 else f"{name}{taken + 1}"
        self.data = world.folder / f"data-{self.label}"
        self.log = world.folder / f"weir-{self.label}.log"
        self.process = None
        self.started_ms = 0
        # whether it was ended, or ended as it should
        self.gone = False
        world.weirs.append(self)
        self.start()

    def start(self):
        with open(self.log, "ab") as out:
            self.started_ms, self.gone = now_ms(), False
            self.process = CHILDREN.start([BIN / "weir", "--log", LOG, "run", "--topology", self.topology, "--data", self.data,
                                           "--roles", self.roles, *self.words], env=self.world.env(self.name), stdout=out, stderr=out)

    def alive(self):
        if self.process.poll() is not None:
            raise Failed(f"process {self.label} ended by itself with {self.process.returncode}: {self.last_words()}")

    def kill(self):
        self.gone = True
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self, patience_s=30):
        """SIGTERM; the exit code."""
        self.alive()
        self.gone = True
        self.process.terminate()
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"process {self.label} did not end within {patience_s} s of SIGTERM: {self.last_words()}") from None

    def end_well(self, patience_s=30):
        code = self.end(patience_s)
        if code != 0:
            raise Failed(f"process {self.label} ended with {code} after SIGTERM: {self.last_words()}")

    def size(self):
        return self.log.stat().st_size

    def lines(self, since=0, to=None, debug=False):
        with open(self.log, "rb") as file:
            file.seek(since)
            text = file.read() if to is None else file.read(to - since)
        lines = text.decode(errors="replace").splitlines()
        return [line for line in lines if debug or " DEBUG " not in line]

    def count(self, text, since=0, debug=False):
        return sum(text in line for line in self.lines(since, debug=debug))

    def last_words(self):
        return " | ".join(self.lines()[-3:])

    def rss_mb(self):
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0.0
        found = re.search(r"VmRSS:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else 0.0


class World:
    """The topics of one scenario, and everything that works on them."""

    def __init__(self, work, brokers, given, name, protocol, store=None):
        self.brokers, self.given, self.name, self.protocol, self.store = brokers, given, name, protocol, store
        self.keyspace = f"proof_{name}_{protocol}".replace("-", "_")
        self.prefix = f"{name}.{protocol}."
        self.folder = work / f"{name}-{protocol}"
        self.folder.mkdir()
        self.topology = self.folder / "topology"
        self.weirs, self.probes = [], []
        self.stub = None
        self.stub_url, self.stub_secret = "http://127.0.0.1:9/", "whsec_c2VjcmV0"
        shutil.copytree(ROOT / "topology", self.topology)
        with open(self.topology / "weir.toml", "a") as file:
            file.write("\n".join(['[kafka]', f'brokers = "{brokers}"', 'prefix = "${WEIR_PREFIX}"', 'process = "${WEIR_PROCESS}"',
                                  f'protocol = "{protocol}"', '[[webhook]]', 'name = "stub"', 'url = "${WEIR_WEBHOOK_URL}"',
                                  'secret = "${WEIR_WEBHOOK_SECRET}"', 'allow_private = true', 'backoff_ms = 20',
                                  'backoff_max_ms = 500', '']))
            if store:
                # receivers and the store are away for longer than a usual schedule of attempts takes
                file.write("\n".join(['attempts_max = 1000', '[store]', 'nodes = "${WEIR_TEST_CQL}"', f'keyspace = "{self.keyspace}"',
                                      'username = "${WEIR_TEST_CQL_USERNAME}"', 'password = "${WEIR_TEST_CQL_PASSWORD}"', '']))
        self.make_topics(self.prefix)
        if store:
            must([BIN / "weir", "--log", "warn", "store", "migrate", "--topology", self.topology], self.env("load"))

    def env(self, process, prefix=None):
        return os.environ | {"WEIR_PREFIX": prefix or self.prefix, "WEIR_PROCESS": process, "WEIR_WEBHOOK_URL": self.stub_url,
                             "WEIR_WEBHOOK_SECRET": self.stub_secret}

    def make_topics(self, prefix):
        self.prefix = prefix
        must([BIN / "weir", "--log", "warn", "topics", "create", "--topology", self.topology, "--partitions", PARTITIONS], self.env("load"))

    def begin(self):
        """A receiver of webhooks, and somebody who watches."""
        self.start_stub(0)
        self.probe = Probe(self.brokers, self.prefix)
        self.probes.append(self.probe)

    def start_stub(self, port):
        self.stub = CHILDREN.start(["load-tests/webhook_stub.py", "--port", port, "--secret", self.stub_secret, "--log",
                                    self.folder / "webhook.jsonl", "--fail-rate", "0.01"], stdout=subprocess.PIPE)
        found = re.search(rb"(\d+)\s*$", self.stub.stdout.readline())
        if not found:
            raise Failed("the webhook stub did not start")
        self.stub_port = int(found[1])
        self.stub_url = f"http://127.0.0.1:{self.stub_port}/hook"

    def stop_stub(self):
        self.stub.kill()
        self.stub.wait()

    def weir(self, name="a", roles="score,store,notify", words=()):
        return Weir(self, name, roles, words)

    def load(self, seconds, rate=10_000):
        return Load(self, self.given.plan(int(seconds * rate)), rate)

    def preload(self, seconds, rate=10_000):
        """The same in a fixed order, flat out: two prefixes loaded like this hold the same."""
        for words, _ in self.given.plan(int(seconds * rate)):
            must([BIN / "weir", "--log", "warn", "replay", "--topology", self.topology, "--data", self.folder / "load", *words],
                 self.env("load"))

    def finish(self, load=None):
        """All is caught up, everybody ends well, the sinks have stored and told everything. Events."""
        if load:
            load.wait()
        probe = self.probe
        # its view of the ends may be a moment old
        time.sleep(0.5)
        running = [weir for weir in self.weirs if not weir.gone]

        def caught_up():
            probe.check()
            for weir in running:
                weir.alive()
            return probe.committed == probe.end > 0

        until(caught_up, PATIENCE_S, f"catching up from {probe.committed} to {probe.end}")
        for weir in running:
            weir.end_well()
        self.settle(self.weirs[0])
        return probe.end

    def settle(self, first):
        first.words = [word for word in first.words if word != "--until-end"] + ["--until-end"]
        first.start()
        try:
            code = first.process.wait(STORE_PATIENCE_S if self.store else PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"the sinks did not catch up in time: {first.last_words()}") from None
        if code != 0:
            raise Failed(f"catching up ended with {code}: {first.last_words()}")

    def judge(self, *words):
        """The verdict, from topics, tables and webhooks alone."""
        report = self.folder / "judge.txt"
        env = os.environ | {"WEIR_JUDGE_STORE_PASSWORD": os.environ.get("WEIR_TEST_CQL_PASSWORD", "")}
        code, text = command([BIN / "weir-judge", *map(str, words)], env)
        with open(report, "a") as file:
            file.write(text)
        if code != 0:
            raise Failed(f"the judge: exit code {code}, {report}:\n{text.strip()[-4000:]}")

    def judge_all(self, *words):
        tables = [self.weirs[0].data]
        if self.store:
            tables = ["--store", os.environ["WEIR_TEST_CQL"], "--keyspace", self.keyspace,
                      "--store-username", os.environ["WEIR_TEST_CQL_USERNAME"]]
        self.judge(*tables, "--brokers", self.brokers, "--prefix", self.prefix, "--webhook-log", self.folder / "webhook.jsonl",
                   *words)

    def close(self, prefixes):
        CHILDREN.close()
        for prefix in prefixes:
            # a broker that keeps what is done with is slow to come back from a kill
            command([BIN / "weir-floor", "topics", "--brokers", self.brokers, "--prefix", prefix, "--delete"])


def seconds_of(times):
    """Largest and median, for people."""
    if not times:
        return "-"
    return f"{max(times):.2f}/{statistics.median(times):.2f}"


def broker_session_s():
    """How long a silent member of the consumer protocol keeps its partitions: the broker's setting."""
    try:
        text = Path(os.environ["WEIR_TEST_SERVICES"], "kafka", "server.properties").read_text()
    except (KeyError, OSError):
        text = ""
    found = re.search(r"^group\.consumer\.session\.timeout\.ms\s*=\s*(\d+)", text, re.M)
    return int(found[1]) / 1000 if found else 45.0
