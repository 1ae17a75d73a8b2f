"""What docker-compose.yml mounts into Prometheus and Grafana."""

import os
import re

from .compose import COMPOSE
from .report import Map, numbered, texts


def check_prometheus(report, source, compose):
    """prometheus.yml: its rules are mounted, its targets listen, weir has the path."""
    path = compose.mounted("prometheus", "/etc/prometheus/prometheus.yml")
    if not path:
        compose.add(compose.services.at("prometheus"), "prometheus has no prometheus.yml", "a mount of one")
        return
    for config in report.documents(path):
        for glob, line in numbered(config.get("rule_files")):
            if not compose.mounted("prometheus", os.path.dirname(str(glob))):
                report.add(path, line, f"rules in {glob!r}", f"a folder that {COMPOSE} mounts")
        if not config.list("rule_files"):
            report.add(path, config.line, "no rule_files", "the rules of dashboards/rules")
        jobs = [job for job in config.list("scrape_configs") if isinstance(job, Map)]
        if "weir" not in [job.get("job_name") for job in jobs]:
            report.add(path, config.at("scrape_configs"), "no job named weir", "one that scrapes it")
        for job in jobs:
            metrics = job.get("metrics_path", "/metrics")
            if job.get("job_name") == "weir" and metrics not in source.routes & {"/metrics"}:
                report.add(path, job.at("metrics_path"), f"path {metrics!r}", "/metrics, as src/api/routes.rs has it")
            for target, line in texts(job.get("static_configs"), job.line):
                compose.listens(path, line, target.replace("127.0.0.1", "prometheus"))


def check_grafana(report, compose):
    """Grafana's provisioning: the data source that dashboards name, and where dashboards are."""
    folder = compose.mounted("grafana", "/etc/grafana/provisioning")
    base = report.root / (folder or "nowhere")
    found = {kind: sorted(base.glob(f"{kind}/*.yml")) for kind in ("datasources", "dashboards")}
    for kind, files in found.items():
        if not files:
            compose.add(compose.services.at("grafana"), f"grafana has no {kind} provisioned", f"{kind}/*.yml mounted")
    for file in found["datasources"]:
        path = str(file.relative_to(report.root))
        for config in report.documents(path):
            entries = config.list("datasources")
            for entry in entries:
                address = re.sub(r"^\w+://", "", str(entry.get("url"))).rstrip("/")
                compose.listens(path, entry.at("url"), address)
            uids = [entry.get("uid") for entry in entries]
            if "prometheus" not in uids:
                report.add(path, config.at("datasources"), f"uids {uids}", "prometheus, which the dashboards name")
    for file in found["dashboards"]:
        path = str(file.relative_to(report.root))
        for config in report.documents(path):
            for entry in config.list("providers"):
                options = entry.map("options")
                where = options.get("path")
                if not compose.mounted("grafana", str(where)):
                    report.add(path, options.at("path"), f"path {where!r}", f"a folder that {COMPOSE} mounts")
