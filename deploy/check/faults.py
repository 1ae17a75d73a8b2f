"""Faults that are planted, to prove that each is found."""

import shutil
import tempfile
from pathlib import Path

from .compose import COMPOSE, ENV_EXAMPLE
from .dockerfile import DOCKERFILE, IGNORE
from .everything import SERVICES, check
from .kubernetes import KUBERNETES
from .report import Refused
from .unit import UNIT, UNIT_ENV

COPIED = (
    COMPOSE, SERVICES, DOCKERFILE, IGNORE, "deploy", "dashboards", "topology", "src", "schemas", "benches", "judge",
    "load-tests", "Cargo.toml", "Cargo.lock", "docs", "README.md",
)


# what is planted: file, text that is there once, what it becomes, what the finding must say. No text: the file goes.
FAULTS = [
    (COMPOSE,
     "./deploy/compose/topology/weir.toml:", "./deploy/compose/topologie/weir.toml:",
     "topologie/weir.toml' is not there"),
    (COMPOSE, "apache/kafka:4.3.0", "apache/kafka:latest", "'apache/kafka:latest', expected name:version"),
    (COMPOSE, "apache/kafka:4.3.0", "apache/kafka:4.2.1", f"expected apache/kafka:4.3.0 as in {SERVICES}"),
    (COMPOSE, "apicurio-registry:3.0.9", "apicurio-registry", "expected name:version"),
    (COMPOSE, "image: weir:0.1.0", "image: weir:0.0.9", "the version in Cargo.toml"),
    (COMPOSE, "    WEIR_PROCESS: weir-1\n", "", "variable WEIR_PROCESS is not set"),
    (COMPOSE, "${LOAD_RATE:-200}", "${LOAD_PACE:-200}", "variable 'LOAD_PACE' is not in"),
    (COMPOSE, "${LOAD_RATE:-200}", "${LOAD_RATE}", "'LOAD_RATE' may be empty"),
    (COMPOSE,
     "GF_SECURITY_ADMIN_PASSWORD: ${GRAFANA_PASSWORD:?choose",
     "GF_SECURITY_ADMIN_PASSWORD: hush # ${GRAFANA_PASSWORD:?choose",
     "GF_SECURITY_ADMIN_PASSWORD of grafana is written down"),
    (COMPOSE, "- 127.0.0.1:9042:9042", "- 9042:9042", "port '9042:9042', expected 127.0.0.1"),
    (COMPOSE, "- 127.0.0.1:3000:3000", "- 127.0.0.1:9090:3000", "prometheus has it"),
    (COMPOSE, "      test: [CMD-SHELL, \"cqlsh -e 'describe keyspaces'\"]\n", "", "scylla's health check has no test"),
    (COMPOSE,
     "http://127.0.0.1:3000/api/health", "http://127.0.0.1:3001/api/health",
     "grafana's health check asks 127.0.0.1:3001"),
    (COMPOSE, "    mem_limit: 2g\n", "", "mem_limit of scylla is None"),
    (COMPOSE, "condition: service_completed_successfully", "condition: service_done", "condition 'service_done'"),
    (COMPOSE, "      migrate:\n        condition", "      migration:\n        condition", "weir waits for 'migration'"),
    (COMPOSE, "  scylla-data:\n  prometheus-data:", "  prometheus-data:", "volume 'scylla-data' is not declared"),
    (COMPOSE, "  grafana-data:\n", "  grafana-data:\n  other-data:\n", "volume 'other-data' is used by no service"),
    (COMPOSE, "[run, --topology", "[runs, --topology", "command 'runs'"),
    (COMPOSE, "--data, /var/lib/weir]", "--date, /var/lib/weir]", "option '--date'"),
    (COMPOSE, "--data, /var/lib/weir]", "--roles, 'score,apis']", "role 'apis'"),
    (COMPOSE, "weir topics create", "weir topic create", "command 'topic'"),
    (COMPOSE, "stop_grace_period: 60s", "stop_grace_period: 20s", "a stop is given 20s"),
    (COMPOSE, "  read_only: true\n", "", "read_only of weir is None"),
    (COMPOSE, "    expose: [\"9092\"]\n", "", "kafka does not listen on 9092"),
    (COMPOSE, "    restart: on-failure:5", "   restart: on-failure:5", "does not parse"),
    (COMPOSE, "    mem_limit: 1536m\n", "    mem_limit: 1536m\n    mem_limit: 1g\n", "'mem_limit' is there twice"),
    (COMPOSE, "    mem_limit: 1536m\n", "    mem_limits: 1536m\n", "key 'mem_limits' of kafka"),
    (COMPOSE,
     "      kafka:\n        condition: service_healthy\n\n  prometheus:",
     "      weir:\n        condition: service_healthy\n\n  prometheus:", "weir -> registry -> weir"),
    (COMPOSE, "rules:/etc/weir/rules:ro", "rules:/etc/weir/rules", "./topology/rules can be written by weir"),
    (COMPOSE, "      start_period: 120s\n", "      start_period: 2 minutes\n", "start_period is '2 minutes'"),
    (COMPOSE, "[CMD, weir-ready]", "[CMD, curl, localhost]", "expected [CMD, weir-ready]"),
    (COMPOSE,
     "./deploy/grafana/provisioning:/etc", "./deploy/grafana/provisioning:/opt",
     "grafana has no datasources provisioned"),
    (ENV_EXAMPLE, "GRAFANA_PASSWORD=", "GRAFANA_PASSWORD=admin", "GRAFANA_PASSWORD has a value"),
    (ENV_EXAMPLE, "LOAD_RATE=200", "LOAD_RATES=200", "variable LOAD_RATES is used nowhere"),
    ("deploy/compose/topology/weir.toml", "http://registry:8080", "http://registery:8080", "host 'registery'"),
    ("deploy/compose/topology/weir.toml", "kafka:9092", "kafka:9093", "kafka does not listen on 9093"),
    ("deploy/compose/topology/weir.toml", "0.0.0.0:8080", "127.0.0.1:8080", "nothing outside the container"),
    ("deploy/compose/topology/weir.toml", "[kafka]", "[kavka]", "section [kavka]"),
    ("deploy/compose/topology/weir.toml", 'keyspace = "weir"', 'keyspace = "weir', "does not parse"),
    ("deploy/compose/prometheus.yml", "weir:8080", "weir:8081", "weir does not listen on 8081"),
    ("deploy/compose/prometheus.yml", "metrics_path: /metrics", "metrics_path: /metric", "path '/metric'"),
    ("deploy/compose/prometheus.yml", "/etc/prometheus/rules/", "/etc/rules/", "rules in '/etc/rules/*.yml'"),
    ("deploy/grafana/provisioning/datasources/prometheus.yml",
     "uid: prometheus", "uid: metrics", "prometheus, which the dashboards name"),
    ("deploy/grafana/provisioning/dashboards/weir.yml",
     "path: /etc/grafana/dashboards", "path: /etc/dashboards", "path '/etc/dashboards'"),
    (DOCKERFILE, "rust:1.91.1-slim-bookworm", "rust:slim-bookworm", "expected name:version"),
    (DOCKERFILE, "rust:1.91.1-slim-bookworm", "rust:1.80.1-slim-bookworm", "the rust-version in Cargo.toml"),
    (DOCKERFILE, "COPY schemas schemas", "COPY schema schema", "path 'schema' is not there"),
    (DOCKERFILE, "COPY judge judge\n", "", "workspace member judge is not copied"),
    (DOCKERFILE, "USER 10001:10001\n", "", "USER is not set"),
    (DOCKERFILE, "USER 10001:10001", "USER root", "USER root"),
    (DOCKERFILE, "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL", "STOPSIGNAL SIGKILL"),
    (DOCKERFILE, "COPY --from=build ", "COPY --from=builder ", "stage 'builder'"),
    (IGNORE, "!schemas\n", "", "schemas is kept out by .dockerignore"),
    (IGNORE, "*\n!Cargo.toml", "target\n!Cargo.toml", ".env goes to the builder"),
    (f"{KUBERNETES}/statefulset.yaml", "serviceName: weir", "serviceName: weird", "serviceName 'weird'"),
    (f"{KUBERNETES}/statefulset.yaml", "apiVersion: apps/v1", "apiVersion: apps/v1beta1", "apps/v1 for a StatefulSet"),
    (f"{KUBERNETES}/statefulset.yaml",
     "                name: weir\n          securityContext: &locked",
     "                name: weir-passwords\n          securityContext: &locked", "Secret 'weir-passwords'"),
    (f"{KUBERNETES}/statefulset.yaml",
     "            name: weir-topology", "            name: topology", "ConfigMap 'topology'"),
    (f"{KUBERNETES}/statefulset.yaml", "path: /health/ready", "path: /healthz", "readinessProbe asks '/healthz'"),
    (f"{KUBERNETES}/statefulset.yaml",
     "prometheus.io/path: /metrics", "prometheus.io/path: /stats", "prometheus.io/path is '/stats'"),
    (f"{KUBERNETES}/statefulset.yaml",
     "containerPort: 8080", "containerPort: 8000", "where deploy/kubernetes/weir.toml has weir listen"),
    (f"{KUBERNETES}/statefulset.yaml",
     "terminationGracePeriodSeconds: 75", "terminationGracePeriodSeconds: 30", "a stop is given 30"),
    (f"{KUBERNETES}/statefulset.yaml",
     "runAsUser: 10001", "runAsUser: 1000", "runAsUser of the pod is 1000, expected 10001"),
    (f"{KUBERNETES}/statefulset.yaml",
     "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "readOnlyRootFilesystem of"),
    (f"{KUBERNETES}/statefulset.yaml", "              drop: [ALL]", "              drop: [NET_RAW]", "capabilities of"),
    (f"{KUBERNETES}/statefulset.yaml",
     "                  fieldPath: metadata.name", "                  fieldPath: metadata.namespace",
     "process is not the pod's name"),
    (f"{KUBERNETES}/statefulset.yaml", "[store, verify,", "[store, verity,", "weir store verity"),
    (f"{KUBERNETES}/statefulset.yaml",
     "  selector:\n    matchLabels:\n      app.kubernetes.io/name: weir\n",
     "  selector:\n    matchLabels:\n      app.kubernetes.io/name: wier\n", "expected labels of its pods"),
    (f"{KUBERNETES}/statefulset.yaml",
     "            - name: data\n              mountPath", "            - name: date\n              mountPath",
     "volume 'date'"),
    (f"{KUBERNETES}/statefulset.yaml",
     "        - name: weir\n          image: weir\n", "        - name: weir\n          image: weir:latest\n",
     "'weir:latest', expected name:version"),
    (f"{KUBERNETES}/statefulset.yaml", "              memory: 1Gi\n", "", "weir has no requests of memory"),
    (f"{KUBERNETES}/statefulset.yaml",
     "          configMap:\n            name: weir-topology", "          hostPath:\n            path: /etc",
     "a path of the node"),
    (f"{KUBERNETES}/statefulset.yaml",
     "            - name: WEIR_LOG_FORMAT\n              value: json",
     "            - name: WEIR_X\n              valueFrom: {secretKeyRef: {name: weir, key: WEIR_Y}}",
     "key 'WEIR_Y' of Secret 'weir'"),
    (f"{KUBERNETES}/statefulset.yaml",
     "automountServiceAccountToken: false", "automountServiceAccountToken: true",
     "automountServiceAccountToken of the pod is True"),
    (f"{KUBERNETES}/service.yaml",
     "app.kubernetes.io/component: processor", "app.kubernetes.io/component: worker", "Service selects"),
    (f"{KUBERNETES}/service.yaml", "targetPort: http", "targetPort: metrics", "port 'metrics' of Service"),
    (f"{KUBERNETES}/service.yaml", "clusterIP: None", "clusterIP: 10.0.0.7", "expected clusterIP: None"),
    (f"{KUBERNETES}/service.yaml", None, None, "resource 'service.yaml' is not there"),
    (f"{KUBERNETES}/poddisruptionbudget.yaml",
     "app.kubernetes.io/component: processor", "app.kubernetes.io/component: workers", "PodDisruptionBudget selects"),
    (f"{KUBERNETES}/networkpolicy.yaml", "port: 9093", "port: 9092", "kafka-bootstrap.kafka.svc:9093 is out of reach"),
    (f"{KUBERNETES}/networkpolicy.yaml", "port: 8080", "port: 8081", "port 8081 of NetworkPolicy"),
    (f"{KUBERNETES}/networkpolicy.yaml", "10.0.0.0/8", "10.0.0.1/8", "network '10.0.0.1/8'"),
    (f"{KUBERNETES}/kustomization.yaml", "  - service.yaml\n", "", "service.yaml is not among the resources"),
    (f"{KUBERNETES}/kustomization.yaml",
     "- migrate.yaml", "- migration.yaml", "resource 'migration.yaml' is not there"),
    (f"{KUBERNETES}/kustomization.yaml", "newTag: 0.1.0", "newTag: latest", "'weir:latest', expected name:version"),
    (f"{KUBERNETES}/kustomization.yaml",
     "      - weir.toml", "      - ../../topology/weir.toml", "kustomize refuses others"),
    (f"{KUBERNETES}/secret.example.yaml", '  WEIR_STORE_PASSWORD: ""\n', "", "variable WEIR_STORE_PASSWORD is not set"),
    (f"{KUBERNETES}/secret.example.yaml",
     'WEIR_STORE_PASSWORD: ""', 'WEIR_STORE_PASSWORD: "hush"', "WEIR_STORE_PASSWORD has a value"),
    (f"{KUBERNETES}/secret.example.yaml", "kind: Secret", "kind: Secrets", "kind 'Secrets'"),
    (f"{KUBERNETES}/migrate.yaml",
     "            - name: WEIR_PROCESS\n              value: weir-migrate\n",
     "            - name: WEIR_PASSWORD\n              value: hush\n", "WEIR_PASSWORD is written down"),
    (f"{KUBERNETES}/migrate.yaml", "  name: weir-migrate", "  name: weir_migrate", "name 'weir_migrate'"),
    (f"{KUBERNETES}/migrate.yaml",
     "              subPath: weir.toml", "              subPath: topology.toml", "subPath 'topology.toml'"),
    (UNIT, "ProtectSystem=strict", "ProtectSystem=full", "ProtectSystem is 'full'"),
    (UNIT, "ProtectHome=yes", "ProtectHomes=yes", "'ProtectHomes' in [Service]"),
    (UNIT, "RestartPreventExitStatus=3 4 5 7 8", "RestartPreventExitStatus=4 5 7 8", "a restart after 3 (Poison)"),
    (UNIT, "RestartPreventExitStatus=3 4 5 7 8", "RestartPreventExitStatus=3 4 9", "no restart after 9 (Unreachable)"),
    (UNIT, "RestartPreventExitStatus=3 4 5 7 8", "RestartPreventExitStatus=3 4 42", "exit code 42"),
    (UNIT, "TimeoutStopSec=75", "TimeoutStopSec=10", "a stop is given 10"),
    (UNIT, "User=weir\n", "User=root\n", "User is root"),
    (UNIT, "--data /var/lib/weir", "--folder /var/lib/weir", "option '--folder'"),
    (UNIT_ENV, "#WEIR_STORE_PASSWORD=", "WEIR_STORE_PASSWORD=hush", "WEIR_STORE_PASSWORD has a value"),
    ("src/api/routes.rs",
     '.route("/health/ready", get(ready))', '.route("/ready", get(ready))', "readinessProbe asks '/health/ready'"),
    ("src/config/limits.rs",
     "commit_deadline: Duration::from_secs(30)", "commit_deadline: Duration::from_secs(300)", "a stop is given 75"),
    ("src/cli/topics.rs", "    Create(Create),", "    Make(Create),", "command 'topics create'"),
    ("Cargo.toml", 'rust-version = "1.91"', 'rust-version = "1.99"', "rust:1.99"),
    ("topology/rules", None, None, "path './topology/rules' is not there"),
    ("deploy/image/weir-ready", None, None, "path 'deploy/image/weir-ready' is not there"),
    ("deploy/README.md", "](../docs/operations.md", "](../docs/operation.md", "link '../docs/operation.md'"),
]
# what only the programs themselves can know
TOOL_FAULTS = [
    ("kubectl", f"{KUBERNETES}/kustomization.yaml", "configMapGenerator:", "configMapGenerators:",
     "kubectl kustomize refuses it"),
    ("systemd-analyze", UNIT, "Type=exec", "Type=execute", "systemd-analyze verify: "),
]


def copy(root, into):
    """The files that are read, without what was built."""
    for name in COPIED:
        origin = root / name
        if origin.is_dir():
            shutil.copytree(origin, into / name, symlinks=True, ignore=shutil.ignore_patterns("target", "__pycache__"))
        elif origin.exists():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, into / name)


