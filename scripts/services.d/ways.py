"""The two ways of running servers. Both start, stop, kill, pause and resume them by name, and leave none
behind however this process ends."""

import os
import shlex
import shutil
import signal
import subprocess

from base import FETCH_S, HERE, READY_S, STOP_S, Refused, dies_with_us, say, tool

TAIL_LINES = 25


def choose(state, services, asked):
    """`services` are all there are, `asked` those of them that are wanted."""
    forced = os.environ.get("WEIR_SERVICES")
    ways = {"docker": Docker, "maven": Maven}
    if forced:
        if forced not in ways:
            raise Refused(f"WEIR_SERVICES is {forced!r}, expected docker or maven")
        return ways[forced](state, services, asked)
    for way in ways.values():
        if way.usable(asked):
            return way(state, services, asked)
    raise Refused("no servers to be had: install Java 17 and Maven (openjdk-17-jdk-headless maven), or Docker with Compose")


class Maven:
    """Servers as children of this process, each killed by the kernel should we be."""

    def __init__(self, state, _services, asked):
        self.state, self.asked, self.processes, self.expected = state, asked, {}, set()
        self.java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"

    @staticmethod
    def usable(asked):
        java = shutil.which("mvn") and (shutil.which("java") or os.environ.get("JAVA_HOME"))
        return java or not any(service.runs for service in asked)

    def prepare(self):
        for service in self.asked:
            service.prepare(self.java)

    def log(self, name):
        return self.state / f"{name}.log"

    def start(self, names):
        for service in self.asked:
            if service.name not in names or self.alive(service.name):
                continue
            with open(self.log(service.name), "ab") as out:
                # its own session: a Ctrl-C at the terminal is for the command
                process = subprocess.Popen(list(map(str, service.command(self.java))), stdin=subprocess.DEVNULL, stdout=out,
                                           stderr=out, cwd=self.state, start_new_session=True,
                                           preexec_fn=dies_with_us(signal.SIGKILL))
            self.processes[service.name] = process
            self.expected.discard(service.name)
            (self.state / f"{service.name}.pid").write_text(f"{process.pid}\n")

    def alive(self, name):
        return name in self.processes and self.processes[name].poll() is None

    def signal(self, name, number):
        if not self.alive(name):
            raise Refused(f"{name} is not running")
        process = self.processes[name]
        if number in (signal.SIGTERM, signal.SIGKILL):
            self.expected.add(name)
            process.send_signal(number)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)
        else:
            process.send_signal(number)

    def stop(self, name):
        self.signal(name, signal.SIGTERM)

    def kill(self, name):
        self.signal(name, signal.SIGKILL)

    def pause(self, name):
        self.signal(name, signal.SIGSTOP)

    def resume(self, name):
        self.signal(name, signal.SIGCONT)

    def dead(self):
        """Names of servers that ended and were not asked to."""
        found = [name for name in self.processes if name not in self.expected and not self.alive(name)]
        self.expected.update(found)
        return found

    def tail(self, name):
        try:
            lines = self.log(name).read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return "\n".join("  " + line for line in lines[-TAIL_LINES:]) or "  (no output)"

    def close(self):
        # nothing of theirs is kept: no need for an orderly end
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
        for process in self.processes.values():
            process.wait(STOP_S)


class Docker:
    """Servers as containers of one Compose project; a shell that outlives us takes it down."""

    def __init__(self, state, services, asked):
        self.state, self.asked = state, asked
        self.compose = ["docker", "compose", "-p", f"weir-services-{os.getpid()}", "-f", str(HERE / "compose.yml")]
        self.env = os.environ | {"STATE": str(state)}
        for service in services:
            self.env |= {key: str(value) for key, value in service.variables().items()}
        self.watchdog, self.expected = None, set()

    @staticmethod
    def usable(_asked):
        if not shutil.which("docker"):
            return False
        # a client without an engine, or without Compose, is no use
        return all(subprocess.run(ask, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  timeout=30).returncode == 0 for ask in (["docker", "info"], ["docker", "compose", "version"]))

    def prepare(self):
        say("pulling images, if they are not here …")
        tool([*self.compose, "pull", "-q", "--policy", "missing", *(service.name for service in self.asked)], FETCH_S, env=self.env)
        for service in self.asked:
            service.prepare_container(self)
        # the images' users are not ours
        tool(["chmod", "-R", "a+rX", self.state])
        down = shlex.join([*self.compose, "down", "-v", "-t", "1"])
        # reads until our end of the pipe is closed, by us or by our death
        self.watchdog = subprocess.Popen(["sh", "-c", f"read _; exec {down}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, start_new_session=True, env=self.env)

    def image(self, name):
        return tool([*self.compose, "config", "--images", name], env=self.env).split()[-1]

    def program(self, name, program, folder):
        """The start of a command line that runs a program of an image, as us, with `folder` at /mnt."""
        return ["docker", "run", "--rm", "--user", f"{os.getuid()}:{os.getgid()}", "-v", f"{folder}:/mnt", "--entrypoint", program,
                self.image(name)]

    def run(self, *words):
        return tool([*self.compose, *words], READY_S, env=self.env)

    def start(self, names):
        self.expected.difference_update(names)
        self.run("up", "-d", *names)

    def stop(self, name):
        self.expected.add(name)
        self.run("stop", "-t", str(STOP_S), name)

    def kill(self, name):
        self.expected.add(name)
        self.run("kill", "-s", "KILL", name)

    def pause(self, name):
        self.run("pause", name)

    def resume(self, name):
        self.run("unpause", name)

    def alive(self, name):
        return name in self.run("ps", "--services", "--status", "running").split()

    def dead(self):
        return []

    def tail(self, name):
        return self.run("logs", "--no-color", "--tail", str(TAIL_LINES), name)

    def close(self):
        if self.watchdog:
            self.watchdog.stdin.close()
            self.watchdog.wait(60)
