"""Every quirk of the six datasets, on the file of the real sample that has it."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workers.contract import Component, UserError
from workers.datasets import kinds, open_dataset, read_contents
from workers.datasets.cache import DatasetArrays, load_arrays, prepare_image
from workers.datasets.dataset import Dataset
from workers.datasets.files import pictures
from workers.datasets.masks.facts import levels as levels_of
from workers.datasets.masks.rule import MaskRule
from workers.datasets.split import split_indices
from workers.datasets.survey import Survey, survey_root

pytestmark = [pytest.mark.sample, pytest.mark.timeout(120)]

HALF = MaskRule(sentence="lesion = above half of full scale")
COUNTS = {
    "isic-2017": (16, 2750),
    "wound": (40, 1010),
    "cvc-clinicdb": (60, 612),
    "kvasir-seg": (60, 1000),
    "breast-benign": (32, 437),
    "breast-malignant": (30, 210),
}


def opened(name: str, root: Path) -> Dataset:
    return open_dataset(Component(name=name), root)


def index_of(dataset: Dataset, name: str) -> int:
    return [sample.name for sample in dataset.samples].index(name)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def arrays(sample_data: Path, cache_dir: Path) -> dict[str, DatasetArrays]:
    return {name: load_arrays(opened(name, sample_data), 64, cache_dir) for name in COUNTS}


@pytest.fixture(scope="module")
def reports(sample_data: Path, cache_dir: Path) -> dict[str, Survey]:
    return {survey.label: survey for survey in survey_root(sample_data, cache_dir)}


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name: str, sample_data: Path, reports: dict[str, Survey]) -> None:
    num_pairs, num_official = COUNTS[name]
    assert len(opened(name, sample_data).samples) == num_pairs
    report = reports[name]
    assert (report.num_pairs, report.num_images) == (num_pairs, num_pairs)
    assert report.num_official == num_official
    assert report.is_sound
    assert not report.is_complete


def test_every_array_is_filled(arrays: dict[str, DatasetArrays]) -> None:
    for name, (num_pairs, _) in COUNTS.items():
        assert arrays[name].images.shape == (num_pairs, 64, 64, 3)
        assert set(np.unique(arrays[name].masks)) == {0, 1}
        assert arrays[name].images.reshape(num_pairs, -1).std(axis=1).min() > 5
        assert 0.005 < arrays[name].masks.mean() < 0.35


def test_second_load_takes_under_a_second(
    sample_data: Path, cache_dir: Path, arrays: dict[str, DatasetArrays]
) -> None:
    start = time.perf_counter()
    for name in COUNTS:
        again = load_arrays(opened(name, sample_data), 64, cache_dir)
        assert again.fingerprint == arrays[name].fingerprint
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("name", ["isic-2017", "kvasir-seg", "cvc-clinicdb", "breast-benign"])
def test_resized_images_are_within_a_grey_level(
    name: str, sample_data: Path, arrays: dict[str, DatasetArrays]
) -> None:
    errors = []
    for sample, image in list(zip(opened(name, sample_data).samples, arrays[name].images))[:12]:  # noqa: B905
        assert sample.image is not None
        with Image.open(sample.image) as full:
            reference = full.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
        errors.append(np.abs(np.asarray(reference).astype(int) - image).mean())
    assert max(errors) < 1
    assert np.mean(errors) < 0.5


@pytest.mark.parametrize("side", [32, 96, 224, 512])
def test_reduced_decoding_is_within_a_grey_level_at_any_size(side: int, sample_data: Path) -> None:
    dataset = opened("isic-2017", sample_data)
    errors = []
    for index in (0, 2, 9):
        path = dataset.samples[index].image
        assert path is not None
        with Image.open(path) as full:
            reference = full.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        image, decoded = prepare_image(dataset, index, side)
        errors.append(np.abs(np.asarray(reference).astype(int) - image).mean())
        assert min(decoded.shape[:2]) >= min(3 * side, *np.asarray(full.size))
    assert max(errors) < 0.3


BEFORE = {
    "isic-2017": ("6c58f8066692227b3f33f3f786b7994c", "10b2f3b6f8bbb0f9"),
    "wound": ("6ae2a22e4c5cca303c1f4bdf6c88b7e0", "9c3b1b3ea698dbb0"),
    "cvc-clinicdb": ("79d20211bdae2a403a0f1fdad08c0ebd", "a9a1d0d3b204f160"),
    "kvasir-seg": ("92651d0b37b93cd77e2f450a58e3221b", "b46a50b8000a7968"),
    "breast-benign": ("62f61e4b38012dfc34225ad8a80000af", "8d07dc8d1985cc04"),
    "breast-malignant": ("a9120bcb3ca82009168ff2b944ff459c", "3b3a92635d0582b2"),
}
"""Fingerprint, and digest of all masks, before masks were decided over the whole dataset."""


@pytest.mark.parametrize("name", BEFORE)
def test_masks_equal_those_of_earlier_versions(
    name: str, sample_data: Path, cache_dir: Path
) -> None:
    dataset = opened(name, sample_data)
    fingerprint, masks = BEFORE[name]
    digest = hashlib.sha256()
    for index in range(len(dataset.samples)):
        mask = dataset.read_mask(index)
        digest.update(str(mask.shape).encode() + mask.tobytes())
    assert digest.hexdigest()[:16] == masks
    # JPEG images are decoded otherwise; nothing else of the six changed.
    is_same = dataset.fingerprint(cache_dir) == fingerprint
    assert is_same == (name not in ("isic-2017", "kvasir-seg"))


def test_isic_skips_superpixels_and_tables(reports: dict[str, Survey]) -> None:
    assert reports["isic-2017"].remarks == ("2 superpixel files skipped",)


def test_wound_value_32_is_background(sample_data: Path) -> None:
    dataset = opened("wound", sample_data)
    assert dataset.read_mask(index_of(dataset, "validation/0233")).sum() == 285


def test_wound_empty_masks_are_kept(sample_data: Path, reports: dict[str, Survey]) -> None:
    names = ["train/0092", "train/0131", "train/0223", "train/0281", "validation/0128",
             "validation/0417"]  # fmt: skip
    dataset = opened("wound", sample_data)
    empty = [s.name for i, s in enumerate(dataset.samples) if not dataset.read_mask(i).any()]
    assert empty == names
    assert reports["wound"].names(kinds.MASK_EMPTY) == tuple(
        f"{name.replace('/', '/labels/')}.png" for name in names
    )


def test_wound_duplicates_share_a_group_and_keep_their_masks(
    sample_data: Path, arrays: dict[str, DatasetArrays]
) -> None:
    wound = arrays["wound"]
    pairs = [("train/0121", "validation/0284"), ("train/0569", "validation/0545")]
    dataset = opened("wound", sample_data)
    for pair in pairs:
        a, b = (wound.names.index(name) for name in pair)
        assert wound.groups[a] == wound.groups[b]
        assert not np.array_equal(dataset.read_mask(a), dataset.read_mask(b))
    assert len(set(wound.groups)) == 38
    for repeat in range(5):
        split = split_indices(wound.groups, (0.6, 0.2, 0.2), unit="group", seed=42, repeat=repeat)
        for pair in pairs:
            together = [
                {wound.names.index(n) for n in pair} <= set(part)
                for part in (split.train, split.val, split.test)
            ]
            assert sum(together) == 1


def test_wound_test_folder_is_ignored(reports: dict[str, Survey]) -> None:
    assert reports["wound"].remarks == ("test: 2 images without labels, ignored",)


def test_cvc_tif_equals_png(sample_data: Path) -> None:
    tif = read_contents(Component(name="cvc-clinicdb", parameters={"format": "tif"}), sample_data)
    png = {s.name: s for s in opened("cvc-clinicdb", sample_data).samples}
    assert [sample.name for sample in tif.samples] == ["24", "41", "62"]
    for sample in tif.samples:
        assert sample.image is not None
        with pytest.raises(OSError):  # noqa: PT011 - the reason for tifffile
            Image.open(sample.image)
        other = png[sample.name]
        assert other.image is not None
        images = [pictures.as_rgb(pictures.decode(path)) for path in (sample.image, other.image)]
        assert np.array_equal(images[0], images[1])
        masks = [
            HALF.foreground(next(pictures.read_rasters(path)))
            for path in (*sample.masks, *other.masks)
        ]
        assert np.array_equal(masks[0], masks[1])
        assert images[0].shape == (288, 384, 3)


def test_cvc_three_tifs_are_too_few_to_train_on(sample_data: Path) -> None:
    with pytest.raises(UserError, match="3 image-mask pairs"):
        open_dataset(Component(name="cvc-clinicdb", parameters={"format": "tif"}), sample_data)


def test_cvc_masks_are_thresholded_and_frames_sorted(
    sample_data: Path, reports: dict[str, Survey]
) -> None:
    dataset = opened("cvc-clinicdb", sample_data)
    frames = [int(sample.name) for sample in dataset.samples]
    assert frames == sorted(frames)
    assert len(reports["cvc-clinicdb"].names(kinds.MASK_BETWEEN)) == 7
    sample = dataset.samples[index_of(dataset, "359")]
    levels = levels_of(next(pictures.read_rasters(sample.masks[0])))
    mask = dataset.read_mask(index_of(dataset, "359"))
    assert mask.sum() == (levels > 127).sum() < (levels > 0).sum()


def test_cvc_sequences_come_from_the_readme(
    arrays: dict[str, DatasetArrays], reports: dict[str, Survey]
) -> None:
    assert "29 sequences from README.txt" in reports["cvc-clinicdb"].remarks
    cvc = arrays["cvc-clinicdb"]
    groups = dict(zip(cvc.names, cvc.groups, strict=True))
    assert groups["24"] == "sequence-01"
    assert groups["62"] == groups["63"] == "sequence-03"
    assert groups["609"] == "sequence-29"


def test_kvasir_masks_are_binary_only_after_the_threshold(
    sample_data: Path, reports: dict[str, Survey]
) -> None:
    assert reports["kvasir-seg"].masks == "lesion = above 127 of 255"
    dataset = opened("kvasir-seg", sample_data)
    levels = levels_of(next(pictures.read_rasters(dataset.samples[0].masks[0])))
    assert ((levels <= 10) | (levels >= 245)).all()
    assert np.array_equal(dataset.read_mask(0), levels >= 245)


@pytest.mark.parametrize(
    ("number", "num_masks", "num_pixels"),
    [(4, 2, 1984 + 624), (54, 2, 19141 + 1609), (195, 3, None)],
)
def test_busi_masks_are_united(
    number: int, num_masks: int, num_pixels: int | None, sample_data: Path
) -> None:
    dataset = opened("breast-benign", sample_data)
    i = index_of(dataset, f"benign ({number})")
    masks = dataset.samples[i].masks
    assert len(masks) == num_masks
    single = [HALF.foreground(next(pictures.read_rasters(path))) for path in masks]
    assert np.array_equal(dataset.read_mask(i), np.logical_or.reduce(single))
    if num_pixels is not None:  # the two masks do not overlap, the second is RGBA
        assert dataset.read_mask(i).sum() == num_pixels


def test_busi_normal_is_not_used(reports: dict[str, Survey]) -> None:
    assert set(reports) == set(COUNTS)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("wound", "Foot Ulcer Segmentation Challenge"),
        ("cvc-clinicdb", "CVC-ClinicDB"),
        ("kvasir-seg", "Kvasir-SEG"),
        ("breast-malignant", "Dataset_BUSI_with_GT"),
        ("isic-2017", "ISIC-2017_Validation_Data"),
    ],
)
def test_the_official_folder_is_a_root_too(
    name: str, folder: str, sample_data: Path, tmp_path: Path, arrays: dict[str, DatasetArrays]
) -> None:
    dataset = opened(name, sample_data / folder)
    assert dataset.fingerprint(tmp_path) == arrays[name].fingerprint
