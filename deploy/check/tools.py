"""The programs whose files these are, where they are installed."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .compose import COMPOSE, env_example
from .kubernetes import KUBERNETES
from .unit import UNIT

TOOL_S = 60


def run_tool(report, name, argv, path, **kwargs):
    """Asks a program that knows better; that it refuses is a finding. What it said, if it could be asked."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=TOOL_S, cwd=report.root, **kwargs)
    except (OSError, subprocess.TimeoutExpired) as error:
        report.skipped.append(f"{name} ({error.__class__.__name__})")
        return None
    if done.returncode:
        said = " | ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-5:])
        report.add(path, 1, f"{name} refuses it: {said}", "nothing to complain of")
    return done.stdout + done.stderr


def has_compose():
    try:
        return subprocess.run(["docker", "compose", "version"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def check_tools(report):
    """The programs whose files these are, where they are installed."""
    if has_compose():
        empty = {name: "x" for name in env_example(report)}
        argv = ["docker", "compose", "--file", COMPOSE, "--profile", "load", "config", "--quiet"]
        run_tool(report, "docker compose config", argv, COMPOSE, env=os.environ | empty)
    else:
        report.skipped.append("docker compose")
    if shutil.which("kubectl"):
        path = f"{KUBERNETES}/kustomization.yaml"
        built = run_tool(report, "kubectl kustomize", ["kubectl", "kustomize", KUBERNETES], path)
        if built is not None and not re.search(r"^kind: StatefulSet$", built, re.M):
            report.add(path, 1, "kubectl kustomize gives no StatefulSet", "one")
    else:
        report.skipped.append("kubectl")
    if shutil.which("systemd-analyze"):
        # it wants the program to be there: any will do
        unit = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", report.text(UNIT), flags=re.M)
        with tempfile.TemporaryDirectory(prefix="weir-check-deploy.") as folder:
            file = Path(folder) / "weir.service"
            file.write_text(unit)
            said = run_tool(report, "systemd-analyze verify", ["systemd-analyze", "verify", "--man=no", file], UNIT)
        # what it ignores it only mentions
        for line, what in re.findall(r"weir\.service:(\d+): (.*)", said or ""):
            report.add(UNIT, line, f"systemd-analyze verify: {what}", "nothing to mention")
    else:
        report.skipped.append("systemd-analyze")
