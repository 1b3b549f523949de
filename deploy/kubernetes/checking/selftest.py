"""Breaks copies of the manifests, one at a time: a check that finds nothing wrong in them is no check."""

import copy

import yaml

import manifests


def change(kind, name, *path):
    """A step that sets the last of `path` but one to the last; None takes it away."""

    def apply(world):
        *way, last, value = path
        at = world.named(kind, name)
        for step in way:
            at = at[step]
        if value is None:
            del at[last]
        else:
            at[last] = value

    return apply


def toml(old, new):
    def apply(world):
        data = world.named("ConfigMap", "tidings")["data"]
        assert old in data["tidings.toml"], old
        data["tidings.toml"] = data["tidings.toml"].replace(old, new)

    return apply


def resource(part, name, add):
    def apply(world):
        resources = world.kustomizations[part]["resources"]
        resources.append(name) if add else resources.remove(name)

    return apply


POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)
KAFKA = ("spec", "triggers", 0, "metadata")
# (what is wrong, what must be said of it)
CASES = [
    (change("Deployment", "gateway", "spec", "replica", 3), "'replica' was unexpected"),
    (change("Deployment", "gateway", *CONTAINER, "readinessProbe", "httpGet", "prot", "http"), "'prot' was unexpected"),
    (change("Deployment", "gateway", *POD, "terminationGracePeriodSeconds", "60s"), "is not of type"),
    (change("HorizontalPodAutoscaler", "gateway", "spec", "metrics", 0, "resource", "target", None), "'target' is a required"),
    (change("HorizontalPodAutoscaler", "gateway", "apiVersion", "autoscaling/v2beta2"), "no schema"),
    (change("ScaledObject", "projector", "spec", "maxReplicas", 8), "'maxReplicas' was unexpected"),
    (change("ScaledObject", "projector", "spec", "advanced", "horizontalPodAutoscalerConfig", "behaviour", {}), "'behaviour' was unexp"),
    (change("ScaledObject", "projector", "spec", "minReplicaCount", "2"), "is not of type 'integer'"),
    (change("TriggerAuthentication", "kafka", "spec", "secretTargetRef", 0, "key", None), "'key' is a required"),
    (change("Service", "gateway", "spec", "selector", {"app.kubernetes.io/component": "gatway"}), "the selector matches no pods"),
    (change("Service", "gateway", "spec", "ports", 0, "targetPort", "web"), "no pod has a port named web"),
    (change("PodDisruptionBudget", "gateway", "spec", "selector", "matchLabels", {"app": "gateway"}), "the selector matches no pods"),
    (change("NetworkPolicy", "gateway", "spec", "podSelector", {}), "the selector matches no pods"),
    (change("Deployment", "gateway", "spec", "selector", "matchLabels", {"app": "x"}), "does not match the labels of its own pods"),
    (
        change("Deployment", "gateway", "spec", "selector", "matchLabels", {"app.kubernetes.io/name": "tidings"}),
        "the selector also matches the pods of",
    ),
    (change("Deployment", "publisher", *CONTAINER, "livenessProbe", "httpGet", "path", "/health"), "does not ask /livez"),
    (change("Deployment", "publisher", *CONTAINER, "securityContext", "readOnlyRootFilesystem", False), "can be written"),
    (change("Deployment", "publisher", *POD, "securityContext", "runAsNonRoot", None), "may run as root"),
    (change("Deployment", "publisher", *CONTAINER, "resources", "limits", None), "a limit of memory"),
    (change("Deployment", "publisher", *CONTAINER, "image", "registry.example/tidings:latest"), "no fixed tag"),
    (change("Deployment", "publisher", *CONTAINER, "image", "registry.example/tidings"), "no fixed tag"),
    (change("Deployment", "publisher", *CONTAINER, "args", ["publish"]), "is not what it is called"),
    (change("Deployment", "gateway", *CONTAINER, "env", 1, "name", "TIDINGS_CRYPTO__MASTER_KEY_FILE"), "is no setting"),
    (change("Deployment", "gateway", *CONTAINER, "env", 1, "value", "/run/secrets/master_keys"), "is not mounted"),
    (change("Deployment", "sequencer", *POD, "volumes", 1, "secret", "items", 0, "key", "postgres"), "keys that nobody has"),
    (change("Deployment", "gateway", *POD, "terminationGracePeriodSeconds", 30), "is less than the 58 s"),
    (toml("drain_ms = 30_000", "drain_ms = 90_000"), "is less than the 118 s"),
    (toml("partitions = 32", "partition = 32"), "kafka.partition is no setting"),
    (toml("max_connections = 8", 'max_connections = "8"'), "is not of the kind of its default"),
    (toml("delivery_partitions = 64", "delivery_partitions = 24"), "24 pods at most is above 23"),
    (toml("partitions = 32", "partitions = 4"), "8 pods at most is above 4"),
    (toml("kafka-bootstrap.kafka.svc", "kafka"), "bootstrapServers is not kafka.brokers"),
    (toml("SCRAM-SHA-512", "SCRAM-SHA-256"), "sasl does not agree"),
    (change("Secret", "tidings", "stringData", "postgres_url", "postgres://tidings:tidings@db/tidings"), "is not REPLACE-ME"),
    (resource("config", "secret.example.yaml", add=True), "a Secret is applied"),
    (resource("base", "network.yaml", add=False), "network.yaml is not listed"),
    (resource("keda", "../hpa", add=True), "is not one autoscaler for each"),
    (lambda world: world.kustomizations["hpa"].pop("patches"), "replicas must go"),
    (change("ScaledObject", "projector", "spec", "scaleTargetRef", "name", "projectors"), "there is no Deployment projectors"),
    (change("HorizontalPodAutoscaler", "gateway", "spec", "maxReplicas", 64), "64 pods at most is above 63"),
    (change("ScaledObject", "sequencer", "spec", "maxReplicaCount", None), "100 pods at most is above 32"),
    (change("ScaledObject", "publisher", "spec", "minReplicaCount", None), "0 pods at least"),
    (change("HorizontalPodAutoscaler", "sequencer", "spec", "behavior", None), "scales down sooner"),
    (change("ScaledObject", "sequencer", *KAFKA, "consumerGroup", "sequencer"), "commits nothing for"),
    (change("ScaledObject", "sequencer", *KAFKA, "topic", "conversation-journal"), "is not a topic of commands"),
    (change("ScaledObject", "sequencer", *KAFKA, "lagTreshold", "1"), "lagTreshold is unknown"),
    (change("ScaledObject", "sequencer", *KAFKA, "version", None), "version is missing"),
    (change("ScaledObject", "projector", *KAFKA, "query", "sum(tidings_projector_lag)"), "the program has no metric tidings_projector_lag"),
]


def run(world, problems):
    failed = 0
    if found := problems(world):
        failed += 1
        print("the manifests are not right to begin with:", *found, sep="\n  ")
    for index, (breaking, expected) in enumerate(CASES):
        broken = copy.deepcopy(world)
        breaking(broken)
        found = problems(broken)
        if not any(expected in problem for problem in found):
            failed += 1
            print(f"case {index}: wanted “{expected}”, found {found}")
    try:
        yaml.load("a: 1\na: 2\n", Loader=manifests.Strict)
        failed += 1
        print("the same key twice was accepted")
    except yaml.YAMLError:
        pass
    print(f"deploy/kubernetes: self-test: {len(CASES) + 2 - failed} passed, {failed} failed")
    return 1 if failed else 0
