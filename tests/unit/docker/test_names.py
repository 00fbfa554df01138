"""Every command, path, port, variable and version that the files of docker/ name exists."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from moto.server import ThreadedMotoServer
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.scripts import scripts as ray_scripts

from orchestrator.cli.app import app
from orchestrator.config import load_config
from orchestrator.engine.jobs import STOP_WAIT_SECONDS
from tests.conftest import ROOT
from tests.unit.docker.files import DOCKER, compose, interpolated, pods, ray_up, rayjob

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
)
IMAGE = f"{PROJECT['name']}:{PROJECT['version']}"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
SLURM = (DOCKER / "slurm.sh").read_text()


def strings(document: object) -> Iterator[str]:
    """Yields every string in a document."""
    if isinstance(document, dict):
        for value in document.values():
            yield from strings(value)
    elif isinstance(document, list | tuple):
        for value in document:
            yield from strings(value)
    elif isinstance(document, str):
        yield document


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yields the file and the words of every command line of `ray` and `podium`."""
    slurm = re.sub(r"\\\n\s*", "", SLURM)
    pages = (ROOT / "docs" / "cluster.md").read_text()
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", pages, re.DOTALL)
    shown = "\n".join(re.sub(r"\\\n\s*", "", block) for block in blocks)
    headers = "\n".join(path.read_text() for path in DOCKER.iterdir() if path.is_file())
    comments = "\n".join(re.findall(r"^# .*?: ((?:ray|podium) .*?)\. docs", headers, re.MULTILINE))
    sources = {
        "compose.yaml": "\n".join(strings(compose())),
        "rayjob.yaml": "\n".join(strings(rayjob())),
        "cluster.yaml": "\n".join(strings(ray_up())),
        "slurm.sh": slurm,
        "cluster.md": re.sub(r"^\$ ", "", shown, flags=re.MULTILINE),
        "headers": comments,
    }
    found = re.compile(
        r"^\s*(?:if |until |exec |start .*? )?((?:ray|podium) [a-z].*?)(?:\s*[;&|>]|\s+#|$)",
        re.MULTILINE,
    )
    for name, text in sources.items():
        for line in found.findall(text):
            plain = line.replace('"${size[@]}"', "--num-cpus=1 --num-gpus=0")
            plain = plain.replace('"$@"', "sweep.yaml")
            yield name, shlex.split(re.sub(r"\$\(?\(?\w+\)?\)?", "1", interpolated(plain)))


COMMANDS = sorted({(name, *words) for name, words in commands()})


@pytest.mark.parametrize(("name", "words"), [(c[0], c[1:]) for c in COMMANDS])
def test_every_command_is_accepted_by_ray_or_podium(name, words, monkeypatch):
    """The parsers of the programs parse all options; no command runs."""
    if name == "slurm.sh":
        assert "export RAY_API_SERVER_ADDRESS=" in SLURM
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://head:8265")
    own = typer.main.get_command(app) if words[0] == "podium" else ray_scripts.cli
    command: Any = own
    rest = list(words[1:])
    while getattr(command, "commands", None):
        assert rest[0] in command.commands, words
        command = command.commands[rest.pop(0)]
    command.make_context(words[-1], rest, resilient_parsing=False)


def test_files_have_the_required_commands():
    seen = {tuple(command[:3]) for command in COMMANDS}
    for file in ("compose.yaml", "cluster.yaml", "slurm.sh"):
        assert (file, "ray", "start") in seen
    for file in ("rayjob.yaml", "cluster.md"):
        assert {(file, "podium", "run")} & seen or {(file, "podium", "submit")} & seen
    assert ("slurm.sh", "podium", "submit") in seen


def test_versions_equal_those_of_project_and_constraints():
    assert rayjob()[1]["spec"]["rayClusterSpec"]["rayVersion"] == PINS["ray"]
    named = [text for doc in (compose(), rayjob(), ray_up()) for text in strings(doc)]
    images = {text for text in named if text.startswith(PROJECT["name"] + ":")}
    assert images == {IMAGE}
    assert f'image.version="{PROJECT["version"]}"' in DOCKERFILE
    assert f"--tag {IMAGE}" in DOCKERFILE
    (cuda,) = re.findall(r"nvidia/cuda:(\d+\.\d+)\.", DOCKERFILE)
    assert PINS["cuda-toolkit"].startswith(cuda + ".")
    assert f"RAY_JOB_STOP_WAIT_TIME_S={STOP_WAIT_SECONDS}" in DOCKERFILE
    versions = re.findall(r"versitygw:v\d+\.\d+\.\d+", json.dumps(compose()))
    assert versions  # pinned, never `latest`


def test_every_package_that_the_image_installs_is_pinned():
    # The image has Python 3.12: a package that only Python 3.12 needs must be pinned too.
    image: dict[str, str] = {**default_environment(), "python_version": "3.12"}  # type: ignore[dict-item]
    waiting = [Requirement(text) for text in PROJECT["dependencies"]]
    seen: set[tuple[str, str]] = set()
    while waiting:
        needed = waiting.pop()
        for extra in {"", *needed.extras} - {e for name, e in seen if name == needed.name}:
            seen.add((needed.name, extra))
            for text in importlib.metadata.requires(needed.name) or ():
                inner = Requirement(text)
                if inner.marker is None or inner.marker.evaluate({**image, "extra": extra}):
                    waiting.append(inner)
    names = {canonicalize_name(name) for name, _ in seen}
    assert len(names) > 100
    # The requirements of the build are not installed here, so only their names are compared.
    names |= {
        canonicalize_name(Requirement(text).name) for text in PYPROJECT["build-system"]["requires"]
    }
    assert names <= {canonicalize_name(name) for name in PINS}


