"""Prometheus and promtool: programs that tests start themselves, each with what it is to scrape."""

import os
import shutil

from base import FETCH_S, Refused, Service, cached, tool

PROGRAMS = ("prometheus", "promtool")


class Prometheus(Service):
    name = "prometheus"
    runs = False

    def __init__(self, _state, _ports):
        self.paths = {}

    def exports(self):
        return {f"WEIR_TEST_{program.upper()}": str(path) for program, path in self.paths.items()}

    def prepare(self, _java):
        """What is installed, else Debian's package, unpacked but not installed."""
        self.paths = {program: shutil.which(program) for program in PROGRAMS}
        if all(self.paths.values()):
            return
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise Refused("no Prometheus to be had: install prometheus and promtool, or Docker with Compose")
        self.found_in(cached("Prometheus, 19 MB", b"debian", self.fetch) / "usr" / "bin")

    @staticmethod
    def fetch(folder):
        try:
            tool(["apt-get", "download", "-q", "prometheus"], FETCH_S, cwd=folder)
        except Refused as error:
            raise Refused(f"{error}\ninstall prometheus, or run apt-get update first") from None
        [package] = folder.glob("*.deb")
        tool(["dpkg", "-x", package, folder])
        package.unlink()

    def prepare_container(self, docker):
        """The image's programs need nothing else of it, so that tests run them here."""
        def copy(folder):
            tool([*docker.program(self.name, "cp", folder), *(f"/bin/{program}" for program in PROGRAMS), "/mnt"])

        self.found_in(cached("Prometheus", docker.image(self.name).encode(), copy))

    def found_in(self, folder):
        self.paths = {program: os.path.join(folder, program) for program in PROGRAMS}
