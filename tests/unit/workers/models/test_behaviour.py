"""What a model takes and returns, and that it learns."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from workers.contract import UserError
from workers.losses import build_loss
from workers.models import SegmentationOutput, build_model
from workers.models.fcn import FCN8s

# Forms of U-Net, U-Net++ and DeepLab-V3+; `test_conformance.py` has every model of the catalogue.
SMALL: list[tuple[str, dict[str, Any]]] = [
    ("unet", {"width": 4}),
    ("unet", {"encoder": "resnet18"}),
    ("unetpp", {"width": 4}),
    ("unetpp", {"width": 4, "deep_supervision": False}),
    ("unetpp", {"encoder": "resnet18"}),
    ("deeplabv3plus", {"encoder": "resnet18"}),
]
# Forms whose layers another form trains too.
SAME_LAYERS = [
    ("unetpp", {"width": 4, "deep_supervision": False}),
    ("unetpp", {"encoder": "resnet18"}),
]


def build(name, parameters, **more):
    torch.manual_seed(0)
    return build_model(name, **more, **parameters)


@pytest.fixture(scope="module", params=SMALL, ids=str)
def case(request):
    """A network of three classes with its name and parameters, built once."""
    name, parameters = request.param
    return name, parameters, build(name, parameters, num_classes=3).eval()


def images(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_logits_have_the_size_of_the_image(case):
    name, parameters, model = case
    deep = parameters == {"width": 4} and name == "unetpp"
    with torch.no_grad():
        for height, width in ((32, 64), (96, 32)):
            output = model(images(2, 3, height, width))
            assert isinstance(output, SegmentationOutput)
            assert output.logits_BCHW.shape == (2, 3, height, width)
            assert [tuple(t.shape) for t in output.auxiliary] == 3 * deep * [(2, 3, height, width)]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 33, 64), "multiples of 32"),
        ((1, 3, 64, 40), "multiples of 32"),
        ((1, 3, 0, 32), "multiples of 32"),
        ((3, 32, 32), r"expected \(B, 3, H, W\)"),
        ((1, 1, 32, 32), r"expected \(B, 3, H, W\)"),
    ],
)
def test_images_of_another_shape_are_refused(case, shape, message):
    _, _, model = case
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(shape))


def test_the_output_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SegmentationOutput(torch.zeros(1)).logits_BCHW = torch.ones(1)  # type: ignore[misc]


def test_num_classes_is_at_least_one():
    with pytest.raises(ValueError, match="num_classes is 0"):
        build_model("unet", num_classes=0, width=4)


@pytest.mark.parametrize(
    ("name", "encoder", "message"),
    [
        ("unet", "tu-xception56", "did you mean 'xception65'"),
        ("unet", "tu-qqqqqqqq", r"see timm.list_models\(\)"),
        ("unet", "tu-xception65.tf_in1k", "use 'tu-xception65'"),
        ("unetpp", "mit_b0", "does not fit UnetPlusPlus"),
        ("deeplabv3plus", "vgg11", "does not fit DeepLabV3Plus"),
    ],
)
def test_an_encoder_that_does_not_exist_or_fit_is_refused(name, encoder, message):
    with pytest.raises(UserError, match=message) as caught:
        build_model(name, encoder=encoder)
    assert f"parameters.encoder: '{encoder}'" in str(caught.value)


def disks(seed):
    """Eight noisy images with a bright disk each, and the disks."""
    generator = torch.Generator().manual_seed(seed)
    row, column = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    centre = 8 + 16 * torch.rand(8, 2, 1, 1, generator=generator)
    inside = (row - centre[:, 0]) ** 2 + (column - centre[:, 1]) ** 2 < 7**2
    noise = 0.5 * torch.randn(8, 3, 32, 32, generator=generator)
    return noise + 1.5 * inside[:, None] - 0.5, inside


def train(model, loss, num_steps, learning_rate):
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    values = []
    for step in range(num_steps):
        image, inside = disks(step)
        value = loss(model(image).logits_BCHW, inside)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    return values


@pytest.mark.parametrize(
    ("name", "parameters"), [case for case in SMALL if case not in SAME_LAYERS]
)
def test_twelve_steps_lower_the_loss(name, parameters):
    values = train(build(name, parameters), build_loss("bce"), 12, 3e-3)
    assert values[-1] < 0.8 * values[0]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_fcn_learns_from_scores_of_zero():
    # The learning rate of the study; narrow last layers, for speed alone. The first prediction is
    # 0.5 everywhere: cross-entropy ln 2.
    torch.manual_seed(0)
    values = train(FCN8s(1, fc_width=256), build_loss("bce"), 40, 1e-3)
    assert values[0] == pytest.approx(0.6931472, rel=1e-5)
    assert values[-1] < 0.5 * values[0]
