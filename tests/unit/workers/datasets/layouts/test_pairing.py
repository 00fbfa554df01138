"""Which mask is whose: what is paired, what is refused, and what is proposed."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.contract import Component, UserError
from workers.datasets import DatasetNotFoundError, findings_of, open_dataset, read_contents
from workers.datasets.layouts.naming import masks_among, nearly_fitting, same_name, subject
from workers.datasets.survey import survey_root

MINE = Component(name="folder", label="mine")
LETTERS = "abcde"


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def fill(root: Path, *, images: Iterable[str] = (), masks: Iterable[str] = ()) -> None:
    """Five pairs a to e, and more files."""
    touch(root, *(f"images/{letter}.png" for letter in LETTERS))
    touch(root, *(f"masks/{letter}.png" for letter in LETTERS))
    touch(root, *(f"images/{name}" for name in images), *(f"masks/{name}" for name in masks))


def findings(root: Path, component: Component = MINE) -> dict[str, tuple[str, ...]]:
    contents = read_contents(component, root)
    return {one.kind.name: one.names for one in findings_of(component, contents)}


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("img_007.png", "7"), ("007_mask_2.png", "7"), ("gt-7.png", "7"), ("0.png", "0"),
        ("benign (1)_mask.png", "benign 1"), ("ISIC_0000001_segmentation.png", "isic 1"),
        ("mask_001.png", "1"), ("ground truth.png", ""), ("a.b_label.png", "a b"),
    ],
)  # fmt: skip
def test_subject_of_a_name(name: str, left: str) -> None:
    assert subject(Path(name)) == left


@given(st.text(), st.sampled_from(["NFC", "NFD"]), st.sampled_from(["NFC", "NFD"]))
def test_names_of_two_normal_forms_are_the_same(text: str, one: str, other: str) -> None:
    first = unicodedata.normalize(one, text)  # type: ignore[arg-type]
    second = unicodedata.normalize(other, text)  # type: ignore[arg-type]
    assert same_name(first) == same_name(second)


@given(st.sets(st.from_regex(r"[a-z]{1,4}[0-9]{0,2}", fullmatch=True), min_size=1, max_size=8))
def test_masks_with_a_common_ending_fit_their_images(stems: set[str]) -> None:
    images = {stem: Path(f"images/{stem}.png") for stem in stems if subject(Path(stem)) == stem}
    for habit in ("{}_seg", "{}-mask", "{}_gt", "{}_label", "mask_{}", "{}_mask_2"):
        masks = {Path("masks", habit.format(stem) + ".png"): path for stem, path in images.items()}
        assert nearly_fitting(images.values(), masks) == masks
        assert masks_among([*images.values(), *masks]) == [], "they lie in two folders"
        beside = [path.with_name(mask.name) for mask, path in masks.items()]
        assert masks_among([*images.values(), *beside]) == beside


def test_names_of_another_normal_form_pair(tmp_path: Path) -> None:
    fill(tmp_path)
    composed, decomposed = (unicodedata.normalize(form, "Müller_ö") for form in ("NFC", "NFD"))
    touch(tmp_path, f"images/{decomposed}.png", f"masks/{composed}_mask.png")
    contents = read_contents(MINE, tmp_path)
    assert [sample.name for sample in contents.samples] == [*LETTERS, composed]
    touch(tmp_path, f"images/{composed}.png")
    assert "two-images" in findings(tmp_path)


@pytest.mark.parametrize("ending", ["_mask", "_seg", "-mask", "_gt", "_label", " segmentation"])
def test_a_mask_among_the_images_is_no_image(tmp_path: Path, ending: str) -> None:
    fill(tmp_path, images=[f"a{ending}.png"])
    assert findings(tmp_path) == {"mask-beside-image": (f"images/a{ending}.png",)}
    assert [sample.name for sample in read_contents(MINE, tmp_path).samples] == list(LETTERS)
    (tmp_path / "masks" / "a.png").unlink()
    found = findings(tmp_path)
    assert found["mask-among-images"] == (f"images/a{ending}.png",)
    with pytest.raises(UserError, match="move each to the folder of masks"):
        open_dataset(MINE, tmp_path)


def test_image_named_mask_without_a_sibling_is_an_image(tmp_path: Path) -> None:
    fill(tmp_path, images=["face_mask.png"], masks=["face_mask.png"])
    assert findings(tmp_path) == {}
    assert "face_mask" in [sample.name for sample in read_contents(MINE, tmp_path).samples]


@pytest.mark.parametrize(
    ("masks", "united"),
    [
        (["f_mask.png", "f_mask_1.png", "f_mask_2.tif"], True),
        (["f_segmentation_1.png", "f_SEGMENTATION_2.png"], True),
        (["f.png", "f.jpg"], False),
        (["f.png", "f_mask.png"], False),
        (["f_mask.png", "f_segmentation.png"], False),
        (["f_mask_1.png", "f_mask_01.png"], False),
        (["f_mask.png", "f_mask.bmp"], False),
    ],
)
def test_several_masks_of_one_image(tmp_path: Path, masks: list[str], united: bool) -> None:
    fill(tmp_path, images=["f.png"], masks=masks)
    found = findings(tmp_path)
    if united:
        assert found == {"several-masks": ("f",)}
        return
    assert list(found) == ["two-masks"]
    (names,) = found["two-masks"]
    assert sorted(names.split(" = ")) == sorted(f"masks/{name}" for name in masks)


def test_official_layouts_do_not_unite_masks_either(tmp_path: Path) -> None:
    touch(
        tmp_path, *(f"Kvasir-SEG/{what}/{x}.jpg" for what in ("images", "masks") for x in "abcde")
    )
    touch(tmp_path, "Kvasir-SEG/masks/a.jpeg", "Kvasir-SEG/images/b.JPG")
    found = findings(tmp_path, Component(name="kvasir-seg"))
    assert found["two-masks"] == ("masks/a.jpeg = masks/a.jpg",)
    assert set(found["two-images"][0].split(" = ")) == {"images/b.JPG", "images/b.jpg"}


def test_names_that_nearly_fit_are_proposed(tmp_path: Path) -> None:
    touch(tmp_path, *(f"images/img_{i:03d}.jpg" for i in range(6)))
    touch(tmp_path, *(f"masks/{i}_seg.png" for i in range(6)))
    contents = read_contents(MINE, tmp_path)
    sentences = {one.kind.name: one.sentence(1) for one in findings_of(MINE, contents)}
    assert sentences["nearly-fits"].startswith(
        "mask whose name nearly fits an image, left out: 6 "
        "(masks/0_seg.png (of img_000.jpg?), and 5 more); rename each"
    )
    assert "0 image-mask pairs" in sentences["too-few-pairs"]
    assert (
        "6 masks nearly fit an image, such as 0_seg.png and img_000.jpg"
        in (sentences["too-few-pairs"])
    )


@pytest.mark.parametrize(
    ("folders", "proposal"),
    [
        (("image", "mask"), "rename image/ to images/ and mask/ to masks/"),
        (("images", "labels"), "rename labels/ to masks/"),
        (("images", "annotations"), "rename annotations/ to masks/"),
        (("imagesTr", "labelsTr"), "rename imagesTr/ to images/ and labelsTr/ to masks/"),
        (("Photos", "Ground Truth"), "rename Photos/ to images/ and Ground Truth/ to masks/"),
        (("train/images", "train/masks"), "it seems to be in ROOT/train: set its root to that"),
        (("a/b/images", "a/b/gt"), "in ROOT/a/b, rename gt/ to masks/"),
    ],
)
def test_folders_that_would_fit_are_proposed(
    tmp_path: Path, folders: tuple[str, str], proposal: str
) -> None:
    touch(tmp_path, *(f"{folder}/1.png" for folder in folders))
    with pytest.raises(DatasetNotFoundError) as caught:
        read_contents(MINE, tmp_path)
    assert proposal in str(caught.value).replace(str(tmp_path), "ROOT")


def test_an_official_folder_further_down_is_proposed(tmp_path: Path) -> None:
    touch(tmp_path, "unzipped/kvasir-seg/Kvasir-SEG/images/a.jpg")
    (tmp_path / "unzipped/kvasir-seg/Kvasir-SEG/masks").mkdir()
    with pytest.raises(DatasetNotFoundError, match=r"it seems to be in .*kvasir-seg"):
        read_contents(Component(name="kvasir-seg"), tmp_path)


def test_files_that_a_layout_does_not_read_are_named(tmp_path: Path) -> None:
    fill(tmp_path, images=["f.dcm", "Thumbs.db", "deep/g.png", ".hidden.png"], masks=["f.nii.gz"])
    assert findings(tmp_path) == {"left-alone": ("images/deep", "images/f.dcm", "masks/f.nii.gz")}


@pytest.mark.parametrize(
    ("names", "proposed"),
    [
        (["images/a.png", "GT/a.png"], "in {root}, rename GT/ to masks/"),
        (["mine/images/a.png", "mine/masks/a.png"], "it seems to be in {root}/mine: "),
        (
            ["a.png", "a_mask.png", "b.png", "b_mask.png"],
            "in {root}, move the masks (there seem to be 2, such as a_mask.png) to masks/",
        ),
    ],
)
def test_folder_and_configuration_propose_the_same(
    tmp_path: Path, names: list[str], proposed: str
) -> None:
    touch(tmp_path, *names)
    expected = re.escape(f"; {proposed.format(root=tmp_path)}")
    with pytest.raises(DatasetNotFoundError, match=expected):
        read_contents(Component(name="folder"), tmp_path)
    with pytest.raises(DatasetNotFoundError, match=expected):
        survey_root(tmp_path, tmp_path / "cache")


def test_name_that_is_not_utf8_is_refused_and_spelt_out(tmp_path: Path) -> None:
    fill(tmp_path)
    for folder in ("images", "masks"):
        try:
            (tmp_path / folder / os.fsdecode(b"M\xfcller.png")).touch()
        except OSError:
            pytest.skip("this file system has UTF-8 names only")
    assert findings(tmp_path)["name-not-utf8"] == (r"images/M\xfcller.png", r"masks/M\xfcller.png")
    with pytest.raises(UserError, match=r"not UTF-8 text: 2 \(images/M\\xfcller.png.*rename each"):
        open_dataset(MINE, tmp_path)
    (sample,) = [one for one in read_contents(MINE, tmp_path).samples if "M" in one.name]
    assert (sample.name, sample.group) == (r"M\xfcller", r"M\xfcller")
