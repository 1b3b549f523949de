"""Reads the manifests as they are: strictly, and with where each comes from."""

import dataclasses
import pathlib
import tomllib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = ROOT / "deploy/kubernetes"
# What is applied on its own: setup, and one of the others.
PARTS = ["setup", "base", "hpa", "keda"]
SECRET_EXAMPLE = "config/secret.example.yaml"


class Strict(yaml.SafeLoader):
    """Refuses what PyYAML lets pass: the same key twice, of which the last would win."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name} twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


@dataclasses.dataclass
class Document:
    """One object, and the file it stands in, from deploy/kubernetes."""

    file: str
    data: dict

    @property
    def kind(self):
        return self.data["kind"]

    @property
    def name(self):
        return self.data["metadata"]["name"]

    def __str__(self):
        return f"{self.file}: {self.data.get('kind')} {self.data.get('metadata', {}).get('name')}"


@dataclasses.dataclass
class World:
    """Everything that is checked. The self-test changes copies of it."""

    documents: list
    # Of each directory: what its kustomization.yaml says.
    kustomizations: dict
    # What the program has: defaults, text of its sources, version.
    defaults: dict
    sources: str
    version: str

    def of_kind(self, *kinds):
        return [document for document in self.documents if document.kind in kinds]

    def named(self, kind, name):
        return next(document for document in self.of_kind(kind) if document.name == name).data

    def settings(self):
        """The configuration file, and the defaults below it."""
        given = tomllib.loads(self.named("ConfigMap", "tidings")["data"]["tidings.toml"])
        return {section: fields | given.get(section, {}) for section, fields in self.defaults.items()}

    def in_part(self, part):
        """The documents that are applied with a directory."""
        found = []
        for resource in self.kustomizations[part].get("resources", []):
            if resource.startswith("../"):
                found += self.in_part(resource.removeprefix("../"))
            else:
                found += [document for document in self.documents if document.file == f"{part}/{resource}"]
        return found


def load():
    files = sorted(path for path in HERE.glob("*/*.yaml") if path.parent.name in [*PARTS, "config"])
    documents, kustomizations = [], {}
    for path in files:
        file = str(path.relative_to(HERE))
        with path.open(encoding="utf-8") as text:
            found = [data for data in yaml.load_all(text, Loader=Strict) if data]
        if path.name == "kustomization.yaml":
            (kustomizations[path.parent.name],) = found
        else:
            documents += [Document(file, data) for data in found]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.rs")))
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    defaults = tomllib.loads((ROOT / "config/tidings.default.toml").read_text(encoding="utf-8"))
    return World(documents, kustomizations, defaults, sources, cargo["workspace"]["package"]["version"])
