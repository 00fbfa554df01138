"""ImageRelations: pictures that are equal, nearly equal, or of one group of the layout."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.workers.datasets.conftest import Write
from workers.contract import SIMILAR_DISTANCE, Component, DataProtocol
from workers.datasets import open_dataset
from workers.datasets.likeness.hashing import classes, label_pairs, near_pairs
from workers.datasets.likeness.relations import ImageRelations, unrelated

MINE = Component(name="folder", label="mine")
GROUP, SIMILAR = DataProtocol(split_unit="group"), DataProtocol(split_unit="similar")


def photo(seed: int, side: int = 560) -> np.ndarray:
    """Returns blobs of several sizes: large enough to be decoded at half its size."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def jpeg(pixels: np.ndarray, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def with_comment(data: bytes) -> bytes:
    return data[:2] + b"\xff\xfe\x00\x09Photo 1" + data[2:]


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.fixture
def photos(tmp_path: Path, write_picture: Write, write_mask: Write) -> Path:
    """Seven different photographs as JPEG, and four relatives of 0 and 1."""
    files = {f"{i}.jpg": jpeg(photo(i)) for i in range(7)}
    files["comment.jpg"] = with_comment(files["0.jpg"])
    files["worse.jpg"] = jpeg(photo(0), quality=50)
    (tmp_path / "images").mkdir()
    for name, data in files.items():
        (tmp_path / "images" / name).write_bytes(data)
    write_picture("images/lossless.png", decoded(files["0.jpg"]))
    small = Image.fromarray(photo(1)).resize((280, 280))
    write_picture("images/small.png", np.asarray(small))
    for path in (tmp_path / "images").iterdir():
        side = 280 if path.stem == "small" else 560
        write_mask(f"masks/{path.stem}.png", size=(side, side))
    return tmp_path


def test_equal_pictures_are_found_by_pixels_in_any_file(photos: Path, tmp_path: Path) -> None:
    dataset = open_dataset(MINE, photos)
    names = [sample.name for sample in dataset.samples]
    found = dataset.relations(tmp_path / "cache")
    groups = dict(zip(names, found.groups(GROUP), strict=True))
    assert {name for name in names if groups[name] == "0"} == {"0", "comment", "lossless"}
    assert len(set(groups.values())) == 9


def test_near_duplicates_join_resaved_and_scaled_pictures(photos: Path, tmp_path: Path) -> None:
    dataset = open_dataset(MINE, photos)
    names = [sample.name for sample in dataset.samples]
    groups = dataset.relations(tmp_path / "cache").groups(SIMILAR)
    together: dict[str, set[str]] = {}
    for name, group in zip(names, groups, strict=True):
        together.setdefault(group, set()).add(name)
    assert {frozenset(group) for group in together.values() if len(group) > 1} == {
        frozenset({"0", "comment", "lossless", "worse"}),
        frozenset({"1", "small"}),
    }


def test_changed_picture_is_inspected_again(photos: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before = open_dataset(MINE, photos).relations(cache)
    (photos / "images" / "3.jpg").write_bytes(jpeg(photo(2)))
    after = open_dataset(MINE, photos).relations(cache)
    assert before.equal.tolist()[3] == 3
    assert after.equal.tolist()[3] == 2


def by_hand() -> ImageRelations:
    """Two videos of two frames, two equal pictures, and two pictures that differ in 3 bits."""
    hashes = np.random.default_rng(0).integers(0, 2**63, (8, 4), dtype=np.uint64)
    hashes[5] = hashes[4]
    hashes[7] = hashes[6] ^ np.array([7, 0, 0, 0], dtype=np.uint64)
    return ImageRelations(
        layout=("v", "v", "w", "w", "e", "f", "g", "h"),
        equal=np.array([0, 1, 2, 3, 4, 4, 6, 7]),
        hashes=hashes,
    )


def test_groups_by_hand() -> None:
    found = by_hand()
    assert found.groups(GROUP) == ("v", "v", "w", "w", "e", "e", "g", "h")
    assert found.groups(SIMILAR) == ("v", "v", "w", "w", "e", "e", "g", "g")
    close = DataProtocol(split_unit="similar", similar_distance=2)
    assert found.groups(close) == found.groups(GROUP)


def test_groups_are_joined_across_layout_and_pictures() -> None:
    found = ImageRelations(
        layout=("a", "a", "b", "c", "d", "e"), equal=np.array([0, 1, 1, 3, 3, 5]), hashes=None
    )
    assert found.groups(GROUP) == ("a", "a", "a", "c", "c", "e")


def test_siblings_in_train_by_hand() -> None:
    found = by_hand()
    train, test = np.array([0, 2, 4, 6]), np.array([1, 3, 5, 7])
    assert found.in_train(train, test, SIMILAR_DISTANCE) == ("group", "group", "equal", "similar")
    assert found.in_train(train, test, 2)[3] == "none"
    assert found.in_train(np.array([4]), np.array([0, 7]), SIMILAR_DISTANCE) == ("none", "none")
    nothing = np.zeros(0, dtype=np.int64)
    assert found.in_train(train, nothing, SIMILAR_DISTANCE) == ()


def test_siblings_survive_json() -> None:
    for found in (by_hand(), unrelated(("a", "b", "b"))):
        again = ImageRelations.from_json(found.to_json())
        assert again.to_json() == found.to_json()
        assert again.groups(SIMILAR) == found.groups(SIMILAR)


def test_generated_images_are_unrelated(tmp_path: Path) -> None:
    dataset = open_dataset(Component(name="synthetic-skin", parameters={"num_images": 9}), None)
    assert len(set(dataset.relations(tmp_path).groups(SIMILAR))) == 9


@given(
    numbers=st.lists(st.integers(0, 2**256 - 1), max_size=12),
    flips=st.lists(st.integers(0, 255), max_size=30),
    distance=st.integers(0, 256),
)
def test_near_pairs_equal_counting_bit_by_bit(
    numbers: list[int], flips: list[int], distance: int
) -> None:
    for flip in flips[: len(numbers)]:
        numbers.append(numbers[flip % len(numbers)] ^ 1 << flip)
    raw = b"".join(number.to_bytes(32, "little") for number in numbers)
    hashes = np.frombuffer(raw, dtype=np.uint64).reshape(-1, 4)
    bits = {
        (a, b): (numbers[a] ^ numbers[b]).bit_count()
        for a in range(len(numbers))
        for b in range(len(numbers))
    }
    near = {(*pair, num) for pair, num in bits.items() if num <= distance}
    assert set(map(tuple, near_pairs(hashes, distance, hashes).tolist())) == near
    assert set(map(tuple, near_pairs(hashes, distance).tolist())) == {
        entry for entry in near if entry[0] < entry[1]
    }


def test_classes_by_hand() -> None:
    assert classes(5, np.array([[3, 1], [1, 4]])).tolist() == [0, 1, 2, 1, 1]
    assert classes(2, np.zeros((0, 2), dtype=np.int64)).tolist() == [0, 1]
    assert label_pairs(["x", "y", "x", "x"]).tolist() == [[0, 2], [0, 3]]
