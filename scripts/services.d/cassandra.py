"""Apache Cassandra, one node that asks for a password; it speaks the CQL that ScyllaDB does."""

import os
import socket
import struct

from base import Service, cached_jars

HEAP = os.environ.get("CASSANDRA_HEAP", "512m")
# what a new node creates
USER = PASSWORD = "cassandra"

# what is not named here is as Cassandra ships it, the bounds of batches and mutations above all
NODE = """\
cluster_name: weir
num_tokens: 1
initial_token: 0
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "127.0.0.1:{storage}"
listen_address: 127.0.0.1
storage_port: {storage}
rpc_address: {bind}
broadcast_rpc_address: 127.0.0.1
native_transport_port: {cql}
authenticator: PasswordAuthenticator
# with the periodic one a killed node has lost the last tenth of a second of what it acknowledged
commitlog_sync: batch
# a small node on a machine that does other things too
commitlog_total_space: 512MiB
concurrent_compactors: 1
auto_snapshot: false
read_request_timeout: 10s
range_request_timeout: 20s
write_request_timeout: 10s
truncate_request_timeout: 60s
"""

LOGBACK = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date %level %msg \\(%logger{0}\\)%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""

# a lone node has nobody to wait for, its passwords are no secrets, and it may guess what a row in memory
# costs from a thousand of them instead of 100,000: that alone is 2 s of each start
OPTIONS = ["-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.ring_delay_ms=0",
           "-Dcassandra.superuser_setup_delay_ms=0", "-Dcassandra.auth_bcrypt_gensalt_log2_rounds=4",
           "-Dcassandra.memtable_row_overhead_computation_step=1000"]

# what Cassandra reaches into of Java 17 (its own jvm17-server.options)
EXPORTS = ("java.base/jdk.internal.misc java.base/java.lang.ref java.management.rmi/com.sun.jmx.remote.internal.rmi "
           "java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql jdk.unsupported/sun.misc").split()
OPENS = ("java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect java.base/java.util "
         "java.base/jdk.internal.loader java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.ref "
         "java.base/jdk.internal.reflect java.base/jdk.internal.util.jar java.base/sun.nio.ch "
         "jdk.management/com.sun.management.internal").split()

# opcodes of the native protocol
STARTUP, AUTHENTICATE, AUTH_RESPONSE, AUTH_SUCCESS = 0x01, 0x03, 0x0F, 0x10


class Cassandra(Service):
    name = "cassandra"

    def __init__(self, state, ports):
        self.data, self.settings = state / "cassandra-data", state / "cassandra"
        self.cql, self.storage = next(ports), next(ports)

    def exports(self):
        return {"WEIR_TEST_CQL": f"127.0.0.1:{self.cql}", "WEIR_TEST_CQL_USERNAME": USER, "WEIR_TEST_CQL_PASSWORD": PASSWORD}

    def answers(self):
        """Whether its user can log in: nothing says that a new node creates it before it opens the port."""
        def ask(opcode, body):
            stream.write(struct.pack(">BBhBi", 4, 0, 0, opcode, len(body)) + body)
            stream.flush()
            *_, answer, length = struct.unpack(">BBhBi", stream.read(9))
            stream.read(length)
            return answer

        version = b"".join(struct.pack(">H", len(word)) + word for word in (b"CQL_VERSION", b"3.0.0"))
        login = f"\0{USER}\0{PASSWORD}".encode()
        try:
            with socket.create_connection(("127.0.0.1", self.cql), timeout=2) as connection, connection.makefile("rwb") as stream:
                return (ask(STARTUP, struct.pack(">H", 1) + version) == AUTHENTICATE
                        and ask(AUTH_RESPONSE, struct.pack(">i", len(login)) + login) == AUTH_SUCCESS)
        except (OSError, struct.error):
            return False  # not there, or closed amid an answer

    def write_settings(self, bind):
        self.settings.mkdir()
        (self.settings / "cassandra.yaml").write_text(NODE.format(bind=bind, **vars(self)))

    def prepare(self, _java):
        # the native libraries of other systems are a third of it
        self.jars = cached_jars("Apache Cassandra, 63 MB", "cassandra.pom.xml",
                                "-DexcludeClassifiers=osx-aarch_64,osx-x86_64,windows-x86_64,linux-riscv64")
        self.write_settings("127.0.0.1")
        (self.settings / "logback.xml").write_text(LOGBACK)
        for folder in ("tmp", "triggers"):
            (self.data / folder).mkdir(parents=True)

    def command(self, java):
        [agent] = self.jars.glob("jamm-*.jar")
        return [java, "-Xms64m", f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError",
                "-XX:-UsePerfData", f"-javaagent:{agent}", "-Djdk.attach.allowAttachSelf=true", "-Djava.net.preferIPv4Stack=true",
                *(f"--add-exports={name}=ALL-UNNAMED" for name in EXPORTS), *(f"--add-opens={name}=ALL-UNNAMED" for name in OPENS),
                *OPTIONS, f"-Dcassandra.config=file://{self.settings}/cassandra.yaml",
                f"-Dlogback.configurationFile={self.settings}/logback.xml", f"-Dcassandra.storagedir={self.data}",
                f"-Dcassandra.triggers_dir={self.data}/triggers", f"-Djava.io.tmpdir={self.data}/tmp",
                "-Dcassandra-foreground=yes",  # else it closes its output
                "-cp", f"{self.jars}/*", "org.apache.cassandra.service.CassandraDaemon"]

    def variables(self):
        return {"CASSANDRA_HEAP": HEAP, "CASSANDRA_OPTIONS": " ".join(OPTIONS), "CQL_PORT": self.cql}

    def prepare_container(self, _docker):
        self.write_settings("0.0.0.0")
