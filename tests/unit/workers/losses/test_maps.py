"""Maps of the masks: values by hand, the node's cache, and their way to the loss."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from workers.catalogue.losses import LOSSES, needed_maps
from workers.catalogue.losses.entry import MapName
from workers.contract import Component, DataProtocol, Runtime, TrainingProtocol, TrialSpec
from workers.losses.maps import MAPS, distances, map_of_mask
from workers.run import run_trial

ROOT2 = 2**0.5
ROW = [[0, 0, 1, 1, 1, 1]]
CORNER = [[1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("name", "mask", "expected"),
    [
        ("signed_distance", ROW, [[2, 1, 0, -1, -2, -3]]),
        ("boundary_distance", ROW, [[2, 1, 1, 2, 3, 4]]),
        ("signed_distance", CORNER, [[0, 1, 2], [1, ROOT2, 5**0.5]]),
        ("boundary_distance", CORNER, [[1, 1, 2], [1, ROOT2, 5**0.5]]),
        ("signed_distance", [[0, 0]], [[0, 0]]),
        ("signed_distance", [[1, 1]], [[0, 0]]),
        ("boundary_distance", [[0, 0]], [[0, 0]]),
        ("boundary_distance", [[1, 1]], [[0, 0]]),
    ],
)
def test_maps_have_the_values_by_hand(name, mask, expected):
    found = map_of_mask(name, np.array(mask, dtype=np.uint8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("size", [(40, 33), (1, 9), (9, 1), (1, 1)])
def test_distances_on_a_device_have_the_same_bits(name, size):
    random = np.random.default_rng(0)
    masks = np.stack([random.random(size) < share for share in (0, 0.001, 0.02, 0.5, 0.99, 1)])
    found = MAPS[name](*distances(torch.from_numpy(masks)[:, None]))
    expected = np.stack([map_of_mask(name, mask.astype(np.uint8)) for mask in masks])
    assert np.array_equal(found[:, 0].numpy(), expected)


def test_every_map_name_has_a_function():
    assert set(MAPS) == set(get_args(MapName))


def test_unknown_map_in_an_entry_is_refused():
    with pytest.raises(ValueError, match=r"needs an unknown map 'distnace'; .*boundary_distance"):
        replace(LOSSES["iou"], needs=("distnace",))  # type: ignore[arg-type]


class NoCheckpoints:
    def load(self):
        return None

    def save(self, state):
        pass


def spec_of(loss, repeat=0):
    return TrialSpec(
        dataset=Component(name="synthetic-skin", parameters={"num_images": 20}),
        model=Component(name="unet", parameters={"width": 2}),
        loss=Component(name=loss, parameters={"weights": [1.0, 0.1]} if "+" in loss else {}),
        repeat=repeat, seed=3, data=DataProtocol(image_size=32),
        training=TrainingProtocol(max_epochs=1, patience=1, batch_size=4),
    )  # fmt: skip


def test_augmented_masks_have_maps_of_their_own(tmp_path, monkeypatch):
    flipped = ({"name": "flips", "horizontal": 1.0, "vertical": 0.0},)
    spec = spec_of("boundary")
    plain = train_loss(spec, tmp_path)
    assert len(list(tmp_path.glob("arrays/*-signed_distance-1.npy"))) == 1
    augmented = replace(spec, training=replace(spec.training, augmentation=flipped))
    monkeypatch.setattr("workers.run._maps", None)
    assert train_loss(augmented, tmp_path) != plain


def train_loss(spec, folder):
    result = run_trial(
        spec, Runtime(data_root=None, cache_dir=str(folder)), NoCheckpoints(), lambda _: None
    )
    return result.epochs[0].train_loss


def test_trials_of_a_node_compute_a_map_once_per_image(monkeypatch, tmp_path):
    masks = []

    def counted(name, mask):
        masks.append(mask)
        return map_of_mask(name, mask)

    monkeypatch.setattr("workers.run.map_of_mask", counted)
    train_loss(spec_of("dice"), tmp_path)
    assert masks == []
    assert not list(tmp_path.glob("arrays/*.npy"))
    assert needed_maps("dice+boundary") == needed_maps("boundary") == ("signed_distance",)
    cached = train_loss(spec_of("dice+boundary"), tmp_path)
    train_loss(spec_of("boundary", repeat=1), tmp_path)
    assert len(masks) == 20
    (file,) = tmp_path.glob("arrays/*-signed_distance-1.npy")
    file.write_bytes(file.read_bytes()[:1000])
    assert train_loss(spec_of("dice+boundary"), tmp_path) == cached
    assert len(masks) == 40
    # Computed inside from the truth of each batch: the same bits.
    monkeypatch.setattr("workers.run.needed_maps", lambda _: ())
    assert train_loss(spec_of("dice+boundary"), tmp_path) == cached
