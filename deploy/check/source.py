"""What weir's sources say there is."""

import re
import shlex

from .report import Refused, one_of


def kebab(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower().replace("_", "-")


class Source:
    """What weir's sources say there is."""

    def __init__(self, report):
        self.report = report
        cli = report.text("src/cli/mod.rs")
        self.globals = self.options(cli, "Cli")
        self.places = self.options(cli, "Places")
        self.commands = {}
        body = re.search(r"enum Command \{(.*?)\n\}", cli, re.S)
        for variant, module, kind in re.findall(r"(\w+)\((\w+)::(\w+)\)", body.group(1) if body else ""):
            self.command(kebab(variant), report.text(f"src/cli/{module}.rs"), kind)
        exits = re.findall(r"^    (\w+) = (\d+),", report.text("src/cli/exit.rs"), re.M)
        self.exits = {name: int(code) for name, code in exits}
        roles = re.search(r"enum Role \{(.*?)\n\}", report.text("src/cli/process.rs"), re.S)
        self.roles = {kebab(name) for name in re.findall(r"^    (\w+),", roles.group(1) if roles else "", re.M)}
        self.routes = set(re.findall(r'\.route\(\s*"([^"]+)"', report.text("src/api/routes.rs")))
        limits = dict(re.findall(r"(\w+): Duration::from_secs\((\d+)\)", report.text("src/config/limits.rs")))
        # the workers' last commit, then sinks and server, then what still runs
        self.drain_s = int(limits.get("commit_deadline", 0)) + 2 * int(limits.get("drain_deadline", 0))
        file = re.search(r"struct File \{(.*?)\n\}", report.text("src/config/topology.rs"), re.S)
        self.sections = set(re.findall(r"^    (\w+):", file.group(1) if file else "", re.M))
        cargo = report.text("Cargo.toml")
        self.version = self.first(r'^version = "([^"]+)"', cargo)
        self.rust = self.first(r'^rust-version = "([^"]+)"', cargo)
        self.members = re.findall(r'"([^"]+)"', self.first(r"^members = \[(.*?)\]", cargo))
        for what, found in (("commands", self.commands), ("exit codes", self.exits), ("roles", self.roles),
                            ("paths", self.routes), ("deadlines", self.drain_s), ("settings", self.sections),
                            ("version", self.version), ("rust-version", self.rust), ("members", self.members)):
            if not found:
                raise Refused(f"weir's {what} were not found in its sources: this script no longer reads them rightly")

    @staticmethod
    def first(pattern, text):
        found = re.search(pattern, text, re.M | re.S)
        return found.group(1) if found else ""

    def options(self, text, struct):
        """Options of an argument struct: name to whether it takes a value."""
        return self.fields(self.first(r"struct " + struct + r" \{(.*?)\n\}", text))

    def fields(self, body):
        found = {}
        field = re.compile(r"((?:\s*(?:///[^\n]*|#\[.*?\]))*)\s*(?:pub(?:\([^)]*\))? )?(\w+): ([^\n]+),", re.S)
        for attributes, name, kind in field.findall(body):
            for attribute in re.findall(r"#\[arg\((.*?)\)\]", attributes, re.S):
                long = re.search(r'\blong\b(?:\s*=\s*"([^"]+)")?', attribute)
                if long:
                    found[long.group(1) or kebab(name)] = kind != "bool"
            if "flatten" in attributes:
                found |= self.places if kind == "Places" else {}
        return found

    def command(self, name, text, kind):
        body = self.first(r"enum " + kind + r" \{(.*?)\n\}", text)
        if not body:
            self.commands[(name,)] = self.options(text, kind)
        variants = r"^    (\w+)(?:\((?:\w+::)*(\w+)\)| \{\n(.*?)\n    \})"
        for variant, struct, fields in re.findall(variants, body, re.M | re.S):
            options = self.fields(fields) if fields else self.options(text, struct)
            self.commands[(name, kebab(variant))] = self.places if struct == "Places" else options

    def check(self, path, line, words):
        """Words after the program's name: command, options and roles exist."""
        report, options, command, at = self.report, dict(self.globals), (), 0
        shown = "weir " + shlex.join(words)
        while at < len(words):
            word = words[at]
            at += 1
            if word.startswith("--"):
                name, has_value, value = word[2:].partition("=")
                if name not in options:
                    report.add(path, line, f"{shown}: option {word!r}", one_of(f"--{option}" for option in options))
                    return
                if options[name] and not has_value:
                    value = words[at] if at < len(words) else ""
                    at += 1
                if name == "roles":
                    for role in set(value.split(",")) - self.roles:
                        report.add(path, line, f"{shown}: role {role!r}", one_of(self.roles))
            elif command not in self.commands:
                command += (word,)
                alike = [known for known in self.commands if known[: len(command) - 1] == command[:-1]]
                known = {" ".join(known[: len(command)]) for known in alike}
                if " ".join(command) not in known:
                    report.add(path, line, f"{shown}: command {' '.join(command)!r}", one_of(known))
                    return
                options |= self.commands.get(command, {})
            # what else stands there is the command's own
        if command not in self.commands:
            report.add(path, line, shown, "a command of weir")
