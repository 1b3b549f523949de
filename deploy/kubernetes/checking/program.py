"""That the manifests agree with the program: its settings, commands, secrets, version."""

import tomllib

import manifests
import rules

SECRETS_AT = "/run/secrets/tidings/"
# What a gateway does after its drain: goodbyes, the last answers, the release of its claim. In seconds.
AFTER_DRAIN = 20
# What the other roles need to hand over their partitions and leave. In seconds.
HAND_OVER = 20


def settings(world):
    """Only what the program knows is set. (tests/deploy.rs has the program itself read it.)"""
    config = world.named("ConfigMap", "tidings")["data"]
    try:
        given = tomllib.loads(config["tidings.toml"])
    except tomllib.TOMLDecodeError as error:
        yield f"config/configmap.yaml: tidings.toml: {error}"
        return
    for section, fields in given.items():
        for field, value in fields.items():
            known = world.defaults.get(section, {})
            if field not in known:
                yield f"config/configmap.yaml: {section}.{field} is no setting"
            elif type(value) is not type(known[field]):
                yield f"config/configmap.yaml: {section}.{field} is not of the kind of its default, {known[field]!r}"
    for document, _, pod in rules.templates(world):
        for variable in (variable for container in pod["containers"] for variable in container.get("env", [])):
            section, _, field = variable["name"].removeprefix("TIDINGS_").lower().partition("__")
            if variable["name"] != "TIDINGS_CONFIG" and field not in world.defaults.get(section, {}):
                yield f"{document}: {variable['name']} is no setting"


def files(world):
    """What a role reads from files is mounted in its pods, and the Secret and the ConfigMap have it."""
    example = set(world.named("Secret", "tidings")["stringData"])
    given = tomllib.loads(world.named("ConfigMap", "tidings")["data"]["tidings.toml"])
    shared = {value for fields in given.values() for name, value in fields.items() if name.endswith("_file")}
    for document, _, pod in rules.templates(world):
        (container,) = pod["containers"]
        own = {variable["value"] for variable in container["env"]}
        places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        mounted = set()
        for volume in pod["volumes"]:
            source = volume.get("secret") or volume["configMap"]
            keys = {item["key"] for item in source["items"]}
            has = example if "secret" in volume else set(world.named("ConfigMap", "tidings")["data"])
            if source.get("secretName", source.get("name")) != "tidings" or keys - has:
                yield f"{document}: the volume {volume['name']} is of keys that nobody has: {sorted(keys - has)}"
            mounted |= {f"{places.get(volume['name'])}/{item['path']}" for item in source["items"]}
        for path in (own | shared) - mounted:
            yield f"{document}: {path} is not mounted"
        for path in mounted - own - shared:
            yield f"{document}: {path} is mounted, but not used"


def secrets(world):
    """No value of the example can be used, and it is applied with nothing."""
    for name, value in world.named("Secret", "tidings")["stringData"].items():
        if value != "REPLACE-ME":
            yield f"{manifests.SECRET_EXAMPLE}: {name} is not REPLACE-ME"
    for part in world.kustomizations:
        if any(document.kind == "Secret" for document in world.in_part(part)):
            yield f"{part}: a Secret is applied; the real one would be written over"


def commands(world):
    for document, _, pod in rules.templates(world):
        (container,) = pod["containers"]
        expected = ["admin", "setup"] if document.kind == "Job" else [document.name]
        if container.get("args") != expected or f"Command::{document.name.title()}(" not in world.sources and document.kind != "Job":
            yield f"{document}: {container.get('args')} is not what it is called"


def images(world):
    """One image, of this version."""
    for document, _, pod in rules.templates(world):
        for container in pod["containers"]:
            name, _, tag = container["image"].rpartition(":")
            if not name or tag == "latest" or "/" in tag:
                yield f"{document}: the image has no fixed tag: {container['image']}"
            elif (name, tag) != ("registry.example/tidings", world.version):
                yield f"{document}: the image is not registry.example/tidings:{world.version}"


def grace(world):
    """Kubernetes kills nothing that is still saying goodbye."""
    for document, _, pod in rules.templates(world):
        if document.kind != "Deployment":
            continue
        (container,) = pod["containers"]
        needed = HAND_OVER
        if document.name == "gateway":
            gateway = world.settings()["gateway"]
            stop = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            needed = stop + (gateway["drain_notice_ms"] + gateway["drain_ms"]) / 1000 + AFTER_DRAIN
        given = pod.get("terminationGracePeriodSeconds", 30)
        if given < needed:
            yield f"{document}: terminationGracePeriodSeconds {given} is less than the {needed:g} s that it takes"


CHECKS = [settings, files, secrets, commands, images, grace]
