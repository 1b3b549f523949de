"""What scales: targets, limits, and that the metrics and groups are the program's."""

import re

AUTOSCALERS = {"hpa": "HorizontalPodAutoscaler", "keda": "ScaledObject"}
# By type: what it must have, and what else it may. (KEDA's definition allows anything; these are the names of its 2.20.)
TRIGGERS = {
    "cpu": ({"value"}, {"containerName"}),
    "prometheus": ({"serverAddress", "query", "threshold", "ignoreNullValues"}, {"activationThreshold", "timeout", "authModes"}),
    "kafka": (
        {"bootstrapServers", "consumerGroup", "topic", "lagThreshold", "offsetResetPolicy", "version"},
        {"activationLagThreshold", "tls", "sasl", "excludePersistentLag", "limitToPartitionsWithLag"},
    ),
}
# A pod that goes is a pause for its partitions or its sockets: seconds of less before one does.
SLOW = 900


def bounds(document):
    """Target, and how many pods at least and at most."""
    spec = document.data["spec"]
    target = spec["scaleTargetRef"]
    target = (target.get("apiVersion", "apps/v1"), target.get("kind", "Deployment"), target["name"])
    if document.kind == "ScaledObject":
        return target, spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    return target, spec.get("minReplicas", 1), spec["maxReplicas"]


def behavior(document):
    spec = document.data["spec"]
    if document.kind == "ScaledObject":
        spec = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {})
    return spec.get("behavior", {})


def most(world, role):
    kafka = world.settings()["kafka"]
    if role != "gateway":
        return kafka["partitions"]
    surge = world.named("Deployment", role)["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    return kafka["delivery_partitions"] - surge if isinstance(surge, int) else 0


def limits(world):
    for document in world.of_kind(*AUTOSCALERS.values()):
        (version, kind, name), least, maximum = bounds(document)
        deployments = {deployment.name for deployment in world.in_part("base") if deployment.kind == "Deployment"}
        if (version, kind) != ("apps/v1", "Deployment") or name not in deployments:
            yield f"{document}: there is no {kind} {name} to scale"
            continue
        if not 2 <= least <= maximum:
            yield f"{document}: {least} pods at least is not between 2 and {maximum}"
        if maximum > most(world, name):
            yield f"{document}: {maximum} pods at most is above {most(world, name)}, by the partitions of the configuration"
        if behavior(document).get("scaleDown", {}).get("stabilizationWindowSeconds", 0) < SLOW:
            yield f"{document}: it scales down sooner than after {SLOW} s"
    for deployment in world.of_kind("Deployment"):
        if deployment.data["spec"]["replicas"] > most(world, deployment.name):
            yield f"{deployment}: more pods than have work"


# One of its pods works at a time.
ALONE = {"scheduler"}


def alternatives(world):
    """Each Deployment whose load more pods share has exactly one autoscaler in each of the two, and none beside."""
    for part in world.kustomizations:
        found = [(d.kind, bounds(d)[0][2]) for d in world.in_part(part) if d.kind in AUTOSCALERS.values()]
        expected = [d.name for d in world.in_part(part) if d.kind == "Deployment" and d.name not in ALONE] if part in AUTOSCALERS else []
        if sorted(found) != sorted((AUTOSCALERS.get(part), name) for name in expected):
            yield f"{part}: {found} is not one autoscaler for each of {expected}"
        removed = [{"target": {"kind": "Deployment"}, "patch": "- op: remove\n  path: /spec/replicas\n"}]
        if world.kustomizations[part].get("patches", []) != (removed if part in AUTOSCALERS else []):
            yield f"{part}/kustomization.yaml: replicas must go where an autoscaler is, and nothing else"


def metrics(world):
    """Every metric that is asked for is one that the program has."""
    known = set(re.findall(r'"(tidings_[a-z_]+)"', world.sources))
    for document in world.of_kind(*AUTOSCALERS.values()):
        spec = document.data["spec"]
        asked = {metric["pods"]["metric"]["name"] for metric in spec.get("metrics", []) if "pods" in metric}
        for trigger in spec.get("triggers", []):
            asked |= set(re.findall(r"\btidings_[a-z_]+", trigger["metadata"].get("query", "")))
        for name in asked - known:
            yield f"{document}: the program has no metric {name}"


def triggers(world):
    for document in world.of_kind("ScaledObject"):
        for trigger in document.data["spec"]["triggers"]:
            if trigger["type"] not in TRIGGERS:
                yield f"{document}: the trigger {trigger['type']} is not known to this check"
                continue
            needed, allowed = TRIGGERS[trigger["type"]]
            keys = set(trigger["metadata"])
            for key in (needed - keys) | (keys - needed - allowed):
                yield f"{document}: {trigger['type']}: {key} is {'missing' if key in needed else 'unknown'}"
            if trigger["type"] == "kafka":
                yield from kafka(world, document, trigger)


def kafka(world, document, trigger):
    """The group that commits, at the same Kafka and in the same way as the program."""
    asked, own = trigger["metadata"], world.settings()["kafka"]
    topics = re.findall(r'pub const [A-Z]+_COMMANDS: &str = "([a-z-]+)"', world.sources)
    if asked.get("topic") not in topics or 'format!("sequencer-{}", A::COMMANDS)' not in world.sources:
        yield f"{document}: {asked.get('topic')} is not a topic of commands"
    if asked.get("consumerGroup") != f"sequencer-{asked.get('topic')}":
        yield f"{document}: the group {asked.get('consumerGroup')} commits nothing for {asked.get('topic')}"
    if asked.get("bootstrapServers") != own["brokers"]:
        yield f"{document}: bootstrapServers is not kafka.brokers"
    protocol = own["security_protocol"]
    if (asked.get("tls") == "enable") != protocol.endswith("ssl"):
        yield f"{document}: tls does not agree with kafka.security_protocol"
    mechanism = {"PLAIN": "plaintext", "SCRAM-SHA-256": "scram_sha256", "SCRAM-SHA-512": "scram_sha512"}[own["sasl_mechanism"]]
    if asked.get("sasl") != (mechanism if protocol.startswith("sasl") else None):
        yield f"{document}: sasl does not agree with kafka.sasl_mechanism"
    if protocol.startswith("sasl"):
        yield from credentials(world, document, trigger)


def credentials(world, document, trigger):
    name = trigger.get("authenticationRef", {}).get("name")
    found = [d for d in world.of_kind("TriggerAuthentication") if d.name == name]
    if not found:
        yield f"{document}: there is no TriggerAuthentication {name}"
        return
    config, secret = world.named("ConfigMap", "tidings")["data"], world.named("Secret", "tidings")["stringData"]
    spec = found[0].data["spec"]
    for field, has in [("configMapTargetRef", config), ("secretTargetRef", secret)]:
        for reference in spec.get(field, []):
            if reference["name"] != "tidings" or reference["key"] not in has:
                yield f"{found[0]}: {reference['name']} has no {reference['key']}"
    if config.get("kafka_sasl_username") != world.settings()["kafka"]["sasl_username"]:
        yield "config/configmap.yaml: kafka_sasl_username is not kafka.sasl_username"


def connections(world, part):
    """To Postgres, with every role at its most and one more while it is rolled out."""
    pods = {deployment.name: deployment.data["spec"]["replicas"] for deployment in world.of_kind("Deployment")}
    pods |= {bounds(d)[0][2]: bounds(d)[2] for d in world.in_part(part) if d.kind in AUTOSCALERS.values()}
    return sum(count + 1 for count in pods.values()) * world.settings()["postgres"]["max_connections"]


CHECKS = [limits, alternatives, metrics, triggers]
