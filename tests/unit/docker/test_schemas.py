"""The files of docker/ against the schemas of their readers; no daemon, no cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import ray
from compose_spec import PyCompose
from kubernetes_validate import ValidationError, validate

from tests.unit.docker.files import DOCKER, compose, pods, ray_up, rayjob

KUBERNETES = "1.37"

JOB_KEYS = {
    "entrypoint": str,
    "backoffLimit": int,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "submissionMode": str,
    "submitterConfig": dict,
    "rayClusterSpec": dict,
}
"""The keys of KubeRay's RayJob (ray.io/v1) in use, with their types in the operator's CRD 1.7."""


def tool(name: str, *arguments: object) -> str:
    """Runs a checker that a package installed; returns its complaints."""
    program = Path(sys.executable).parent / name
    done = subprocess.run(
        [str(program), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_dockerfile_is_free_of_known_mistakes():
    assert tool("hadolint", "--no-color", DOCKER / "Dockerfile") == ""


def test_the_checker_of_dockerfiles_finds_mistakes(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM ubuntu\nRUN cd /x && apt-get install -y y\n")
    assert "DL3003" in tool("hadolint", "--no-color", tmp_path / "Dockerfile")


def test_the_shell_script_is_free_of_known_mistakes():
    script = DOCKER / "slurm.sh"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert tool("shellcheck", "--severity=style", script) == ""


def test_compose_follows_the_compose_specification():
    parsed = PyCompose.from_json(json.dumps(compose()))
    assert set(parsed.service_names()) == {"head", "worker", "gpu-worker", "store", "bucket"}


def test_a_service_that_compose_does_not_know_is_refused():
    document = compose()
    document["services"]["head"]["prots"] = []
    with pytest.raises(ValueError, match="prots"):
        PyCompose.from_json(json.dumps(document))


def test_cluster_file_follows_the_schema_of_ray():
    from ray.autoscaler._private.util import prepare_config, validate_config

    document = ray_up()
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(document, schema)
    prepared = prepare_config(document)
    validate_config(prepared)
    (nodes,) = prepared["available_node_types"].values()
    assert (nodes["min_workers"], nodes["max_workers"]) == (2, 2)


def pod(spec: dict[str, object]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


@pytest.mark.parametrize("name", ["head", "gpu"])
def test_the_pods_follow_the_schema_of_kubernetes(name):
    validate(pod(pods()[name]), KUBERNETES, strict=True)
    validate(rayjob()[0], KUBERNETES, strict=True)


def test_a_pod_with_a_mistake_is_refused():
    with pytest.raises(ValidationError, match="contianers"):
        validate(pod(pods()["head"] | {"contianers": []}), KUBERNETES, strict=True)


def test_the_ray_job_uses_the_keys_of_kuberay():
    job = rayjob()[1]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    assert {key: type(value) for key, value in spec.items()} == JOB_KEYS
    assert spec["submissionMode"] in {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"}
    cluster = spec["rayClusterSpec"]
    assert set(cluster) == {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
    assert cluster["authOptions"] == {"mode": "token"}
    assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
    for group in cluster["workerGroupSpecs"]:
        assert set(group) == {
            "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template",
        }  # fmt: skip
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_head_takes_no_trials_and_a_lost_head_is_replaced():
    spec = rayjob()[1]["spec"]
    assert spec["backoffLimit"] >= 1
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert "nvidia.com/gpu" not in json.dumps(pods()["head"])
    assert "nvidia.com/gpu" in pods()["gpu"]["containers"][0]["resources"]["limits"]
