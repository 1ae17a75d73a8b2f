"""What more than one kind of file is asked."""

import os
import re

from .report import one_of

TOPOLOGY_IN_IMAGE = "/etc/weir/weir.toml"
SECRET_NAME = re.compile(r"(PASSWORD|SECRET|TOKEN|PRIVATE_KEY|API_KEY)$")
PINNED = re.compile(r"^(?P<name>[a-z0-9][\w./-]*):(?P<tag>v?\d+\.\d+[\w.-]*)(@sha256:[0-9a-f]{64})?$")


class Images:
    """Every image named anywhere."""

    def __init__(self, report, source):
        self.report, self.source, self.seen = report, source, {}

    def add(self, path, line, image):
        pinned = PINNED.match(image)
        if not pinned:
            self.report.add(path, line, f"image {image!r}", "name:version, with a version such as 1.2")
            return
        name, tag = pinned["name"], pinned["tag"]
        if name == "weir" and tag != self.source.version:
            self.report.add(path, line, f"image {image!r}", f"weir:{self.source.version}, the version in Cargo.toml")
        if name == "rust" and not tag.startswith((self.source.rust + ".", self.source.rust + "-")):
            wanted = f"rust:{self.source.rust}…, the rust-version in Cargo.toml"
            self.report.add(path, line, f"image {image!r}", wanted)
        known, where = self.seen.setdefault(name, (tag, f"{path}:{line}"))
        if known != tag:
            self.report.add(path, line, f"image {image!r}", f"{name}:{known} as in {where}")


def check_topology(report, source, path, variables, where):
    """A weir.toml: it parses, its sections exist, its variables are set. Returns host:port pairs and its own port."""
    hosts, port, process = [], 8080, None
    text = report.text(path)
    try:
        import tomllib
        tomllib.loads(text)
    except ImportError:
        report.skipped.append("tomllib (Python 3.11)")
    except ValueError as error:
        line = re.search(r"line (\d+)", str(error))
        report.add(path, line.group(1) if line else 1, f"does not parse: {error}", "TOML")
    for line, content in enumerate(text.splitlines(), 1):
        content = re.match(r'(?:[^"#]|"[^"]*")*', content).group().strip()
        section = re.match(r"\[+(\w+)[^\]]*\]+$", content)
        if section and section.group(1) not in source.sections:
            report.add(path, line, f"section {content}", one_of(source.sections))
        for name in re.findall(r"\$\{([^}]*)\}", content):
            if name not in variables:
                report.add(path, line, f"variable {name} is not set", f"it in the environment of {where}")
        key, _, value = (part.strip().strip('"') for part in content.partition("="))
        if key in ("brokers", "nodes"):
            hosts += [(line, host.strip()) for host in value.split(",")]
        elif key == "url":
            hosts.append((line, re.sub(r"^\w+://", "", value).split("/")[0]))
        elif key == "listen":
            host, _, listen_port = value.rpartition(":")
            port = int(listen_port) if listen_port.isdigit() else 0
            if host not in ("0.0.0.0", "[::]"):
                wanted = "0.0.0.0:PORT: nothing outside the container reaches it otherwise"
                report.add(path, line, f"listen is {value!r}", wanted)
        elif key == "process":
            process = (line, re.findall(r"\$\{([^}]*)\}", value))
    return hosts, port, process


def check_mount(report, path, line, source_path):
    """A host path that is mounted or copied is in the repository."""
    relative = os.path.normpath(source_path)
    if relative.startswith("..") or os.path.isabs(relative):
        report.add(path, line, f"path {source_path!r}", "one within the repository")
    elif not (report.root / relative).exists():
        report.add(path, line, f"path {source_path!r} is not there", "a file or folder of the repository")
    return relative


def check_stop(report, source, path, line, given):
    """A stop must be given the time that a drain may take."""
    match = re.fullmatch(r"(\d+)s?", str(given))
    if not match or int(match.group(1)) <= source.drain_s:
        wanted = f"more than {source.drain_s} s, what a drain may take by src/config/limits.rs"
        report.add(path, line, f"a stop is given {given}", wanted)
