"""The Dockerfile, and what .dockerignore lets it see."""

import re

from .report import one_of
from .shared import check_mount

DOCKERFILE, IGNORE = "Dockerfile", ".dockerignore"


def instructions(text):
    """A Dockerfile's instructions as (line, name, rest), continued lines joined."""
    found, open_line = [], None
    for number, content in enumerate(text.splitlines(), 1):
        if content.lstrip().startswith("#") or (open_line is None and not content.strip()):
            continue
        if open_line is None:
            open_line = number
            found.append([number, "", ""])
        found[-1][2] += content.rstrip("\\").strip() + " "
        if not content.rstrip().endswith("\\"):
            open_line = None
    for entry in found:
        entry[1], _, entry[2] = entry[2].strip().partition(" ")
    return [(line, name.upper(), rest.strip()) for line, name, rest in found]


def ignored(patterns, path):
    """Whether .dockerignore keeps a path from the builder."""
    out = False
    parents = ["/".join(path.split("/")[: count + 1]) for count in range(path.count("/") + 1)]
    for pattern in patterns:
        negated, pattern = pattern.startswith("!"), pattern.lstrip("!").strip("/")
        expression = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(expression, parent) for parent in parents):
            out = not negated
    return out


def check_dockerfile(report, source, images):
    """The Dockerfile and what it may see. Returns the user's number."""
    patterns = [line for line in report.text(IGNORE).splitlines() if line.strip() and not line.startswith("#")]
    for path in (".env", ".git", "target", "deploy/compose/.env", "load-tests/floor/target"):
        if not ignored(patterns, path):
            report.add(IGNORE, 1, f"{path} goes to the builder", "it left out")
    stages, copied, user, found = set(), set(), None, {}
    for line, name, rest in instructions(report.text(DOCKERFILE)):
        words = rest.split()
        found[name] = (line, rest)
        if name == "FROM":
            words = [word for word in words if not word.startswith("--")]
            if words[0] not in stages:
                images.add(DOCKERFILE, line, words[0])
            stages |= {words[2]} if len(words) > 2 else set()
            user = None
        elif name == "USER":
            user = (line, rest)
        elif name in ("COPY", "ADD"):
            origin = [word.split("=", 1)[1] for word in words if word.startswith("--from=")]
            paths = [word for word in words if not word.startswith("--")][:-1]
            if origin and origin[0] not in stages:
                report.add(DOCKERFILE, line, f"stage {origin[0]!r}", one_of(stages))
            for path in [] if origin else paths:
                relative = check_mount(report, DOCKERFILE, line, path)
                copied.add(relative)
                if ignored(patterns, relative):
                    report.add(DOCKERFILE, line, f"{path} is kept out by {IGNORE}", f"!{path} in it")
    for member in source.members:
        if member != "." and not any(member == path or member.startswith(path + "/") for path in copied):
            report.add(DOCKERFILE, 1, f"workspace member {member} is not copied", "it: cargo reads the whole workspace")
    match = re.fullmatch(r"([1-9]\d*)(:\d+)?", user[1]) if user else None
    if not match:
        line, given = user or (1, "is not set")
        report.add(DOCKERFILE, line, f"USER {given}", "a number that is not 0, in the last stage")
    line, signal = found.get("STOPSIGNAL", (1, "is not set"))
    if signal != "SIGTERM":
        report.add(DOCKERFILE, line, f"STOPSIGNAL {signal}", "SIGTERM, which weir drains on")
    line, entrypoint = found.get("ENTRYPOINT", (1, "is not set"))
    if entrypoint != '["/usr/local/bin/weir"]':
        report.add(DOCKERFILE, line, f"ENTRYPOINT {entrypoint}", '["/usr/local/bin/weir"]: signals reach weir itself')
    line, command = found.get("CMD", (1, "[]"))
    source.check(DOCKERFILE, line, re.findall(r'"([^"]*)"', command))
    return int(match.group(1)) if match else None
