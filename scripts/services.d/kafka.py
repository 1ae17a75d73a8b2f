"""Apache Kafka, one node that is broker and controller, with a listener of each kind."""

import base64
import os
import secrets
import socket
import struct

from base import Service, cached_jars, tool

HEAP = os.environ.get("KAFKA_HEAP", "1g")

# what every listener and both ways of running share; the paths differ
BROKER = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{bind}:{plaintext},SASL_PLAINTEXT://{bind}:{sasl},SSL://{bind}:{ssl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plaintext},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{ssl}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
ssl.keystore.type=PKCS12
ssl.keystore.location={keys}/server.p12
ssl.keystore.password={password}
log.dirs={logs}
num.network.threads=2
num.io.threads=4
num.partitions=4
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.consumer.min.session.timeout.ms=6000
group.consumer.session.timeout.ms=10000
group.consumer.min.heartbeat.interval.ms=1000
group.consumer.heartbeat.interval.ms=1000
# a broker killed and started again has to wait until its former self is given up
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
"""

LOG4J = """\
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c)%n%throwable
"""


class Kafka(Service):
    name = "kafka"

    def __init__(self, state, ports):
        self.data, self.settings, self.tls = state / "data", state / "kafka", state / "tls"
        self.plaintext, self.sasl, self.ssl, self.controller = (next(ports) for _ in range(4))
        self.user, self.password = "weir", secrets.token_hex(16)
        self.cluster = base64.urlsafe_b64encode(b"weir" + secrets.token_bytes(12)).decode().rstrip("=")

    def exports(self):
        return {
            "WEIR_TEST_BROKERS": f"127.0.0.1:{self.plaintext}",
            "WEIR_TEST_SASL_BROKERS": f"127.0.0.1:{self.sasl}",
            "WEIR_TEST_SASL_USERNAME": self.user,
            "WEIR_TEST_SASL_PASSWORD": self.password,
            "WEIR_TEST_SSL_BROKERS": f"127.0.0.1:{self.ssl}",
            "WEIR_TEST_SSL_CA": str(self.tls / "ca.pem"),
        }

    def answers(self):
        """Whether an ApiVersions request is answered."""
        request = struct.pack(">hhih", 18, 0, 1, 4) + b"weir"
        try:
            with socket.create_connection(("127.0.0.1", self.plaintext), timeout=2) as connection:
                connection.sendall(struct.pack(">i", len(request)) + request)
                return len(connection.recv(4)) > 0
        except OSError:
            return False

    def write_settings(self, bind, keys, logs):
        for folder in (self.settings, self.tls):
            folder.mkdir()
        text = BROKER.format(bind=bind, keys=keys, logs=logs, **vars(self))
        (self.settings / "server.properties").write_text(text)

    def make_certificate(self, keytool, folder):
        """A key for 127.0.0.1 and localhost, and its certificate, which is its own authority."""
        store = ["-keystore", f"{folder}/server.p12", "-storetype", "PKCS12", "-storepass", self.password, "-alias", "weir"]
        tool([*keytool, "-genkeypair", *store, "-keyalg", "RSA", "-keysize", "2048", "-validity", "30", "-dname",
              "CN=localhost", "-ext", "SAN=dns:localhost,ip:127.0.0.1", "-ext", "bc:c"])
        tool([*keytool, "-exportcert", "-rfc", *store, "-file", f"{folder}/ca.pem"])

    def prepare(self, java):
        self.jars = cached_jars("Apache Kafka, 55 MB", "kafka.pom.xml")
        self.write_settings("127.0.0.1", self.tls, self.data)
        (self.settings / "log4j2.properties").write_text(LOG4J)
        self.make_certificate([os.path.join(os.path.dirname(java), "keytool")], self.tls)
        tool([*self.jvm(java), "kafka.tools.StorageTool", "format", "-t", self.cluster, "-c", self.settings / "server.properties"])

    def jvm(self, java):
        return [java, "-Xms256m", f"-Xmx{HEAP}", f"-Dlog4j2.configurationFile={self.settings}/log4j2.properties", "-cp", f"{self.jars}/*"]

    def command(self, java):
        return [*self.jvm(java), "kafka.Kafka", self.settings / "server.properties"]

    def variables(self):
        return {"KAFKA_HEAP": HEAP, "CLUSTER_ID": self.cluster, "PLAINTEXT_PORT": self.plaintext, "SASL_PORT": self.sasl,
                "SSL_PORT": self.ssl}

    def prepare_container(self, docker):
        self.write_settings("0.0.0.0", "/etc/kafka/secrets", "/tmp/kafka-logs")
        self.make_certificate(docker.program(self.name, "keytool", self.tls), "/mnt")
