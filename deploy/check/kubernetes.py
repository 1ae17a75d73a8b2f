"""deploy/kubernetes: kinds and names, pods that are locked up, and that what they refer to is there."""

import ipaddress
import os
import re

from .report import numbered, one_of, texts, words_of
from .shared import SECRET_NAME, TOPOLOGY_IN_IMAGE, check_mount, check_stop, check_topology

KUBERNETES = "deploy/kubernetes"
LABEL = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
KINDS = {
    "ConfigMap": "v1", "Namespace": "v1", "Secret": "v1", "Service": "v1", "StatefulSet": "apps/v1", "Job": "batch/v1",
    "PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1",
    "Kustomization": "kustomize.config.k8s.io/v1beta1",
}
PROBES = {"startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready"}
RESOURCES = (("requests", "cpu"), ("requests", "memory"), ("limits", "memory"))


def name_of(item):
    return item.map("metadata").get("name")


def containers_of(template):
    spec = template.map("spec")
    return [*spec.list("initContainers"), *spec.list("containers")]


class Kubernetes:
    """The folder's objects. `user` is the number of the image's user."""

    def __init__(self, report, source, images, user):
        self.report, self.source, self.images, self.user = report, source, images, user
        # objects with their files, pod templates with file and owner, image tags, files of ConfigMaps, keys of Secrets
        self.objects, self.pods, self.tags, self.configs, self.secrets = [], [], {}, {}, {}

    def of_kind(self, kind):
        return [(path, item) for path, item in self.objects if item.get("kind") == kind]

    def check(self):
        paths = sorted((self.report.root / KUBERNETES).glob("*.yaml"))
        files = {path.name: f"{KUBERNETES}/{path.name}" for path in paths}
        if "kustomization.yaml" not in files:
            self.report.add(KUBERNETES, 1, "no kustomization.yaml", "one")
            return
        for name, path in files.items():
            for document in self.report.documents(path):
                self.object(path, document)
                if name == "kustomization.yaml":
                    self.kustomization(path, document, set(files) - {name})
        for path, item in self.of_kind("Secret"):
            self.secret(path, item)
        for path, item in self.of_kind("StatefulSet") + self.of_kind("Job"):
            self.pods.append((path, item, item.map("spec").map("template")))
        for path, item, template in self.pods:
            self.pod(path, item, template)
        for path, item in self.of_kind("Service"):
            self.selects(path, item, "selector", item.map("spec").map("selector"))
        for path, item in self.of_kind("PodDisruptionBudget"):
            self.selects(path, item, "selector", item.map("spec").map("selector").map("matchLabels"))
        for path, item in self.of_kind("NetworkPolicy"):
            self.selects(path, item, "podSelector", item.map("spec").map("podSelector").map("matchLabels"))
            self.networks(path, item)

    def object(self, path, item):
        kind, version, name = item.get("kind"), item.get("apiVersion"), name_of(item)
        if kind not in KINDS:
            self.report.add(path, item.at("kind"), f"kind {kind!r}", one_of(KINDS))
        elif KINDS[kind] != version:
            self.report.add(path, item.at("apiVersion"), f"apiVersion {version!r}", f"{KINDS[kind]} for a {kind}")
        if kind == "Kustomization":
            return
        line = item.map("metadata").at("name")
        if not LABEL.match(str(name)):
            self.report.add(path, line, f"name {name!r}", "small letters, digits and dashes")
        if name in [name_of(other) for _, other in self.of_kind(kind)]:
            self.report.add(path, line, f"{kind} {name} is there twice", "it once")
        self.objects.append((path, item))

    def kustomization(self, path, item, files):
        resources = item.list("resources")
        for name, line in numbered(resources):
            if name not in files:
                self.report.add(path, line, f"resource {name!r} is not there", one_of(files))
            elif name.endswith(".example.yaml"):
                self.report.add(path, line, f"{name} is an example", "no example among the resources")
        for name in files - set(resources):
            if not name.endswith(".example.yaml"):
                self.report.add(path, item.at("resources"), f"{name} is not among the resources", "it there")
        for generator in item.list("configMapGenerator"):
            keys = self.configs.setdefault(generator.get("name"), {})
            for file, line in numbered(generator.get("files")):
                key, _, source = str(file).rpartition("=")
                relative = check_mount(self.report, path, line, f"{KUBERNETES}/{source}")
                if not relative.startswith(KUBERNETES + "/"):
                    self.report.add(path, line, f"file {source!r}", "one of the folder: kustomize refuses others")
                keys[key or os.path.basename(source)] = relative
        for image in item.list("images"):
            name = image.get("name")
            self.tags[name] = f"{image.get('newName', name)}:{image.get('newTag')}"
            self.images.add(path, image.at("newTag"), self.tags[name])

    def secret(self, path, item):
        self.secrets[name_of(item)] = item.map("stringData")
        for part in ("stringData", "data"):
            values = item.map(part)
            for key in values:
                if values[key]:
                    self.report.add(path, values.at(key), f"{key} has a value", "none in a repository")

    def pod(self, path, item, template):
        spec = template.map("spec")
        if item.get("kind") == "StatefulSet":
            self.stateful(path, item, template)
        security = spec.map("securityContext")
        profile = security.map("seccompProfile").get("type")
        for holder, key, given, wanted in (
            (security, "runAsNonRoot", security.get("runAsNonRoot"), True),
            (security, "runAsUser", security.get("runAsUser"), self.user),
            (security, "seccompProfile", profile, "RuntimeDefault"),
            (spec, "automountServiceAccountToken", spec.get("automountServiceAccountToken"), False),
        ):
            if given != wanted or type(given) is not type(wanted):
                self.report.add(path, holder.at(key), f"{key} of the pod is {given!r}", repr(wanted))
        volumes = {volume.get("name"): volume for volume in spec.list("volumes")}
        for volume in volumes.values():
            config, secret = volume.map("configMap"), volume.map("secret")
            if config and config.get("name") not in self.configs:
                self.report.add(path, config.at("name"), f"ConfigMap {config.get('name')!r}", one_of(self.configs))
            if secret and secret.get("secretName") not in self.secrets:
                wrong = f"Secret {secret.get('secretName')!r}"
                self.report.add(path, secret.at("secretName"), wrong, one_of(self.secrets))
            if "hostPath" in volume:
                self.report.add(path, volume.at("hostPath"), "a path of the node", "none: restricted pods have none")
        for claim in item.map("spec").list("volumeClaimTemplates"):
            volumes[name_of(claim)] = claim
        names, mounted = set(), set()
        for container in containers_of(template):
            if container.get("name") in names:
                self.report.add(path, container.at("name"), f"container {container['name']} is there twice", "it once")
            names.add(container.get("name"))
            mounted |= {mount.get("name") for mount in container.list("volumeMounts")}
            self.container(path, item, container, volumes)
        for name in set(volumes) - mounted:
            wrong = f"volume {name!r} is mounted nowhere"
            self.report.add(path, volumes[name].line, wrong, "a container that mounts it")

    def stateful(self, path, item, template):
        spec, pod, labels = item.map("spec"), template.map("spec"), template.map("metadata").map("labels")
        selector, grace = spec.map("selector").map("matchLabels"), pod.get("terminationGracePeriodSeconds")
        if not selector or not selector.items() <= labels.items():
            wanted = f"labels of its pods: {dict(labels)}"
            self.report.add(path, spec.at("selector"), f"selector {dict(selector)}", wanted)
        check_stop(self.report, self.source, path, pod.at("terminationGracePeriodSeconds"), grace)
        services = {name_of(service): service.map("spec") for _, service in self.of_kind("Service")}
        name, line = spec.get("serviceName"), spec.at("serviceName")
        if name not in services:
            self.report.add(path, line, f"serviceName {name!r}", "a Service, " + one_of(services))
        elif services[name].get("clusterIP") != "None":
            self.report.add(path, line, f"Service {name} has an address of its own", "clusterIP: None")
        notes = template.map("metadata").map("annotations")
        ports = {str(port.get("containerPort")) for one in containers_of(template) for port in one.list("ports")}
        for key, known in (("prometheus.io/path", self.source.routes & {"/metrics"}), ("prometheus.io/port", ports)):
            if notes.get(key) not in known:
                self.report.add(path, notes.at(key), f"{key} is {notes.get(key)!r}", one_of(known))

    def container(self, path, item, container, volumes):
        name, image = container.get("name"), str(container.get("image"))
        self.images.add(path, container.at("image"), self.tags.get(image, image))
        if image.split(":")[0] == "weir":
            self.source.check(path, container.at("args"), words_of(container.get("args")))
        security, line = container.map("securityContext"), container.at("securityContext")
        for key, value in (("allowPrivilegeEscalation", False), ("readOnlyRootFilesystem", True)):
            if security.get(key) is not value:
                self.report.add(path, line, f"{key} of {name} is {security.get(key)!r}", repr(value))
        if security.get("capabilities") != {"drop": ["ALL"]}:
            self.report.add(path, line, f"capabilities of {name}", "drop: [ALL] and none added")
        for part, key in RESOURCES:
            if key not in container.map("resources").map(part):
                self.report.add(path, container.at("resources"), f"{name} has no {part} of {key}", "one")
        variables = self.variables(path, container)
        topology = None
        for mount in container.list("volumeMounts"):
            volume = volumes.get(mount.get("name"))
            if volume is None:
                self.report.add(path, mount.at("name"), f"volume {mount.get('name')!r}", one_of(volumes))
                continue
            files = self.configs.get(volume.map("configMap").get("name"), {})
            if "configMap" in volume and mount.get("subPath") not in files:
                self.report.add(path, mount.at("subPath"), f"subPath {mount.get('subPath')!r}", one_of(files))
            elif mount.get("mountPath") == TOPOLOGY_IN_IMAGE:
                topology = files.get(mount.get("subPath"))
        if topology:
            self.topology(path, item, container, topology, variables)
        else:
            self.report.add(path, container.at("volumeMounts"), f"{name} has no {TOPOLOGY_IN_IMAGE}", "a mount of one")
        if container.list("ports"):
            self.probes(path, container)

    def probes(self, path, container):
        ports = [port.get(key) for port in container.list("ports") for key in ("name", "containerPort")]
        for probe, wanted in PROBES.items():
            get = container.map(probe).map("httpGet")
            line = get.at("path") or container.line
            if get.get("path") != wanted:
                self.report.add(path, line, f"{probe} asks {get.get('path')!r}", wanted)
            elif wanted not in self.source.routes:
                self.report.add(path, line, f"{probe} asks {wanted!r}", one_of(self.source.routes))
            if get and get.get("port") not in ports:
                self.report.add(path, get.at("port"), f"{probe} asks port {get.get('port')!r}", one_of(ports))

    def variables(self, path, container):
        """Names of the environment, and whether each is the pod's name."""
        found = {}
        for entry in container.list("envFrom"):
            secret = entry.map("secretRef")
            if secret.get("name") not in self.secrets:
                self.report.add(path, secret.at("name"), f"Secret {secret.get('name')!r}", one_of(self.secrets))
            found |= dict.fromkeys(self.secrets.get(secret.get("name"), {}), False)
        for entry in container.list("env"):
            name, origin = str(entry.get("name")), entry.map("valueFrom")
            found[name] = origin.map("fieldRef").get("fieldPath") == "metadata.name"
            key = origin.map("secretKeyRef")
            keys = self.secrets.get(key.get("name"), {})
            if key and key.get("key") not in keys:
                wrong = f"key {key.get('key')!r} of Secret {key.get('name')!r}"
                self.report.add(path, key.at("key"), wrong, one_of(keys))
            if SECRET_NAME.search(name) and entry.get("value"):
                self.report.add(path, entry.at("value"), f"{name} is written down", "a Secret")
        return found

    def topology(self, path, item, container, topology, variables):
        where = f"{container.get('name')} in {path}"
        hosts, port, process = check_topology(self.report, self.source, topology, variables, where)
        if item.get("kind") == "StatefulSet" and process and not any(map(variables.get, process[1])):
            wanted = "a variable from fieldRef metadata.name: two of one name fence each other"
            self.report.add(topology, process[0], "process is not the pod's name", wanted)
        listening = [entry.get("containerPort") for entry in container.list("ports")]
        if listening and port not in listening:
            wanted = f"{port}, where {topology} has weir listen"
            self.report.add(path, container.at("ports"), f"containerPort {listening}", wanted)
        rules = [rule for _, policy in self.of_kind("NetworkPolicy") for rule in policy.map("spec").list("egress")]
        allowed = {str(entry.get("port")) for rule in rules for entry in rule.list("ports")}
        for line, host in hosts:
            if allowed and ":" in host and host.rpartition(":")[2] not in allowed:
                wanted = f"its port in an egress rule of {KUBERNETES}/networkpolicy.yaml"
                self.report.add(topology, line, f"{host} is out of reach", wanted)

    def selects(self, path, item, key, selector):
        """What selects pods finds some, and they listen on the ports it names."""
        spec, kind = item.map("spec"), item.get("kind")
        labelled = [(template, template.map("metadata").map("labels")) for _, _, template in self.pods]
        chosen = [template for template, labels in labelled if selector.items() <= labels.items()]
        if not selector or not chosen:
            self.report.add(path, spec.at(key), f"{kind} selects {dict(selector)}", "labels that pods have")
            return
        ports = [port for template in chosen for one in containers_of(template) for port in one.list("ports")]
        known = {port.get(key) for port in ports for key in ("name", "containerPort")}
        wanted = [port for port in spec.list("ports")]
        wanted += [port for rule in spec.list("ingress") for port in rule.list("ports")]
        for entry in wanted:
            port = entry.get("targetPort", entry.get("port"))
            if port not in known:
                self.report.add(path, entry.line, f"port {port!r} of {kind}", one_of(known))

    def networks(self, path, item):
        for text, line in texts(item.map("spec").get("egress"), item.line):
            if re.match(r"[\d.]+/", text):
                try:
                    ipaddress.ip_network(text)
                except ValueError as error:
                    self.report.add(path, line, f"network {text!r}", f"an address and its bits ({error})")