def plant(root, path, old, new):
    """Plants a fault; returns how to take it back."""
    target = root / path
    if old is None:
        aside = root / "aside"
        target.rename(aside)
        return lambda: aside.rename(target)
    before = target.read_text(encoding="utf-8")
    if before.count(old) < 1:
        raise Refused(f"self-test: {path} no longer has {old!r}: the fault cannot be planted")
    target.write_text(before.replace(old, new, 1), encoding="utf-8")
    return lambda: target.write_text(before, encoding="utf-8")


def self_test(root):
    """Every fault must bring a finding that the copy without it does not have. Returns the exit code."""
    missed, planted = 0, 0
    with tempfile.TemporaryDirectory(prefix="weir-check-deploy.") as folder:
        there = Path(folder)
        copy(root, there)
        before = {tools: set(check(there, tools).findings) for tools in (False, True)}
        faults = [(False, *fault) for fault in FAULTS]
        faults += [(True, *fault[1:]) for fault in TOOL_FAULTS if shutil.which(fault[0])]
        for tools, path, old, new, expected in faults:
            planted += 1
            restore = plant(there, path, old, new)
            try:
                found = [finding for finding in check(there, tools).findings if finding not in before[tools]]
            finally:
                restore()
            if not any(expected in finding for finding in found):
                missed += 1
                print(f"MISSED {path}: {old!r} -> {new!r}: no finding with {expected!r} among {found or 'none'}")
        if set(check(there, False).findings) != before[False]:
            raise Refused("self-test: a fault was not taken back")
    print(f"check-deploy: {planted - missed} of {planted} planted faults were found")
    return 1 if missed else 0
