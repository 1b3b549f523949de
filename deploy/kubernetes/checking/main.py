"""The index: everything that is checked, in order."""

import shutil
import subprocess
import sys

import yaml

import manifests
import program
import rules
import scaling
import schemas
import selftest

CHECKS = [*rules.CHECKS, *program.CHECKS, *scaling.CHECKS]


def problems(world):
    # The other checks may rely on what the schemas ask for.
    return list(schemas.check(world)) or [problem for check in CHECKS for problem in check(world)]


def rendered():
    """What kustomize makes of them, if it is here: that it accepts the directories, and the schemas accept what it makes."""
    if shutil.which("kustomize"):
        tool = ["kustomize", "build"]
    elif shutil.which("kubectl"):
        tool = ["kubectl", "kustomize"]
    else:
        print("deploy/kubernetes: kustomizations not built, there is no kustomize")
        return []
    found = []
    for part in manifests.PARTS:
        built = subprocess.run([*tool, manifests.HERE / part], capture_output=True, text=True, check=False)
        if built.returncode:
            found.append(f"{part}: kustomize: {built.stderr.strip()}")
            continue
        for data in yaml.load_all(built.stdout, Loader=manifests.Strict):
            # A namespace is the one thing that kustomize adds to custom resources.
            if "." in data["apiVersion"].split("/")[0]:
                data["metadata"].pop("namespace", None)
            found += schemas.problems(manifests.Document(f"{part} (built)", data))
            if part in ("hpa", "keda") and data["kind"] == "Deployment" and "replicas" in data["spec"]:
                found.append(f"{part}: the autoscaler and the Deployment {data['metadata']['name']} both say how many pods")
    return found


def main():
    world = manifests.load()
    if sys.argv[1:] == ["--self-test"]:
        return selftest.run(world, problems)
    if sys.argv[1:]:
        sys.exit(f"usage: check [--self-test], not {sys.argv[1:]}")
    found = problems(world) + rendered()
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        return 1
    versions = " and ".join(schemas.KUBERNETES)
    print(f"deploy/kubernetes: {len(world.documents)} objects accepted by the schemas of Kubernetes {versions} and of KEDA")
    for part in ("base", "hpa", "keda"):
        print(f"deploy/kubernetes/{part}: at most {scaling.connections(world, part)} connections to Postgres")
    return 0


sys.exit(main())
