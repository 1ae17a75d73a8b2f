"""The systemd unit, and its example of an environment file."""

import re
import shlex

from .report import one_of
from .shared import SECRET_NAME, check_stop

UNIT, UNIT_ENV = "deploy/systemd/weir.service", "deploy/systemd/weir.env.example"
# of systemd's many keys those that are used here; another one is added when it is needed
UNIT_KEYS = {
    "Unit": "Description Documentation Wants After StartLimitIntervalSec".split(),
    "Service": """
        Type User Group EnvironmentFile ExecStart StateDirectory StateDirectoryMode WorkingDirectory KillSignal
        TimeoutStopSec Restart RestartSec RestartPreventExitStatus UMask NoNewPrivileges CapabilityBoundingSet
        AmbientCapabilities ProtectSystem ProtectHome PrivateTmp PrivateDevices PrivateUsers ProtectClock
        ProtectControlGroups ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc
        ProcSubset RemoveIPC LockPersonality MemoryDenyWriteExecute RestrictNamespaces RestrictRealtime
        RestrictSUIDSGID RestrictAddressFamilies SystemCallArchitectures SystemCallFilter SystemCallErrorNumber
        LimitCORE LimitNOFILE""".split(),
    "Install": ["WantedBy"],
}
UNIT_MUST = {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
             "PrivateDevices": "yes", "CapabilityBoundingSet": "", "Restart": "on-failure", "LimitCORE": "0"}
# by what they are called in src/cli/exit.rs: after these a restart does harm, after those it is the remedy
NO_RESTART, RESTART = {"Poison", "InUse"}, {"Failed", "DiskFull", "Unreachable", "Hung"}


def check_unit(report, source):
    """The systemd unit and its example of an environment file."""
    section, found = "", {}
    for line, content in enumerate(report.text(UNIT).splitlines(), 1):
        if not content.strip() or content.startswith(("#", ";")):
            continue
        header = re.fullmatch(r"\[(\w+)\]", content)
        if header:
            section = header.group(1)
            if section not in UNIT_KEYS:
                report.add(UNIT, line, f"section {section!r}", one_of(UNIT_KEYS))
            continue
        key, equals, value = content.partition("=")
        if not equals or key not in UNIT_KEYS.get(section, ()):
            report.add(UNIT, line, f"{key!r} in [{section}]", one_of(UNIT_KEYS.get(section, ())))
        found[key] = (line, value)
    for key, value in UNIT_MUST.items():
        line, given = found.get(key, (1, "not set"))
        if given != value:
            report.add(UNIT, line, f"{key} is {given!r}", repr(value))
    line, user = found.get("User", (1, "not set, hence root"))
    if user in ("", "0", "root") or "User" not in found:
        report.add(UNIT, line, f"User is {user}", "one that is not root")
    line, start = found.get("ExecStart", (1, ""))
    words = shlex.split(start)
    if not words or words[0] != "/usr/local/bin/weir":
        report.add(UNIT, line, f"ExecStart {start!r}", "/usr/local/bin/weir …")
    else:
        source.check(UNIT, line, words[1:])
    line, stop = found.get("TimeoutStopSec", (1, "90s by default"))
    check_stop(report, source, UNIT, line, stop)
    line, codes = found.get("RestartPreventExitStatus", (1, ""))
    given = {int(code) for code in codes.split() if code.isdigit()}
    for code in sorted(given - set(source.exits.values())):
        report.add(UNIT, line, f"exit code {code}", "one of those in src/cli/exit.rs")
    for name, code in source.exits.items():
        if name in NO_RESTART and code not in given:
            report.add(UNIT, line, f"a restart after {code} ({name})", "none: it does harm")
        if name in RESTART and code in given:
            report.add(UNIT, line, f"no restart after {code} ({name})", "one: it is the remedy")
    for line, content in enumerate(report.text(UNIT_ENV).splitlines(), 1):
        match = re.fullmatch(r"#?([A-Z][A-Z0-9_]*)=(.*)", content)
        if match and SECRET_NAME.search(match.group(1)) and match.group(2):
            report.add(UNIT_ENV, line, f"{match.group(1)} has a value", "none in a repository")
