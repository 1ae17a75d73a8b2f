"""All checks together."""

import re

from .compose import Compose
from .dockerfile import check_dockerfile
from .kubernetes import Kubernetes
from .monitoring import check_grafana, check_prometheus
from .report import Report
from .shared import Images
from .source import Source
from .tools import check_tools
from .unit import check_unit

SERVICES = "scripts/services.d/compose.yml"


def check_links(report):
    """Files that the page names are there."""
    page = "deploy/README.md"
    for line, content in enumerate(report.text(page).splitlines(), 1):
        for target in re.findall(r"\]\(([^)#:]+)\)", content):
            if not (report.root / "deploy" / target).exists():
                report.add(page, line, f"link {target!r}", "a file of the repository")


def check(root, tools):
    """Checks everything, with the programs that are installed where `tools` says so. The report."""
    report = Report(root)
    source = Source(report)
    images = Images(report, source)
    # the tests' servers first: what is used beside them must be the same
    for document in report.documents(SERVICES):
        for name, service in document.map("services").items():
            images.add(SERVICES, service.at("image"), str(service.get("image")))
    compose = Compose(report, source, images)
    compose.check()
    check_prometheus(report, source, compose)
    check_grafana(report, compose)
    user = check_dockerfile(report, source, images)
    Kubernetes(report, source, images, user).check()
    check_unit(report, source)
    check_links(report)
    for path in sorted([*root.glob("dashboards/**/*.yml"), *root.glob("dashboards/**/*.yaml")]):
        report.documents(str(path.relative_to(root)))
    if tools:
        check_tools(report)
    return report
