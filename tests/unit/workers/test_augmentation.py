"""Augmentation: what each operation does, on pixels by hand, and what the draws depend on."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.augmentation import OPERATIONS, Augmentation
from workers.catalogue import CatalogueError
from workers.catalogue.augmentations import AUGMENTATIONS, PRESETS, complete_augmentation

CPU = torch.device("cpu")
SIDE = 32


def augmentation(given, epoch=1, repeat=0, seed=1, num_images=16):
    return Augmentation(
        complete_augmentation(given),
        num_images=num_images, seed=seed, repeat=repeat, epoch=epoch, device=CPU,
    )  # fmt: skip


def batch(size=8, classes=2):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(size, 3, SIDE, SIDE, generator=generator)
    masks = torch.randint(classes, (size, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return images, masks, torch.arange(size)


def test_every_operation_has_options_and_code():
    assert list(AUGMENTATIONS) == list(OPERATIONS)


@pytest.mark.parametrize("key", ["horizontal", "vertical"])
def test_flip_moves_image_and_mask_exactly(key):
    images, masks, indices = batch()
    options = {"name": "flips", "horizontal": 0, "vertical": 0} | {key: 1}
    found = augmentation([options])(images, masks, indices)
    axis = {"horizontal": -1, "vertical": -2}[key]
    assert torch.equal(found[0], images.flip(axis))
    assert torch.equal(found[1], masks.flip(axis))


def test_right_angles_turn_each_image_by_one_of_four():
    images, masks, indices = batch()
    found = augmentation(["right-angles"])(images, masks, indices)
    turns = []
    for number in range(len(images)):
        fits = [
            k for k in range(4) if torch.equal(found[0][number], images[number].rot90(k, (-2, -1)))
        ]
        assert torch.equal(found[1][number], masks[number].rot90(fits[0], (-2, -1)))
        turns += fits
    assert len(turns) == 8
    assert len(set(turns)) > 1


STILL: dict[str, dict[str, object]] = {
    "affine": {"degrees": [0, 0], "scale": [1, 1], "translate": [0, 0], "shear": [0, 0]},
    "elastic": {"strength": 0},
    "colour": {"brightness": [1, 1], "contrast": [1, 1], "saturation": [1, 1]},
    "gamma": {"gamma": [1, 1]},
    "noise": {"deviation": [0, 0]},
    "cutout": {"side": [0, 0]},
}


@pytest.mark.parametrize("name", STILL)
def test_ranges_of_no_change_change_nothing(name):
    images, masks, indices = batch(classes=4)
    found = augmentation([{"name": name} | STILL[name]])(images, masks, indices)
    torch.testing.assert_close(found[0], images, atol=1e-5, rtol=1e-4)
    assert torch.equal(found[1], masks)


def test_translation_moves_image_and_mask_together():
    images, _, indices = batch()
    masks = (images[:, 0] > 0.5).to(torch.uint8)
    options = {"name": "affine", "degrees": [0, 0], "scale": [1, 1], "shear": [0, 0],
               "translate": [0.25, 0.25]}  # fmt: skip
    found = augmentation([options])(images, masks, indices)
    torch.testing.assert_close(found[0][..., 9:, 9:], images[..., 1:-8, 1:-8], atol=1e-4, rtol=1e-4)
    assert torch.equal(found[1][..., 9:, 9:], masks[..., 1:-8, 1:-8])
    assert not found[0][..., :7, :].any()
    assert not found[1][..., :7, :].any()


def test_values_are_as_by_hand():
    images = torch.full((1, 3, SIDE, SIDE), 0.25)
    masks, indices = torch.ones(1, SIDE, SIDE, dtype=torch.uint8), torch.arange(1)
    darker = augmentation([{"name": "gamma", "gamma": [2, 2]}])(images, masks, indices)[0]
    torch.testing.assert_close(darker, images**2)
    brighter = augmentation(
        [{"name": "colour", "brightness": [2, 2], "contrast": [1, 1], "saturation": [1, 1]}]
    )(images, masks, indices)[0]
    torch.testing.assert_close(brighter, images * 2)
    hidden, mask = augmentation([{"name": "cutout", "side": [1, 1]}])(images, masks, indices)
    assert (hidden == 0).float().mean() >= 0.25
    assert mask.all()


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(sorted(AUGMENTATIONS)), st.permutations(range(8)), st.integers(1, 50))
def test_draws_of_an_image_do_not_depend_on_its_batch(name, order, epoch):
    images, masks, indices = batch()
    order = torch.tensor(order)
    whole = augmentation([name], epoch)(images, masks, indices)
    mixed = augmentation([name], epoch)(images[order], masks[order], indices[order])
    if name != "noise":  # its pixels are drawn in the order of the epoch
        torch.testing.assert_close(mixed[0], whole[0][order])
    assert torch.equal(mixed[1], whole[1][order])


@pytest.mark.parametrize("other", [{"epoch": 2}, {"repeat": 1}, {"seed": 2}])
def test_draws_differ_by_epoch_repeat_seed_and_image(other):
    images, masks, indices = batch()
    one = augmentation("strong")(images, masks, indices)
    assert torch.equal(augmentation("strong")(images, masks, indices)[0], one[0])
    assert not torch.equal(augmentation("strong", **other)(images, masks, indices)[0], one[0])
    assert not torch.equal(augmentation("strong")(images, masks, indices + 8)[0], one[0])


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_keeps_masks_whole_and_values_in_range(preset):
    images, masks, indices = batch(classes=4)
    found = augmentation(preset)(images, masks, indices)
    assert found[1].dtype == torch.uint8
    assert set(found[1].unique().tolist()) <= {0, 1, 2, 3}
    assert 0 <= found[0].min() <= found[0].max() <= 1


def test_preset_is_its_list_of_operations_with_defaults():
    assert complete_augmentation("flips") == complete_augmentation(["flips"])
    assert complete_augmentation([{"name": "flips", "vertical": 0.5}]) == [
        {"name": "flips", "horizontal": 0.5, "vertical": 0.5}
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("strongest", "unknown preset; did you mean 'strong'"),
        (["flip"], "unknown augmentation; did you mean 'flips'"),
        ([{"name": "affine", "degree": [0, 1]}], "unknown parameter; did you mean 'degrees'"),
        ([{"name": "gamma", "gamma": [2, 1]}], r"must not be larger, as in \[1, 2\]"),
        ([{"name": "gamma", "gamma": [0, 1]}], "greater than 0"),
        ([{"name": "affine", "shear": [80, 100]}], "less than 90"),
        ([{"name": "blur", "sigma": [1, 11]}], "must be at most 10"),
        ([{"flips": {}}], "a mapping with the key 'name'"),
        (3, "must be a list of operations, or one of none, flips"),
    ],
)
def test_refused_augmentation_names_the_remedy(given, message):
    with pytest.raises(CatalogueError, match=message):
        complete_augmentation(given)


def test_widest_blur_fits_the_smallest_image():
    images, masks, _ = batch(size=1)
    blur = augmentation([{"name": "blur", "sigma": [10, 10]}])
    changed, _ = blur(images, masks, torch.zeros(1, dtype=torch.long))
    assert changed.std() < images.std() / 10
