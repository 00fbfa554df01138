from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.workers.datasets.conftest import Write
from workers.contract import Component, UserError
from workers.datasets import MIN_PAIRS, DatasetNotFoundError, open_dataset, read_contents
from workers.datasets.layouts.cvc import builtin_sequences, parse_sequences
from workers.datasets.layouts.naming import natural_key


def names(component: str, root: Path, **parameters: object) -> list[str]:
    contents = read_contents(Component(name=component, parameters=parameters), root)  # type: ignore[arg-type]
    return [sample.name for sample in contents.samples]


def test_natural_order_counts() -> None:
    assert sorted(["10", "2", "1", "b2", "B10", "b1"], key=natural_key) == [
        "1", "2", "10", "b1", "b2", "B10",
    ]  # fmt: skip


@given(st.sets(st.text()).map(list).flatmap(lambda t: st.tuples(st.just(t), st.permutations(t))))
def test_natural_order_is_total(orders: tuple[list[str], list[str]]) -> None:
    first, second = (sorted(texts, key=natural_key) for texts in orders)
    assert first == second


class TestIsic:
    @pytest.fixture
    def root(self, tmp_path: Path, write_picture: Write, write_mask: Write) -> Path:
        for part, number in (("Training", 1), ("Validation", 20), ("Test_v2", 300)):
            images, truth = f"ISIC-2017_{part}_Data", f"ISIC-2017_{part}_Part1_GroundTruth"
            for i in range(2):
                stem = f"ISIC_{number + i:07d}"
                write_picture(f"{images}/{stem}.jpg", number + i)
                write_picture(f"{images}/{stem}_superpixels.png", number + i)
                write_mask(f"{truth}/{stem}_segmentation.png")
            (tmp_path / images / f"{images}_metadata.csv").write_text("image_id\n")
        return tmp_path

    def test_all_parts_are_pooled(self, root: Path) -> None:
        assert names("isic-2017", root) == [f"ISIC_{n:07d}" for n in (1, 2, 20, 21, 300, 301)]
        contents = read_contents(Component(name="isic-2017"), root)
        assert (contents.absent, contents.left_alone) == ((), ())
        assert contents.images_without_mask == contents.masks_without_image == ()

    def test_whichever_parts_are_present(self, root: Path) -> None:
        for what in ("Data", "Part1_GroundTruth"):
            shutil.rmtree(root / f"ISIC-2017_Training_{what}")
        assert names("isic-2017", root) == [f"ISIC_{n:07d}" for n in (20, 21, 300, 301)]
        assert read_contents(Component(name="isic-2017"), root).absent == ("Training",)

    def test_ids_and_folders_match_without_regard_to_case(self, root: Path) -> None:
        data = root / "ISIC-2017_Test_v2_Data"
        (data / "ISIC_0000300.jpg").rename(data / "isic_0000300.JPG")
        truth = root / "ISIC-2017_Training_Part1_GroundTruth"
        (truth / "ISIC_0000001_segmentation.png").rename(truth / "ISIC_0000001_Segmentation.PNG")
        truth.rename(root / "isic-2017_training_part1_groundtruth")
        assert len(names("isic-2017", root)) == 6

    def test_a_part_folder_as_root(self, root: Path) -> None:
        assert len(names("isic-2017", root / "ISIC-2017_Validation_Data")) == 6

    def test_ground_truth_missing_for_one_part(self, root: Path) -> None:
        shutil.rmtree(root / "ISIC-2017_Validation_Part1_GroundTruth")
        contents = read_contents(Component(name="isic-2017"), root)
        assert [p.name for p in contents.images_without_mask] == [
            "ISIC_0000020.jpg",
            "ISIC_0000021.jpg",
        ]

    def test_one_id_twice_is_refused(self, root: Path, write_picture: Write) -> None:
        write_picture("ISIC-2017_Training_Data/ISIC_0000300.jpg", 9)
        with pytest.raises(UserError, match=r"images of one name.*ISIC_0000300\.jpg = "):
            open_dataset(Component(name="isic-2017"), root)


class TestWound:
    @pytest.fixture
    def root(self, tmp_path: Path, write_picture: Write, write_mask: Write) -> Path:
        top = "Foot Ulcer Segmentation Challenge"
        for part, first in (("train", 1), ("validation", 1)):
            for i in range(first, first + 3):
                write_picture(f"{top}/{part}/images/{i:04d}.png", i)
                write_mask(f"{top}/{part}/labels/{i:04d}.png")
        write_picture(f"{top}/test/images/0009.png", 9)
        return tmp_path

    def test_labelled_parts_are_pooled_and_test_is_ignored(self, root: Path) -> None:
        assert names("wound", root) == [
            f"{part}/{i:04d}" for part in ("train", "validation") for i in (1, 2, 3)
        ]
        contents = read_contents(Component(name="wound"), root)
        assert contents.notes == ("test: 1 images without labels, ignored",)
        assert contents.images_without_mask == ()

    def test_root_may_be_the_folder_itself_or_the_repository(self, root: Path) -> None:
        top = root / "Foot Ulcer Segmentation Challenge"
        assert len(names("wound", top)) == 6
        (root / "data").mkdir()
        top.rename(root / "data" / top.name.lower())
        assert len(names("wound", root)) == 6


