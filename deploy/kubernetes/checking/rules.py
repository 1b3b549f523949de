"""What no schema says: that the objects agree with each other."""

import manifests

KUSTOMIZATION = {"apiVersion", "kind", "namespace", "resources", "patches"}


def templates(world):
    """(document, labels, pod) of everything that makes pods."""
    for document in world.of_kind("Deployment", "Job"):
        template = document.data["spec"]["template"]
        yield document, template["metadata"]["labels"], template["spec"]


def matches(selector, labels):
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def listed(world):
    """Every file is in the kustomization of its directory, and nothing else is."""
    files = {document.file for document in world.documents} - {manifests.SECRET_EXAMPLE}
    for part, kustomization in world.kustomizations.items():
        for field in set(kustomization) - KUSTOMIZATION:
            yield f"{part}/kustomization.yaml: {field} is not a field that this check knows"
        if kustomization.get("namespace") != "tidings":
            yield f"{part}/kustomization.yaml: the namespace is not tidings"
        resources = {resource for resource in kustomization["resources"] if not resource.startswith("../")}
        there = {file.removeprefix(f"{part}/") for file in files if file.startswith(f"{part}/")}
        for name in resources ^ there:
            yield f"{part}/kustomization.yaml: {name} is {'listed, but not there' if name in resources else 'not listed'}"


def unique(world):
    for part in world.kustomizations:
        seen = set()
        for document in world.in_part(part):
            key = (document.kind, document.name)
            if key in seen:
                yield f"{part}: {document.kind} {document.name} twice"
            seen.add(key)


def selectors(world):
    """Every selector finds the pods it is for, and a Deployment's finds no other's."""
    pods = list(templates(world))
    for document, labels, pod in pods:
        if document.kind == "Deployment":
            selector = document.data["spec"]["selector"].get("matchLabels", {})
            if not matches(selector, labels):
                yield f"{document}: the selector does not match the labels of its own pods"
            for other, others, _ in pods:
                if other is not document and matches(selector, others):
                    yield f"{document}: the selector also matches the pods of {other.name}"
        for spread in pod.get("topologySpreadConstraints", []):
            if not matches(spread["labelSelector"].get("matchLabels", {}), labels):
                yield f"{document}: a topologySpreadConstraint does not match its own pods"
    fields = {"Service": "selector", "PodDisruptionBudget": "selector", "NetworkPolicy": "podSelector"}
    for document in world.of_kind(*fields):
        selector = document.data["spec"][fields[document.kind]]
        selector = selector if document.kind == "Service" else selector.get("matchLabels", {})
        found = [pod for _, labels, pod in pods if matches(selector, labels)]
        if not found:
            yield f"{document}: the selector matches no pods"
        ports = {port["name"] for pod in found for container in pod["containers"] for port in container.get("ports", [])}
        for port in target_ports(document):
            if found and port not in ports:
                yield f"{document}: no pod has a port named {port}"


def target_ports(document):
    spec = document.data["spec"]
    if document.kind == "Service":
        return [port.get("targetPort") for port in spec["ports"]]
    return [port["port"] for rule in spec.get("ingress", []) for port in rule.get("ports", [])]


def budgets(world):
    """One for each Deployment, and each leaves something to take away."""
    for deployment, labels, _ in templates(world):
        if deployment.kind != "Deployment":
            continue
        found = [b for b in world.of_kind("PodDisruptionBudget") if matches(b.data["spec"]["selector"]["matchLabels"], labels)]
        if len(found) != 1:
            yield f"{deployment}: {len(found)} PodDisruptionBudgets instead of one"
        for budget in found:
            if not budget.data["spec"].get("maxUnavailable"):
                yield f"{budget}: maxUnavailable is not set, so that no node could ever be emptied"


def probes(world):
    for document, _, pod in templates(world):
        if document.kind != "Deployment":
            continue
        for container in pod["containers"]:
            ports = {port["name"] for port in container.get("ports", [])}
            for name, path in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]:
                ask = container.get(name, {}).get("httpGet", {})
                if ask.get("path") != path or ask.get("port") not in ports:
                    yield f"{document}: {name} does not ask {path} at a port of the container"


def hardened(world):
    """As Pod Security's `restricted`, which the namespace asks for, and a root file system that nobody writes."""
    for document, _, pod in templates(world):
        own = pod.get("securityContext", {})
        if own.get("runAsNonRoot") is not True or not own.get("runAsUser"):
            yield f"{document}: the pod may run as root"
        if own.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{document}: no seccomp profile"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{document}: the pod gets a token of the API server"
        if pod.get("enableServiceLinks") is not False:
            yield f"{document}: variables of Services come between the settings (enableServiceLinks)"
        for container in pod["containers"]:
            its = container.get("securityContext", {})
            if its.get("allowPrivilegeEscalation") is not False or its.get("capabilities", {}).get("drop") != ["ALL"]:
                yield f"{document}: the container may get more rights"
            if its.get("readOnlyRootFilesystem") is not True:
                yield f"{document}: the root file system can be written"
            resources = container.get("resources", {})
            if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
                yield f"{document}: resources need requests of cpu and memory, and a limit of memory"


CHECKS = [listed, unique, selectors, budgets, probes, hardened]
