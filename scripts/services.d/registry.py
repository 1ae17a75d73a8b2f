"""Apicurio Registry, kept in memory, asked through the API it shares with Confluent's."""

import http.client
import tarfile

from base import FETCH_S, Service, cached, tool

ARTIFACT = "io.apicurio:apicurio-registry-app:3.0.9:tar.gz:all"
PATH = "/apis/ccompat/v7"


class Registry(Service):
    name = "registry"

    def __init__(self, _state, ports):
        self.port, self.management = next(ports), next(ports)

    def exports(self):
        return {"WEIR_TEST_REGISTRY": f"http://127.0.0.1:{self.port}{PATH}"}

    def answers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", PATH + "/subjects")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def prepare(self, _java):
        [self.jar] = cached("Apicurio Registry, 110 MB", ARTIFACT.encode(), self.fetch).glob("*-runner.jar")

    @staticmethod
    def fetch(folder):
        tool(["mvn", "-B", "-q", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder}"], FETCH_S, cwd=folder)
        [archive] = folder.glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder)
        archive.unlink()

    def command(self, java):
        return [java, "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1",
                f"-Dquarkus.http.port={self.port}", "-Dquarkus.management.host=127.0.0.1",
                f"-Dquarkus.management.port={self.management}", "-Dapicurio.storage.kind=sql", "-Dapicurio.storage.sql.kind=h2",
                "-Dapicurio.datasource.url=jdbc:h2:mem:registry;DB_CLOSE_DELAY=-1", "-Dquarkus.log.level=WARN",
                "-Dquarkus.otel.sdk.disabled=true", "-jar", self.jar]

    def variables(self):
        return {"REGISTRY_PORT": self.port}
