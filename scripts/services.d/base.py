"""What the modules beside this one share: messages, child processes, ports, the cache of what was fetched."""

import contextlib
import ctypes
import fcntl
import hashlib
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weir-services"
READY_S, FETCH_S, TOOL_S, STOP_S = 90, 600, 60, 20


class Refused(Exception):
    """A message for the person at the terminal."""


class Service:
    """What can be asked for by --name. One that runs is a process under Maven, a container under Docker
    (ways.py); one that does not is a program for the tests to start."""

    name = None
    runs = True

    def exports(self):
        """What the command finds in its environment."""
        return {}

    def answers(self):
        """Whether it does its work; the port alone is open earlier, behind Docker always."""

    def prepare(self, java):
        """Without containers: fetches what is to run and writes its settings."""

    def command(self, java):
        """Without containers: the argument list that runs it, after prepare."""

    def variables(self):
        """With containers: what compose.yml needs to know, asked for or not."""
        return {}

    def prepare_container(self, docker):
        """With containers: writes the settings its container will read."""


def say(message):
    print(f"services: {message}", file=sys.stderr, flush=True)


def dies_with_us(sign, parent=os.getpid()):
    """For preexec_fn: the kernel sends `sign` to the child when this process is gone, however it went."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare():
        libc.prctl(1, sign, 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def tool(argv, deadline=TOOL_S, **kwargs):
    """Runs a helper program to its end; its output is shown only if it fails."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=deadline, preexec_fn=dies_with_us(signal.SIGKILL), **kwargs)
    except subprocess.TimeoutExpired:
        raise Refused(f"{argv[0]} took longer than {deadline} s: {shlex.join(map(str, argv))}") from None
    if done.returncode:
        raise Refused(f"{shlex.join(map(str, argv))} failed with {done.returncode}:\n{done.stdout.strip()[-3000:]}")
    return done.stdout


def free_ports():
    """Yields ports nobody listens on, below those the kernel gives to clients: a client of a server that
    is down could otherwise be given the very port that the server needs to come back."""
    first_of_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.SystemRandom().sample(range(10_000, max(first_of_clients, 11_000)), 500):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            yield port
    raise Refused("no free ports between 10000 and the ephemeral range")


def cached(what, version, into):
    """The folder in the cache for `version`, filled by `into` if it is new; whole or not there."""
    folder = CACHE / (what.split(",")[0].lower().replace(" ", "-") + "-" + hashlib.sha256(version).hexdigest()[:12])
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        # whoever holds it fetches too, and must be done after FETCH_S
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            for cut_off in CACHE.glob("part.*"):
                shutil.rmtree(cut_off, ignore_errors=True)
            say(f"fetching {what}, once, into {CACHE} …")
            part = Path(tempfile.mkdtemp(dir=CACHE, prefix="part."))
            try:
                into(part)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return folder


def cached_jars(what, pom, *options):
    """The folder with everything that the pom beside this module depends on."""
    def into(folder):
        tool(["mvn", "-B", "-q", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={folder}",
              "-DincludeScope=runtime", *options], FETCH_S)

    pom = HERE / pom
    return cached(what, pom.read_bytes(), into)
