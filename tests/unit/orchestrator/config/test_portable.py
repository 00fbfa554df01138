"""A submitted configuration: the same sweep from any folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from orchestrator.config import load_config
from orchestrator.config.portable import portable_yaml
from orchestrator.config.schema import SweepFile
from orchestrator.config.values import DataRoot, LocalPath, Location
from orchestrator.plan.grid import build_grid
from tests.conftest import ROOT
from tests.integration.sweeps import write_config

PATHS = {
    "data": {"root": "../data", "cache": "cache", "image_size": 32},
    "datasets": [
        "synthetic-skin",
        {"name": "folder", "alias": "own", "root": "mine"},
        {"name": "kvasir-seg", "root": "s3://bucket/kvasir.tar"},
    ],
    "results": "results",
}


def moved(path: Path, folder: Path, overrides: tuple[str, ...] = ()) -> Path:
    text = portable_yaml(path, overrides)
    target = folder / "other.yaml"
    folder.mkdir(exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def same(one: Path, other: Path, overrides: tuple[str, ...] = ()) -> None:
    a, b = load_config(one, overrides), load_config(other)
    assert dataclasses.replace(a, source=str(other), cluster=b.cluster) == b
    assert build_grid(a).trial_ids == build_grid(b).trial_ids


def test_paths_become_absolute_and_the_name_stays(tmp_path):
    config = write_config(tmp_path, **PATHS)
    values = yaml.safe_load(portable_yaml(config))
    assert values["results"] == str(tmp_path / "results")
    assert values["data"]["root"] == str(tmp_path.parent / "data")
    assert values["data"]["cache"] == str(tmp_path / "cache")
    assert [e if isinstance(e, str) else e.get("root") for e in values["datasets"]] == [
        "synthetic-skin", str(tmp_path / "mine"), "s3://bucket/kvasir.tar",
    ]  # fmt: skip
    same(config, moved(config, tmp_path / "elsewhere"))


def test_portable_document_includes_overrides(tmp_path):
    config = write_config(tmp_path, name=None)
    overrides = (
        "training.learning_rate=1e-3", "repeats=3", "results=../there", 'models.0.alias="1e-3"',
    )  # fmt: skip
    other = moved(config, tmp_path / "elsewhere", overrides)
    assert load_config(other).results == str(tmp_path.parent / "there")
    same(config, other, overrides)


def test_sweep_name_from_the_file_name_is_kept(tmp_path):
    config = write_config(tmp_path, name=None)
    assert load_config(moved(config, tmp_path / "elsewhere")).name == "sweep"


def test_home_folders_and_uris_are_not_resolved(tmp_path):
    config = write_config(
        tmp_path, data={"cache": "~/fast", "root": "file:///data"}, results="s3://b/r"
    )
    values = yaml.safe_load(portable_yaml(config))
    assert values["data"] == {"cache": "~/fast", "root": "file:///data"}
    assert values["results"] == "s3://b/r"


def test_cluster_address_is_removed_from_the_document(tmp_path):
    config = write_config(tmp_path, cluster={"address": "10.0.0.1:6379", "cpus": 3})
    assert yaml.safe_load(portable_yaml(config))["cluster"] == {"cpus": 3}


def test_pretrained_files_are_found_from_anywhere(tmp_path):
    model = {"name": "unet", "parameters": {"pretrained": "weights/x.pth"}}
    (values,) = yaml.safe_load(portable_yaml(write_config(tmp_path, models=[model])))["models"]
    assert values["parameters"]["pretrained"] == str(tmp_path / "weights" / "x.pth")
    model["parameters"] = {"pretrained": True}
    (values,) = yaml.safe_load(portable_yaml(write_config(tmp_path, models=[model])))["models"]
    assert values["parameters"]["pretrained"] is True


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_published_configuration_is_portable(tmp_path, path):
    same(path, moved(path, tmp_path / "elsewhere"))


def test_every_path_of_the_schema_is_made_absolute():
    """A new key that holds a path must be made absolute too."""

    def paths(model, prefix=""):
        for key, field in model.model_fields.items():
            name = f"{prefix}{key}"
            if any(repr(meta) in KNOWN for meta in field.metadata) or holds(field.annotation):
                yield name
            inner = getattr(field.annotation, "model_fields", None)
            if inner:
                yield from paths(field.annotation, f"{name}.")
            for part in getattr(field.annotation, "__args__", ()):
                if hasattr(part, "model_fields"):
                    yield from paths(part, f"{name}.")

    def holds(annotation):
        return any(repr(meta) in KNOWN for part in getattr(annotation, "__args__", ())
                   for meta in getattr(part, "__metadata__", ()))  # fmt: skip

    KNOWN = {repr(kind.__metadata__[0]) for kind in (DataRoot, LocalPath, Location)}  # type: ignore[attr-defined]
    assert set(paths(SweepFile)) == {
        "results", "data.root", "data.cache", "datasets.root", "models.file", "losses.file",
    }  # fmt: skip
