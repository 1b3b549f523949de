"""Strictly by the schemas: what they do not know is an error."""

import functools
import json
import pathlib

import jsonschema
import kubernetes_validate
import yaml

# The oldest with what we use (preStop.sleep), and the newest that the tool has.
KUBERNETES = ["1.30", "1.37"]
KEDA = pathlib.Path(__file__).parent / "keda"


def strict(schema):
    """A schema of a custom resource as the API server prunes by it, but what would be pruned is an error."""
    if not isinstance(schema, dict):
        return schema
    schema = dict(schema)
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if "properties" in schema:
        schema["properties"] = {name: strict(field) for name, field in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            schema[inner] = strict(schema[inner])
    return schema


@functools.cache
def custom():
    """By (apiVersion, kind)."""
    schemas = {}
    for path in KEDA.glob("*.yaml"):
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            # The definition leaves it to the API server.
            schema["properties"]["metadata"] = {
                "type": "object",
                "additionalProperties": False,
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "labels": {"type": "object"}, "annotations": {"type": "object"}},
            }
            schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return schemas


def check(world):
    for document in world.documents:
        yield from problems(document)


def problems(document):
    return [f"{document}: {problem}" for problem in _problems(json.dumps(document.data))]


@functools.cache
def _problems(text):
    """Kept by their text: the self-test has most objects many times over."""
    return tuple(_find(json.loads(text)))


def _find(data):
    try:
        schema = custom().get((data["apiVersion"], data["kind"]))
        if schema:
            for error in jsonschema.Draft202012Validator(schema).iter_errors(data):
                yield f"{error.json_path}: {error.message}"
            return
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(data, version, strict=True)
            except jsonschema.ValidationError as error:
                yield f"Kubernetes {version}: {error.json_path}: {error.message}"
    except (kubernetes_validate.SchemaNotFoundError, KeyError) as error:
        yield f"no schema: {getattr(error, 'message', error)}"