def test_every_installation_in_the_image_is_constrained():
    runs = re.findall(r"^.*pip install .*$", DOCKERFILE, re.MULTILINE)
    assert len(runs) == 2
    assert all(
        re.search("(PIP_CONSTRAINT=/src/|--constraint )constraints.txt", run) for run in runs
    )


def test_image_has_a_compiler_for_compiled_training():
    installed = DOCKERFILE.rpartition("FROM")[2]
    assert {"g++", "python3-dev"} <= set(installed.split())


def test_paths_of_the_project_exist():
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    allowed = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    for path in copied:
        assert (ROOT / path).exists(), path
        assert f"!{path.rstrip('/')}" in allowed
    build = compose()["services"]["head"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).samefile(DOCKER / "Dockerfile")
    for text in [*re.findall(r"docker/[\w.]+", "\n".join(p.read_text() for p in DOCKER.iterdir()))]:
        assert (ROOT / text.rstrip(".")).exists(), text
    for text in re.findall(r"docs/[\w.]+\.md", "\n".join(p.read_text() for p in DOCKER.iterdir())):
        assert (ROOT / text).exists(), text


def test_ports_of_all_files_are_equal():
    services = compose()["services"]
    (port,) = re.findall(r"--port=(\d+)", services["head"]["command"])
    (dashboard,) = re.findall(r"--dashboard-port=(\d+)", services["head"]["command"])
    for name in ("worker", "gpu-worker"):
        assert f"--address=head:{port}" in services[name]["command"]
    assert services["head"]["ports"] == [f"127.0.0.1:{dashboard}:{dashboard}"]
    endpoint = services["head"]["environment"]["AWS_ENDPOINT_URL"]
    assert endpoint == f"http://store{services['store']['environment']['VGW_PORT']}"
    assert set(re.findall(r"\d+", re.findall(r"EXPOSE (.*)", DOCKERFILE)[0])) == {port, dashboard}
    named = {
        item["name"]: item["containerPort"] for item in pods()["head"]["containers"][0]["ports"]
    }
    assert (named["gcs-server"], named["dashboard"]) == (int(port), int(dashboard))
    # The default of Ray, which no file changes.
    (agent,) = re.findall(r"127\.0\.0\.1:(\d+)/api", DOCKERFILE)
    from ray._private.ray_constants import DEFAULT_DASHBOARD_AGENT_LISTEN_PORT

    assert int(agent) == DEFAULT_DASHBOARD_AGENT_LISTEN_PORT


def test_every_variable_is_read_by_a_program():
    """Variables of Ray, the store's client and the driver; a misspelt name has no effect."""
    set_here = {
        key for service in compose()["services"].values() for key in service.get("environment", {})
    } | set(re.findall(r"^(?:ENV|   ) (\w+)=", DOCKERFILE, re.MULTILINE))
    set_here |= set(re.findall(r"--env (\w+)=", json.dumps(ray_up())))
    set_here |= set(re.findall(r"^export (?:\w+=|)(\w+)", SLURM, re.MULTILINE))
    known = {
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL",
        "AWS_EC2_METADATA_DISABLED", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
        "PATH", "PYTHONUNBUFFERED", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_JOB_STOP_WAIT_TIME_S",
        "RAY_API_SERVER_ADDRESS", "VGW_BACKEND", "VGW_BACKEND_ARG", "VGW_PORT", "ROOT_ACCESS_KEY",
        "ROOT_SECRET_KEY",
    }  # fmt: skip
    assert {name for name in set_here if name.isupper()} <= known
    installed = Path(ray_scripts.__file__).parents[1]
    sources = "\n".join(
        path.read_text(errors="replace")
        for folder in ("_private", "dashboard/modules/job")
        for path in (installed / folder).rglob("*.py")
    )
    for name in sorted(item for item in set_here if item.startswith("RAY_")):
        assert name in sources, name


def test_secrets_are_required_and_never_written():
    text = (DOCKER / "compose.yaml").read_text()
    for name in ("RAY_AUTH_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert f"{name}: ${{{name}:?" in text
    assert "token_hex" in SLURM


def test_ray_job_has_a_valid_configuration(tmp_path):
    (path, text), *others = rayjob()[0]["data"].items()
    assert not others
    config = tmp_path / path
    config.write_text(text)
    loaded = load_config(config)
    assert loaded.results.startswith("s3://")
    (head,) = pods()["head"]["containers"]
    mounts = {item["name"]: item["mountPath"] for item in head["volumeMounts"]}
    assert f"{mounts['sweep']}/{path}" in rayjob()[1]["spec"]["entrypoint"]
    assert loaded.data.cache == mounts["cache"]
    limits = pods()["gpu"]["containers"][0]["resources"]["limits"]
    assert int(limits["cpu"]) >= loaded.resources.cpus
    assert int(limits["nvidia.com/gpu"]) >= float(loaded.resources.gpus)


def test_compose_bucket_can_be_made_twice(monkeypatch):
    """Runs the command of the service `bucket` against a real S3-compatible server."""
    command = compose()["services"]["bucket"]["command"]
    ast.parse(command[2])
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    environment = compose()["services"]["bucket"]["environment"] | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    }
    try:
        for _ in range(2):
            subprocess.run([sys.executable, *command[1:]], env=os.environ | environment, check=True)
    finally:
        server.stop()


def test_yaml_of_every_file_can_be_read(tmp_path):
    for path in DOCKER.glob("*.yaml"):
        assert list(yaml.safe_load_all(interpolated(path.read_text())))
