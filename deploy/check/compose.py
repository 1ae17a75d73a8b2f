"""docker-compose.yml: that it is whole, open to this machine only, and that what it names is there."""

import os
import re
import shlex

from .report import Map, numbered, one_of, texts, words_of
from .shared import SECRET_NAME, TOPOLOGY_IN_IMAGE, check_mount, check_stop, check_topology

COMPOSE, ENV_EXAMPLE = "docker-compose.yml", "deploy/compose/.env.example"
VARIABLE = re.compile(r"\$\$|\$\{(?P<braced>[^}]*)\}|\$(?P<bare>[A-Za-z_]\w*)")
DURATION = re.compile(r"^(\d+(us|ms|s|m|h))+$")

# of Compose's many keys those that are used here; another one is added when it is needed
COMPOSE_KEYS = {"name", "services", "volumes"}
SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "entrypoint", "environment", "expose", "healthcheck", "image",
    "mem_limit", "ports", "profiles", "read_only", "restart", "security_opt", "stop_grace_period", "volumes",
}
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period", "start_interval"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
LOCKED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def env_example(report):
    """The variables of .env.example with their lines."""
    found = {}
    for line, content in enumerate(report.text(ENV_EXAMPLE).splitlines(), 1):
        if not content.strip() or content.startswith("#"):
            continue
        name, equals, value = content.partition("=")
        if not equals or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            report.add(ENV_EXAMPLE, line, repr(content), "NAME=value")
            continue
        found[name] = line
        if SECRET_NAME.search(name) and value:
            report.add(ENV_EXAMPLE, line, f"{name} has a value", "none: whoever copies the file chooses it")
    return found


def environment_of(service):
    """A service's environment as names to (value, line)."""
    environment = service.get("environment")
    if isinstance(environment, Map):
        return {name: (value, environment.at(name)) for name, value in environment.items()}
    return {item.partition("=")[0]: (item.partition("=")[2], line) for item, line in numbered(environment)}


def ports_of(service):
    """Ports that a service listens on: published or exposed."""
    published = [str(port).split("/")[0].split(":")[-1] for port in service.list("ports")]
    return set(published) | {str(port) for port in service.list("expose")}


def ends_by_itself(service):
    return service.get("restart") == "no"


