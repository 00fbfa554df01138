"""What masks mean: one rule for a whole dataset, the same in every format and order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.unit.workers.datasets import odd
from workers.catalogue.datasets import complete_dataset
from workers.contract import Component, UserError
from workers.datasets import open_dataset
from workers.datasets.cache import load_arrays
from workers.datasets.dataset import FileDataset
from workers.datasets.files.rasters import Raster
from workers.datasets.masks.decision import Decision, decide
from workers.datasets.masks.facts import MaskFacts, inspect_mask
from workers.datasets.masks.rule import MaskRule

READ = [item for item in odd.MASKS if "0 to N" not in item.what]


def dataset_of(item: odd.Odd, folder: Path) -> FileDataset:
    odd.look(item, folder)
    parameters = {"mask": item.option} if item.option else {}
    dataset = open_dataset(Component(name="folder", parameters=parameters), folder)
    assert isinstance(dataset, FileDataset)
    return dataset


def named(what: str) -> odd.Odd:
    return next(item for item in odd.MASKS + odd.IMAGES if item.what == what)


@pytest.mark.parametrize(
    "what",
    [
        "0 and 255",
        "0 and 1",
        "0 and 65535, 16 bits",
        "0 and 2",
        "0 and 255, smooth edges",
        "0 and 255 as JPEG",
        "palette black and red",
        "the same, `mask: {lesion: [1]}`",
        "red on black",
        'the same, `mask: {lesion: ["#ff0000"]}`',
        "alpha alone",
        "CMYK TIFF",
        "several pages",
        "float 0 and 1",
        "the same, `mask: {threshold: 0.5}`",
    ],
)
def test_lesion_of_each_odd_mask_is_read(tmp_path, what):
    dataset = dataset_of(named(what), tmp_path)
    for i in range(odd.NUM):
        off = np.count_nonzero(dataset.read_mask(i) != odd.lesion(i))
        assert off <= (40 if "JPEG" in what or "smooth" in what else 0)


def test_refused_dataset_names_the_option_that_reads_it(tmp_path):
    dataset = dataset_of(named("instances 0 to N"), tmp_path)
    for use in (
        lambda: dataset.fingerprint(tmp_path / "cache"),
        lambda: dataset.read_mask(0),
        lambda: load_arrays(dataset, 32, tmp_path / "cache"),
    ):
        with pytest.raises(UserError, match=r"masks/0.png \(values 0, 1, 2, 3\).*threshold: 0"):
            use()


def test_instances_are_one_lesion_above_0(tmp_path):
    dataset = dataset_of(named("the same, `mask: {threshold: 0}`"), tmp_path)
    stored = np.asarray(Image.open(tmp_path / "masks" / "2.png"))
    assert (dataset.read_mask(2) == (stored > 0)).all()
    assert stored.max() == 5


def test_one_bit_agrees_with_0_and_1(tmp_path):
    bit = odd.one_otherwise(
        odd.levels(0, 1), lambda path, _, mask: Image.fromarray(mask).save(f"{path}.png"), 2
    )
    dataset = dataset_of(odd.Odd("", bit), tmp_path)
    assert all((dataset.read_mask(i) == odd.lesion(i)).all() for i in range(odd.NUM))


@pytest.mark.parametrize(("value", "is_refused"), [(32, False), (128, True)])
def test_value_between_is_a_class_only_if_it_covers_an_area(tmp_path, value, is_refused):
    def write(path: Path, i: int, mask: odd.Masks) -> None:
        pixels = mask.astype(np.uint8) * 255
        if value == 128:
            pixels[:9, :9] = value
        elif i == 0:
            pixels[0, ::9] = value
        odd.save(path.with_suffix(".png"), pixels)

    decision = odd.look(odd.Odd("", write), tmp_path)
    kinds = [one.kind.name for one in decision.findings]
    assert kinds == (["mask-numbers"] if is_refused else ["mask-between"])


def test_a_third_colour_is_refused_with_the_colours(tmp_path):
    def write(path: Path, _: int, mask: odd.Masks) -> None:
        pixels = np.where(mask[..., None], odd.RED, odd.BLACK).astype(np.uint8)
        pixels[:5, :5] = odd.GREEN
        odd.save(path.with_suffix(".png"), pixels)

    decision = odd.look(odd.Odd("", write), tmp_path)
    assert decision.rule is None
    assert "#000000, #ff0000, #00ff00" in decision.refusals[0].sentence()


def test_colours_of_a_jpeg_are_told_apart(tmp_path):
    def write(other: tuple[int, ...]) -> odd.Write:
        def colour(mask: odd.Masks) -> np.ndarray:
            pixels = np.where(mask[..., None], odd.RED, odd.BLACK).astype(np.uint8)
            pixels[:16, :16] = other
            return pixels

        return odd.jpeg(colour, 95)

    assert odd.look(odd.Odd("", write(odd.RED)), tmp_path / "one").rule is not None
    assert odd.look(odd.Odd("", write(odd.GREEN)), tmp_path / "two").rule is None


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"lesion": [2]}, [[False, False, True, False]]),
        ({"lesion": [1, 3]}, [[False, True, False, True]]),
        ({"threshold": 1}, [[False, False, True, True]]),
        ({"lesion": ["#010101"]}, [[False, True, False, False]]),
    ],
)
def test_options_by_hand(tmp_path, option, expected):
    pixels = np.array([[0, 1, 2, 3]], np.uint8)
    odd.save(tmp_path / "a.png", pixels)
    decision = decide({"a": inspect_mask(tmp_path / "a.png")}, option)
    assert decision.rule is not None
    assert decision.rule.foreground(Raster(pixels)).tolist() == expected


def test_channels_by_hand():
    pixels = np.array([[[200, 10, 0, 0], [0, 220, 0, 255]]], np.uint8)
    found = {
        channel: MaskRule(sentence="", channel=channel).foreground(Raster(pixels)).tolist()
        for channel in ("brightest", "red", "green", "blue", "alpha")
    }
    assert found == {
        "brightest": [[True, True]],
        "red": [[True, False]],
        "green": [[False, True]],
        "blue": [[False, False]],
        "alpha": [[False, True]],
    }


def facts_of(levels: list[np.ndarray], folder: Path, ending: str = ".png") -> dict[str, MaskFacts]:
    found = {}
    for i, pixels in enumerate(levels):
        path = folder / f"{i}{ending}"
        odd.save(path, pixels)
        found[str(i)] = inspect_mask(path, 8)
    return found


def outline(decision: Decision) -> tuple[object, set[str]]:
    kinds = {one.kind.name for one in decision.findings if one.kind.severity == "refused"}
    return decision.rule and decision.rule.key(), kinds


values = st.lists(st.sampled_from([0, 1, 2, 7, 127, 128, 200, 255]), min_size=2, max_size=4)


@st.composite
def mask_sets(draw: st.DrawFn) -> list[np.ndarray]:
    """Draws masks of a few values in blocks."""
    masks = []
    for _ in range(draw(st.integers(1, 4))):
        blocks = np.array(draw(values), np.uint8)
        masks.append(np.kron(np.resize(blocks, (2, 2)), np.ones((8, 8), np.uint8)))
    return masks


@settings(max_examples=30, deadline=None)
@given(masks=mask_sets(), data=st.data())
def test_the_rule_depends_on_no_order_format_or_empty_mask(masks, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    facts = facts_of(masks, folder)
    usual = outline(decide(facts))
    shuffled = data.draw(st.permutations(list(facts.items())))
    assert outline(decide(dict(shuffled))) == usual
    for ending in (".tif", ".bmp", ".pgm"):
        assert outline(decide(facts_of(masks, folder, ending))) == usual
    rule, _ = usual
    if rule is not None:
        more = facts_of([*masks, np.zeros((16, 16), np.uint8)], folder)
        assert outline(decide(more)) == usual


@settings(max_examples=30, deadline=None)
@given(masks=mask_sets())
def test_facts_survive_json_and_count_every_pixel(masks, tmp_path_factory):
    for facts in facts_of(masks, tmp_path_factory.mktemp("masks")).values():
        assert MaskFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
        assert sum(count for _, count in facts.tables["brightest"].counts) == 256
        assert sum(count for _, count in facts.tables["brightest"].border) == 60


def test_fingerprint_changes_only_with_the_read_masks(tmp_path):
    plain = dataset_of(named("0 and 255"), tmp_path / "plain")
    stated = open_dataset(
        Component(name="folder", parameters={"mask": {"threshold": 127}}), tmp_path / "plain"
    )
    other = open_dataset(
        Component(name="folder", parameters={"mask": {"lesion": [0]}}), tmp_path / "plain"
    )
    cache = tmp_path / "cache"
    assert plain.fingerprint(cache) == stated.fingerprint(cache) != other.fingerprint(cache)


def test_vanishing_lesions_are_named_and_kept_by_area(tmp_path):
    item = named("lesion of 3x3 in 512x512, network of 64")
    dataset = dataset_of(item, tmp_path)
    kinds = {one.kind.name: one for one in dataset.examine(None, 64).findings}
    assert kinds["mask-vanishes"].details == ("9 px",) * odd.NUM
    assert dataset.examine(None, 256).findings == ()
    nearest = load_arrays(dataset, 64, tmp_path / "cache")
    area = load_arrays(dataset, 64, tmp_path / "cache", "area")
    assert nearest.masks.sum() == 0
    assert area.masks.sum(axis=(1, 2)).tolist() == [1] * odd.NUM
    assert (area.images == nearest.images).all()


def test_option_lesion_0_reads_exchanged_masks(tmp_path):
    def inverted(path: Path, i: int, mask: odd.Masks) -> None:
        Image.fromarray(~mask if i % 2 else (~mask).astype(np.uint8) * 255).save(f"{path}.png")

    dataset = dataset_of(odd.Odd("", inverted, option={"lesion": [0]}), tmp_path)
    assert all((dataset.read_mask(i) == odd.lesion(i)).all() for i in range(odd.NUM))


@pytest.mark.parametrize(("num", "named"), [(6, []), (7, ["2"])])
def test_one_mask_with_lesion_along_its_border_is_named(tmp_path, num, named):
    """Of 11x11 pixels 40 are border; the first 10 rows have 29 of it: with 7 more it is 90 %."""
    centre = np.zeros((11, 11), np.uint8)
    centre[5, 5] = 255
    most = np.full((11, 11), 255, np.uint8)
    most[10, num:] = 0
    found = decide(facts_of([centre, centre, most], tmp_path)).findings
    assert [n for one in found if one.kind.name == "mask-unlike" for n in one.names] == named


def test_a_channel_without_lesion_is_refused(tmp_path):
    red = odd.colours(odd.BLACK, odd.RED)
    found = {
        channel: odd.look(odd.Odd("", red, option={"channel": channel}), tmp_path / channel)
        for channel in ("red", "blue")
    }
    assert found["red"].rule is not None
    assert [one.kind.name for one in found["blue"].refusals] == ["mask-trivial"]


def test_another_channel_is_another_fingerprint(tmp_path):
    dataset = dataset_of(named("palette black and red"), tmp_path)
    index = open_dataset(Component(name="folder", parameters={"mask": {"lesion": [1]}}), tmp_path)
    assert all(np.array_equal(dataset.read_mask(i), index.read_mask(i)) for i in range(odd.NUM))
    assert dataset.examine().marks == ()
    assert isinstance(index, FileDataset)
    assert len(index.examine().marks) == 1


INVERTED = {
    "levels": odd.levels(255, 0),
    "one bit": lambda path, i, mask: odd.save(path.with_suffix(".png"), ~mask),
    "dark": odd.levels(100, 0),
    "16 bits": odd.levels(65535, 0, np.uint16),
    "JPEG": odd.jpeg(lambda mask: np.where(mask, 0, 255).astype(np.uint8)),
    "smooth": lambda path, i, mask: odd.smooth(path, i, ~mask),
    "red": odd.colours(odd.RED, odd.BLACK),
    "palette": odd.palette(*odd.RED, *odd.BLACK),
    "dark palette": odd.palette(10, 0, 0, 0, 0, 0),
    "alpha": odd.colours(odd.OPAQUE, odd.CLEAR),
}


def option_in(remedy: str) -> dict[str, object]:
    """The first option `mask` that a sentence proposes."""
    text = remedy.partition("parameters: {mask: ")[2].partition("}}")[0]
    return dict(yaml.safe_load(text + "}"))


@pytest.mark.parametrize("what", INVERTED)
def test_advice_for_inverted_masks_reads_the_lesion(tmp_path, what):
    decision = odd.look(odd.Odd(what, INVERTED[what]), tmp_path / "plain")
    (note,) = [one for one in decision.findings if one.kind.name == "mask-inverted"]
    option = option_in(note.kind.remedy)
    read = dataset_of(odd.Odd(what, INVERTED[what], option=option), tmp_path / "turned")
    assert not [one for one in read.examine(None).findings if one.kind.name == "mask-inverted"]
    for i in range(odd.NUM):
        off = np.count_nonzero(read.read_mask(i) != odd.lesion(i))
        assert off <= (40 if what in ("JPEG", "smooth") else 0)


def test_inverted_false_is_the_same_option_as_none():
    assert complete_dataset("folder", {"mask": {"threshold": 9, "inverted": False}}) == (
        complete_dataset("folder", {"mask": {"threshold": 9}})
    )


SOFT = odd.tiff(lambda i, mask: (mask * 0.7 + i / 50 + np.eye(odd.SIDE) / 9).astype(np.float32))
ADVISED = {
    "1 and 2": (odd.levels(1, 2), None, [{"lesion": [2]}, {"threshold": 1}]),
    "254 and 255": (odd.levels(254, 255), None, [{"lesion": [255]}, {"threshold": 254}]),
    "3, 1001": (odd.levels(3, 1001, np.uint16), None, [{"lesion": [1001]}, {"threshold": 3}]),
    "one of 0 and 1": (odd.one_otherwise(odd.PLAIN, odd.levels(0, 1)), None, [{"threshold": 0}]),
    "one JPEG of 0 and 90": (
        odd.one_otherwise(odd.PLAIN, odd.jpeg(lambda mask: mask.astype(np.uint8) * 90)), None, [],
    ),
    "black palette": (
        odd.palette(0, 0, 0, 0, 0, 0),
        None,
        [{"lesion": [1], "channel": "index"}, {"threshold": 0, "channel": "index"}],
    ),
    "empty": (odd.levels(0, 0), None, []),
    "soft": (SOFT, None, [{"threshold": 0.5}]),
    "threshold 255": (odd.PLAIN, {"threshold": 255}, [{"lesion": [255]}, {"threshold": 0}]),
    "everything": (odd.PLAIN, {"lesion": [0, 255]}, [{"lesion": [255]}, {"threshold": 0}]),
}  # fmt: skip


@pytest.mark.parametrize("what", ADVISED)
def test_each_option_that_a_refusal_proposes_is_accepted(tmp_path, what):
    write, option, proposed = ADVISED[what]
    decision = odd.look(odd.Odd(what, write, option=option), tmp_path / "plain")
    (refused,) = decision.refusals
    texts = refused.kind.remedy.split("parameters: ")[1:]
    found = [option_in(f"parameters: {text}") for text in texts]
    assert found == proposed
    for i, one in enumerate(found):
        read = odd.look(odd.Odd(what, write, option=one), tmp_path / str(i))
        assert read.rule is not None
        assert not {"mask-empty", "mask-full"} & {note.kind.name for note in read.findings}


def test_value_in_no_mask_is_named_with_the_found_values(tmp_path):
    decision = odd.look(odd.Odd("7", odd.PLAIN, option={"lesion": [7]}), tmp_path)
    (refused,) = decision.refusals
    assert refused.sentence().startswith(
        "option mask does not fit the masks: lesion 7 is in no mask; found 0, 255; correct"
    )


def test_single_values_of_compressed_masks_are_refused(tmp_path):
    write = odd.jpeg(lambda mask: mask.astype(np.uint8) * 255)
    (tmp_path / "seen").mkdir()
    for i in range(odd.NUM):
        write(tmp_path / "seen" / str(i), i, odd.lesion(i))
    seen = {v for p in (tmp_path / "seen").iterdir() for v in np.unique(np.asarray(Image.open(p)))}
    for values, kinds in ([255], {"mask-compressed"}), ([v for v in seen if v > 127], set()):
        option = {"lesion": [int(value) for value in values]}
        decision = odd.look(odd.Odd("", write, option=option), tmp_path / str(len(values)))
        assert {one.kind.name for one in decision.refusals} == kinds


def test_indices_of_palettes_that_differ_are_refused(tmp_path):
    def other(path: Path, i: int, mask: odd.Masks) -> None:
        odd.palette(*odd.RED, *odd.BLACK)(path, i, ~mask)

    write = odd.one_otherwise(odd.palette(*odd.BLACK, *odd.RED), other)
    decision = odd.look(odd.Odd("two palettes", write, option={"lesion": [1]}), tmp_path / "1")
    assert {one.kind.name for one in decision.refusals} == {"mask-palettes"}
    named = odd.look(odd.Odd("colour", write, option={"lesion": ["#ff0000"]}), tmp_path / "2")
    assert not named.refusals


def test_dark_palette_colour_is_named_as_in_the_option(tmp_path):
    write = odd.palette(*odd.BLACK, 10, 0, 0)
    decision = odd.look(odd.Odd("dark", write), tmp_path / "1")
    assert decision.rule is not None
    assert decision.rule.sentence == "lesion = colour #0a0000 on black"
    same = odd.look(odd.Odd("colour", write, option={"lesion": ["#0a0000"]}), tmp_path / "2")
    assert same.rule is not None
    assert not same.findings