class TestCvc:
    @pytest.fixture
    def root(self, tmp_path: Path, write_picture: Write, write_mask: Write) -> Path:
        for frame in (1, 2, 10, 25, 26, 100):
            for kind in ("PNG", "TIF"):
                top = f"CVC-ClinicDB/{kind}"
                write_picture(f"{top}/Original/{frame}.{kind.lower()}", frame)
                write_mask(f"{top}/Ground Truth/{frame}.{kind.lower()}")
        return tmp_path

    def test_frames_are_in_numeric_order(self, root: Path) -> None:
        assert names("cvc-clinicdb", root) == ["1", "2", "10", "25", "26", "100"]

    def test_sequences_are_groups_by_the_builtin_table(self, root: Path) -> None:
        dataset = open_dataset(Component(name="cvc-clinicdb"), root)
        assert [sample.group for sample in dataset.samples] == [
            "sequence-01", "sequence-01", "sequence-01", "sequence-01", "sequence-02",
            "sequence-05",
        ]  # fmt: skip

    def test_sequences_are_groups_by_the_readme(self, root: Path) -> None:
        readme = root / "CVC-ClinicDB" / "readme.TXT"
        readme.write_bytes(b"S\xe1nchez\n|  1 to  2  |\t7\t|\n|10 to 99 |8|\n")
        groups = [s.group for s in open_dataset(Component(name="cvc-clinicdb"), root).samples]
        assert groups == ["sequence-07"] * 2 + ["sequence-08"] * 3 + ["100"]

    @pytest.mark.parametrize("kind", ["png", "tif"])
    def test_format_chooses_the_copy(self, root: Path, kind: str) -> None:
        component = Component(name="cvc-clinicdb", parameters={"format": kind})
        images = [s.image for s in open_dataset(component, root).samples]
        assert {image.suffix for image in images if image} == {f".{kind}"}

    def test_auto_takes_tif_where_there_is_no_png(self, root: Path) -> None:
        shutil.rmtree(root / "CVC-ClinicDB" / "PNG")
        assert len(names("cvc-clinicdb", root, format="auto")) == 6
        with pytest.raises(DatasetNotFoundError):
            names("cvc-clinicdb", root, format="png")

    def test_older_archive_without_the_upper_folder(self, root: Path) -> None:
        top = root / "CVC-ClinicDB"
        for folder in ("Original", "Ground Truth"):
            (top / "TIF" / folder).rename(top / folder)
        shutil.rmtree(top / "PNG")
        assert len(names("cvc-clinicdb", top)) == 6

    def test_builtin_table_covers_all_frames_once(self) -> None:
        frames = [f for a, b, _ in builtin_sequences() for f in range(a, b + 1)]
        assert frames == list(range(1, 613))
        assert [n for _, _, n in builtin_sequences()] == list(range(1, 30))

    def test_a_readme_without_a_table_has_no_rows(self) -> None:
        assert parse_sequences("frames 1 to 25 of sequence 1") == ()


class TestBusi:
    @pytest.fixture
    def root(self, tmp_path: Path, write_picture: Write, write_mask: Write) -> Path:
        for kind in ("benign", "malignant", "normal"):
            for i in (1, 2, 3, 4, 10):
                write_picture(f"Dataset_BUSI_with_GT/{kind}/{kind} ({i}).png", i)
                write_mask(f"Dataset_BUSI_with_GT/{kind}/{kind} ({i})_mask.png")
        write_mask("Dataset_BUSI_with_GT/benign/benign (10)_mask_1.png", where=slice(9, 11))
        return tmp_path

    def test_each_class_is_a_dataset(self, root: Path) -> None:
        for kind in ("benign", "malignant"):
            expected = [f"{kind} ({i})" for i in (1, 2, 3, 4, 10)]
            assert names(f"breast-{kind}", root) == expected
            assert names(f"breast-{kind}", root / "Dataset_BUSI_with_GT") == expected
            assert names(f"breast-{kind}", root / "Dataset_BUSI_with_GT" / kind) == expected

    def test_one_is_no_prefix_of_ten(self, root: Path) -> None:
        dataset = open_dataset(Component(name="breast-benign"), root)
        masks = {s.name: [p.name for p in s.masks] for s in dataset.samples}
        assert masks["benign (1)"] == ["benign (1)_mask.png"]
        assert masks["benign (10)"] == ["benign (10)_mask.png", "benign (10)_mask_1.png"]

    def test_several_masks_are_united(self, root: Path) -> None:
        dataset = open_dataset(Component(name="breast-benign"), root)
        assert dataset.read_mask(0).sum() == 16
        assert dataset.read_mask(4).sum() == 16 + 8


def test_kvasir_ignores_its_boxes_and_matches_case(
    tmp_path: Path, write_picture: Write, write_mask: Write
) -> None:
    for i in range(MIN_PAIRS):
        write_picture(f"Kvasir-SEG/images/cju{i}.jpg", i)
        write_mask(f"Kvasir-SEG/masks/CJU{i}.JPG")
    (tmp_path / "Kvasir-SEG/kavsir_bboxes.json").write_text("{}")
    (tmp_path / "Kvasir-SEG/images/._cju1.jpg").write_bytes(b"resource fork")
    assert names("kvasir-seg", tmp_path) == [f"cju{i}" for i in range(MIN_PAIRS)]
    assert names("kvasir-seg", tmp_path / "Kvasir-SEG") == [f"cju{i}" for i in range(MIN_PAIRS)]