class Compose:
    """docker-compose.yml."""

    def __init__(self, report, source, images):
        self.report, self.source, self.images = report, source, images
        documents = report.documents(COMPOSE)
        self.file = documents[0] if documents else Map()
        self.services = self.file.map("services")

    def add(self, line, value, expected):
        self.report.add(COMPOSE, line, value, expected)

    def known_keys(self, found, known, what):
        for key in found:
            if key not in known and not str(key).startswith("x-"):
                self.add(found.at(key), f"key {key!r} of {what}", one_of(known))

    def check(self):
        self.known_keys(self.file, COMPOSE_KEYS, "the file")
        if not self.services:
            self.add(1, "no services", "some")
        self.variables()
        volumes, host_ports, used = self.file.map("volumes"), {}, set()
        for name in self.services:
            service = self.services.map(name)
            self.service(name, service)
            used |= self.volumes(name, service, volumes)
            self.ports(name, service, host_ports)
            self.dependencies(name, service)
            if str(service.get("image")).split(":")[0] == "weir":
                self.weir(name, service)
        for name in set(volumes) - used:
            self.add(volumes.at(name), f"volume {name!r} is used by no service", "a service that mounts it")
        self.cycles()

    def variables(self):
        example, used = env_example(self.report), set()
        for text, line in texts(self.file, 1):
            for match in VARIABLE.finditer(text):
                if match.group() == "$$":
                    continue
                inside = match["braced"] if match["braced"] is not None else match["bare"]
                name, how = re.match(r"(\w*)(.*)", inside, re.S).groups()
                used.add(name)
                if name not in example:
                    self.add(line, f"variable {name!r} is not in {ENV_EXAMPLE}", "it there, with what it is for")
                if not how.startswith((":-", ":?", "-", "?")):
                    self.add(line, f"variable {name!r} may be empty", "${NAME:-default} or ${NAME:?what to say}")
                elif how in (":?", "?"):
                    self.add(line, f"variable {name!r} is refused without a word", "${NAME:?what to say}")
        for name in set(example) - used:
            self.report.add(ENV_EXAMPLE, example[name], f"variable {name} is used nowhere", f"it in {COMPOSE}")

    def service(self, name, service):
        self.known_keys(service, SERVICE_KEYS, name)
        self.images.add(COMPOSE, service.at("image"), str(service.get("image")))
        memory = service.get("mem_limit")
        if not re.fullmatch(r"\d+[kmg]", str(memory)):
            self.add(service.at("mem_limit"), f"mem_limit of {name} is {memory!r}", "one such as 512m")
        for variable, (value, line) in environment_of(service).items():
            if SECRET_NAME.search(variable) and value and not str(value).startswith("${"):
                self.add(line, f"{variable} of {name} is written down", "${NAME:?…} or a file")
            if not isinstance(value, str) or value == "":
                self.add(line, f"{variable} of {name} is {value!r}", "a text; numbers and words like true in quotes")
        if not ends_by_itself(service):
            self.health(name, service)
        elif "healthcheck" in service:
            self.add(service.at("healthcheck"), f"{name} ends by itself and has a health check", "none")
        if "build" in service:
            short = isinstance(service["build"], str)
            context = service["build"] if short else str(service.map("build").get("context", "."))
            check_mount(self.report, COMPOSE, service.at("build"), os.path.join(context, "Dockerfile"))

    def health(self, name, service):
        health = service.map("healthcheck")
        if not health:
            self.add(service.at("healthcheck"), f"{name} has no health check", "one")
            return
        self.known_keys(health, HEALTH_KEYS, f"{name}'s health check")
        for key in HEALTH_KEYS - {"start_interval"} - set(health):
            self.add(health.line, f"{name}'s health check has no {key}", "one")
        for key in HEALTH_KEYS & set(health) - {"test", "retries"}:
            if not DURATION.match(str(health[key])):
                self.add(health.at(key), f"{key} is {health[key]!r}", "a duration such as 10s")
        test, line = health.list("test"), health.at("test")
        if len(test) < 2 or test[0] not in ("CMD", "CMD-SHELL") or (test[0] == "CMD-SHELL" and len(test) != 2):
            self.add(line, f"test is {health.get('test')!r}", "[CMD, word, …] or [CMD-SHELL, line]")
        for text, line in texts(test, line):
            for host, port in re.findall(r"\b(127\.0\.0\.1|localhost|[a-z]+):(\d{2,5})\b", text):
                if port not in ports_of(service) or host not in ("127.0.0.1", "localhost", name):
                    asked = f"{name}'s health check asks {host}:{port}"
                    self.add(line, asked, f"{name} itself, on a port it listens on")

    def volumes(self, name, service, volumes):
        """Checks what a service mounts; the named volumes among it."""
        used, targets = set(), set()
        for volume, line in numbered(service.get("volumes")):
            parts = str(volume).split(":")
            if len(parts) not in (2, 3) or not parts[1].startswith("/") or parts[2:] not in ([], ["ro"]):
                self.add(line, f"volume {volume!r}", "what:/where or what:/where:ro")
                continue
            if parts[1] in targets:
                self.add(line, f"{parts[1]} is mounted twice in {name}", "it once")
            targets.add(parts[1])
            if parts[0].startswith("."):
                check_mount(self.report, COMPOSE, line, parts[0])
                if parts[2:] != ["ro"]:
                    self.add(line, f"{parts[0]} can be written by {name}", ":ro at its end")
            elif parts[0] in volumes:
                used.add(parts[0])
            else:
                self.add(line, f"volume {parts[0]!r} is not declared", "it under volumes")
        return used

    def ports(self, name, service, host_ports):
        for port, line in numbered(service.get("ports")):
            match = re.fullmatch(r"127\.0\.0\.1:(\d+):(\d+)", str(port))
            if not match:
                self.add(line, f"port {port!r}", "127.0.0.1:HOST:CONTAINER: nothing here may be reached from elsewhere")
            elif match.group(1) in host_ports:
                other = host_ports[match.group(1)]
                self.add(line, f"port {match.group(1)} of this machine", f"another one: {other} has it")
            else:
                host_ports[match.group(1)] = name

    def dependencies(self, name, service):
        dependencies = service.map("depends_on")
        if service.get("depends_on") is not None and not dependencies:
            self.add(service.at("depends_on"), f"depends_on of {name} has no conditions", "service: {condition: …}")
        for other in dependencies:
            line, condition = dependencies.at(other), dependencies.map(other).get("condition")
            target = self.services.map(other)
            if other not in self.services:
                self.add(line, f"{name} waits for {other!r}", one_of(self.services))
            elif condition not in CONDITIONS:
                self.add(line, f"condition {condition!r}", one_of(CONDITIONS))
            elif condition == "service_healthy" and "healthcheck" not in target:
                self.add(line, f"{name} waits until {other} is healthy", f"a health check of {other}")
            elif condition == "service_completed_successfully" and not ends_by_itself(target):
                self.add(line, f"{name} waits until {other} has ended", f'restart: "no" at {other}')
            elif target.list("profiles") and not service.list("profiles"):
                self.add(line, f"{name} waits for {other}, which has a profile", "a service that always runs")

    def cycles(self):
        done = set()

        def visit(name, above):
            if name in above:
                self.add(self.services.at(name), " -> ".join([*above, name]), "no service that waits for itself")
            elif name not in done:
                for other in self.services.map(name).map("depends_on"):
                    visit(other, [*above, name])
                done.add(name)

        for name in self.services:
            visit(name, [])

    def listens(self, path, line, address):
        """Whether host:port is a service and a port it listens on."""
        host, _, port = address.rpartition(":")
        if host not in self.services:
            self.report.add(path, line, f"host {host!r}", "a service of docker-compose.yml, " + one_of(self.services))
        elif port not in ports_of(self.services.map(host)):
            self.report.add(path, line, f"{host} does not listen on {port}", f"one of its ports or expose in {COMPOSE}")

    def mounted(self, name, target):
        """What of the repository is at a path of a service's container, if anything."""
        for volume in self.services.map(name).list("volumes"):
            origin, _, where = str(volume).removesuffix(":ro").partition(":")
            if origin.startswith(".") and (target == where or target.startswith(where + "/")):
                return os.path.normpath(origin + target[len(where):])
        return None

    def weir(self, name, service):
        """A service that runs weir: its commands, its topology, its health, time to stop."""
        line = service.at("command")
        if "entrypoint" in service:
            script = "\n".join(words_of(service.get("command")))
            # the script begins two lines below its key
            for number, content in enumerate(script.splitlines(), line + 2):
                if content.startswith("weir "):
                    self.source.check(COMPOSE, number, shlex.split(content)[1:])
            if "weir " not in script:
                self.add(line, f"{name} calls no weir", "a line that begins with weir")
        else:
            self.source.check(COMPOSE, line, words_of(service.get("command")))
        for key, value in LOCKED.items():
            if service.get(key) != value:
                self.add(service.at(key), f"{key} of {name} is {service.get(key)!r}", repr(value))
        topology = self.mounted(name, TOPOLOGY_IN_IMAGE)
        if not topology:
            self.add(service.at("volumes"), f"{name} has no {TOPOLOGY_IN_IMAGE}", "a mount of one")
            return
        variables, where = environment_of(service), f"{name} in {COMPOSE}"
        hosts, port, _ = check_topology(self.report, self.source, topology, variables, where)
        for host_line, host in hosts:
            self.listens(topology, host_line, host)
        if ends_by_itself(service):
            return
        if str(port) not in ports_of(service):
            self.add(service.at("ports"), f"{name} listens on {port}", "that port published")
        grace = service.get("stop_grace_period")
        check_stop(self.report, self.source, COMPOSE, service.at("stop_grace_period"), grace)
        health = service.map("healthcheck")
        if health.get("test") != ["CMD", "weir-ready"]:
            self.add(health.at("test"), f"health check {health.get('test')!r}", "[CMD, weir-ready]")
