"""Duplicates and siblings in training as findings of the survey."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.workers.datasets.conftest import Write
from tests.unit.workers.datasets.likeness.test_relations import decoded, jpeg, photo, with_comment
from workers.contract import Component, DataProtocol
from workers.datasets.division import divide
from workers.datasets.likeness.hashing import classes, label_pairs
from workers.datasets.likeness.labels import IMAGE_IS_MASK, MASKS_EQUAL
from workers.datasets.survey import Survey, survey_dataset, with_shared

SIDE = 96


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def fill(root: Path, files: Mapping[str, bytes | np.ndarray], write_mask: Write) -> Path:
    (root / "images").mkdir(parents=True)
    for i, (name, content) in enumerate(files.items()):
        path = root / "images" / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            Image.fromarray(content).save(path)
        write_mask(
            str(root / "masks" / f"{path.stem}.png"), size=(SIDE, SIDE), where=slice(i, i + 9)
        )
    return root


def survey(root: Path, cache: Path, label: str = "mine") -> Survey:
    return survey_dataset(Component(name="folder", label=label), root, cache)


def sentences(found: Survey, kind: str) -> list[str]:
    return [one.sentence() for one in found.findings if one.kind.name == kind]


def different(num: int) -> dict[str, bytes | np.ndarray]:
    return {f"{i}.jpg": jpeg(photo(i, SIDE)) for i in range(num)}


def test_equal_and_near_duplicates_are_named_in_groups(
    tmp_path: Path, cache: Path, write_mask: Write
) -> None:
    files = different(5)
    first = jpeg(photo(0, SIDE))
    files |= {"a.jpg": with_comment(first), "b.png": decoded(first)}
    files["worse.jpg"] = jpeg(photo(1, SIDE), quality=60)
    found = survey(fill(tmp_path / "mine", files, write_mask), cache)
    assert found.is_sound
    assert sentences(found, "equal-pictures") == [
        "pictures with the same pixels: 1 (images/0.jpg = images/a.jpg = images/b.png); "
        "data.split_unit: group keeps them in one subset"
    ]
    assert sentences(found, "near-duplicates") == [
        "groups of near duplicates (1 pair with hashes that differ in at most 24 of 256 bits): 1 "
        "(images/1.jpg ~ images/worse.jpg); data.split_unit: similar keeps each group in one subset"
    ]


def test_different_pictures_are_no_finding(tmp_path: Path, cache: Path, write_mask: Write) -> None:
    found = survey(fill(tmp_path / "mine", different(8), write_mask), cache)
    assert found.findings == ()


def test_equal_pictures_whose_masks_differ_are_named(
    tmp_path: Path, cache: Path, write_mask: Write
) -> None:
    """`write_mask` draws 4 columns: one row more is 4 pixels."""
    files = different(5) | {"a.png": photo(9, SIDE), "b.png": photo(9, SIDE)}
    root = fill(tmp_path / "mine", files, write_mask)
    for name in ("a", "b"):
        write_mask(str(root / "masks" / f"{name}.png"), size=(SIDE, SIDE), where=slice(4, 9))
    assert sentences(survey(root, cache), "equal-pictures-masks-differ") == []
    write_mask(str(root / "masks" / "b.png"), size=(SIDE, SIDE), where=slice(4, 10))
    found = survey(root, cache)
    (one,) = (one for one in found.findings if one.kind.name == "equal-pictures-masks-differ")
    assert one.names == ("images/b.png",)
    assert one.details == ("equals images/a.png, 4 px differ",)


def test_images_equal_to_masks_and_equal_masks_are_named(
    tmp_path: Path, cache: Path, write_mask: Write
) -> None:
    root = fill(tmp_path / "mine", different(5) | {"a.png": photo(9, SIDE)}, write_mask)
    for i in range(5):
        write_mask(str(root / "masks" / f"{i}.png"), size=(SIDE, SIDE))
    mask = write_mask(str(root / "masks" / "a.png"), size=(SIDE, SIDE))
    (root / "images" / "a.png").write_bytes(mask.read_bytes())
    found = survey(root, cache)
    assert found.is_sound
    assert found.names(IMAGE_IS_MASK) == ("images/a.png",)
    assert [one.kind for one in found.findings if one.kind == MASKS_EQUAL] == [MASKS_EQUAL]


def test_images_of_another_dataset_are_named_in_both(
    tmp_path: Path, cache: Path, write_mask: Write
) -> None:
    again = {f"x{i}.jpg": jpeg(photo(i, SIDE), quality=70) for i in (4, 9, 10, 11, 12)}
    roots = {
        "a": fill(tmp_path / "a", different(5), write_mask),
        "b": fill(tmp_path / "b", again, write_mask),
    }
    both = with_shared({label: survey(root, cache, label) for label, root in roots.items()})
    (a,), (b,) = (sentences(both[label], "shared-pictures") for label in "ab")
    assert a.endswith(": 1 (images/4.jpg (b: images/x4.jpg))")
    assert b.endswith(": 1 (images/x4.jpg (a: images/4.jpg))")


def test_split_that_divides_equal_pictures_gets_a_note(
    tmp_path: Path, cache: Path, write_mask: Write
) -> None:
    files = different(6)
    files |= {f"copy-{name}": content for name, content in files.items()}
    found = survey(fill(tmp_path / "mine", files, write_mask), cache)
    torn = divide(found, DataProtocol(), 0, range(3))
    (leak,) = torn.findings
    assert leak.kind.name == "sibling-in-training"
    assert "have a sibling in training" in leak.sentence()
    assert "test images, on average over the repeats" in leak.sentence()
    whole = divide(found, DataProtocol(split_unit="group"), 0, range(3))
    assert whole.findings == ()


def test_split_unit_group_without_groups_is_refused(
    tmp_path: Path, cache: Path, write_mask: Write
) -> None:
    found = survey(fill(tmp_path / "mine", different(8), write_mask), cache)
    (refusal,) = divide(found, DataProtocol(split_unit="group"), 0, range(2)).findings
    assert refusal.kind.severity == "refused"
    assert "there is no group" in refusal.sentence()
    assert divide(found, DataProtocol(split_unit="similar"), 0, range(2)).findings == ()


def test_fingerprint_changes_only_if_groups_change(
    tmp_path: Path, cache: Path, write_mask: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prints(root: Path) -> str:
        dataset = survey(root, cache).dataset
        assert dataset is not None
        return dataset.fingerprint(cache)

    same = {**different(5), "a.jpg": jpeg(photo(0, SIDE))}  # equal bytes: joined before, too
    other = {**different(5), "a.jpg": with_comment(jpeg(photo(0, SIDE)))}
    roots = [
        fill(tmp_path / name, files, write_mask) for name, files in (("s", same), ("o", other))
    ]
    now = [prints(root) for root in roots]

    def joined_by_bytes(_: Path, paths: list[Path], *__: object) -> np.ndarray:
        """Joins pictures as an earlier version did, which did not compare pixels."""
        return classes(len(paths), label_pairs([path.read_bytes() for path in paths]))

    monkeypatch.setattr("workers.datasets.dataset.equal_pictures", joined_by_bytes)
    before = [prints(root) for root in roots]
    assert now[0] == before[0]
    assert now[1] != before[1]
