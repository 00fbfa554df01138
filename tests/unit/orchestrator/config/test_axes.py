"""Names, aliases and parameters of datasets, models and losses."""
# ruff: noqa: E501 - messages are quoted whole

from __future__ import annotations

import pytest

from tests.unit.orchestrator.config.builders import load
from workers.contract import UserError


def refusal(folder, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, *overrides)
    text = str(caught.value).replace(f"{folder}/sweep.yaml: ", "")
    return text.partition(" (from --set")[0]


def test_a_name_takes_all_its_defaults(tmp_path):
    config = load(tmp_path, "losses=[focal]")
    (focal,) = config.losses
    assert (focal.name, focal.label) == ("focal", "focal")
    assert focal.parameters == {"alpha": 0.8, "gamma": 0.2}


def test_a_name_can_be_listed_twice_with_two_aliases(tmp_path):
    config = load(
        tmp_path, "losses=[focal, {name: focal, alias: focal-g2, parameters: {gamma: 2}}]"
    )
    assert [c.label for c in config.losses] == ["focal", "focal-g2"]
    assert [c.parameters["gamma"] for c in config.losses] == [0.2, 2.0]


def test_a_sum_of_losses_needs_no_catalogue_entry(tmp_path):
    (loss,) = load(tmp_path, "losses=[focal+iou]").losses
    assert (loss.name, loss.label) == ("iou+focal", "iou+focal")


def test_alias_names_a_folder_and_is_identity(tmp_path):
    config = load(
        tmp_path,
        "datasets=[{name: folder, alias: clinic, root: a}, {name: folder, alias: b, root: a}]",
    )
    assert [c.parameters["label"] for c in config.datasets] == ["clinic", "b"]


def test_dataset_takes_parameters_and_a_root(tmp_path):
    config = load(
        tmp_path,
        "data.root=/d",
        "datasets=[wound, {name: cvc-clinicdb, parameters: {format: tif}, root: /c}, synthetic-skin]",
    )
    assert config.datasets[1].parameters == {"format": "tif"}
    assert config.roots == {"wound": "/d", "cvc-clinicdb": "/c", "synthetic-skin": None}


SIZES = [
    ("models=[{name: unet, parameters: {width: 1e30}}]", "models.0.parameters.width: 1e+30: is too large"),
    ("models=[{name: unet, parameters: {width: 1000000000}}]", "models.0.parameters.width: 1000000000: must be at most 65536"),
    ("models=[{name: duck-net, parameters: {filters: 10000000}}]", "models.0.parameters.filters: 10000000: must be at most 65536"),
    ("models=[unet, {name: unet, alias: wide, parameters: {width: 65536}}]", "models.1: takes about "),
    ("datasets=[{name: synthetic-skin, parameters: {num_images: 1000000000}}]", "datasets.0.parameters.num_images: 1000000000: must be at most 100000"),
    ("datasets=[{name: synthetic-skin, parameters: {seed: 9223372036854775808}}]", "datasets.0.parameters.seed: 9223372036854775808: is too large for a whole number (64 bits)"),
    ("data.image_size=16384", "models.0: takes about "),
]  # fmt: skip


@pytest.mark.parametrize(("override", "message"), SIZES)
def test_values_beyond_any_machine_are_refused(tmp_path, override, message):
    assert message in refusal(tmp_path, override)


def test_labels_in_two_unicode_forms_are_equal(tmp_path):
    models = "models=[{name: unet, alias: '\u00e9'}, {name: fcn, alias: 'e\u0301'}]"
    assert "the label is used already by models.0" in refusal(tmp_path, models)


@pytest.mark.parametrize(
    ("first", "second"), [("UNet-a", "unet-A"), ("a", "\uff41"), ("\ufb01", "FI")]
)
def test_labels_equal_but_for_case_or_unicode_are_refused(tmp_path, first, second):
    models = f"models=[{{name: unet, alias: '{first}'}}, {{name: fcn, alias: '{second}'}}]"
    assert refusal(tmp_path, models).startswith(
        f"models.1: {second!r}: differs from {first!r} (models.0) by upper and lower case or by"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("losses=[iou, iou]", "losses.1: 'iou' and 'iou' (losses.0) are both iou with"),
        ("losses=[iou+focal, {name: focal+iou, alias: x}]", "losses.1: 'x' and 'iou+focal' (losses.0) are both iou+focal with"),
        ("losses=[focal, {name: focal, parameters: {gamma: 2}}]", "losses.1: 'focal': the label is used already by losses.0; give one of them an alias"),
        ("losses=[{name: focal, alias: x}, {name: iou, alias: x}]", "losses.1: 'x': the label is used already by losses.0"),
        ("losses=[{name: iou, alias: dice}]", "losses.0.alias: 'dice': is the name of another entry; give 'iou' another alias"),
        ("losses=[{name: iou, alias: a/b}]", "losses.0.alias: 'a/b': must be printable text without slashes"),
        ("losses=[{name: iou, alias: ' a'}]", "losses.0.alias: ' a': must not begin or end with a space"),
        ('losses=[{name: iou, alias: "a\\tb"}]', "losses.0.alias: 'a\\tb': must be printable text without slashes"),
        ("losses=[{name: iou, alias: " + "x" * 65 + "}]", f"losses.0.alias: '{'x' * 65}': is 65 characters long; at most 64 are allowed"),
        ("losses=[{alias: x}]", "losses.0.name: missing; for example name: unet"),
        ("losses=[{name: iou, parameter: {}}]", "losses.0.parameter: unknown key 'parameter'; did you mean 'parameters'? known: name, alias, parameters"),
        ("losses=[{name: iou, root: x}]", "losses.0.root: unknown key 'root'; known: name, alias, parameters"),
        ("losses=[5]", "losses.0: 5: must be a name in quotes, or a mapping with the keys name, alias, parameters"),
        ("losses=[on]", "losses.0: true: must be a name in quotes, or a mapping"),
        ("losses=[[iou]]", 'losses.0: ["iou"]: must be a name in quotes, or a mapping'),
        ("losses=[{name: focal, parameters: {gamma: true}}]", "losses.0.parameters.gamma: true: must be a number, without quotes"),
        ("losses=[{name: focal, parameters: {gamma: '2'}}]", "losses.0.parameters.gamma: '2': must be a number, without quotes"),
        ("losses=[{name: focal, parameters: {gamma: .nan}}]", "losses.0.parameters.gamma: NaN: must be a finite number"),
        ("losses=[{name: focal, parameters: [2]}]", "losses.0.parameters: [2]: must be a mapping of keys to values"),
        ("models=[esfpnt]", "models.0: 'esfpnt': unknown model; did you mean 'esfpnet'"),
        ("models=[{name: emcad, parameters: {width: 3}}]", "models.0.parameters.width: 3: unknown parameter; known: pretrained, variant, mutation"),
        ("models=[{name: emcad, parameters: {pretrained: 1}}]", "models.0.parameters.pretrained: 1: must be true, false or the path of a state dict"),
        ("models=[{name: unet, parameters: {pretrained: true}}]", "models.0.parameters.pretrained: true: the plain form has no pretrained weights; name an encoder"),
        ("models=[{name: emcad, parameters: {pretrained: /nowhere/x.pth}}]", "models.0.parameters.pretrained: '/nowhere/x.pth': /nowhere/x.pth: no such file or folder on this machine; expected pvt_v2_b2.in1k.safetensors"),
        ("datasets=[kvasir]", "datasets.0: 'kvasir': unknown dataset; did you mean 'kvasir-seg'?"),
        ("datasets=[{name: folder, root: x}]", "datasets.0: needs an alias, the name of your data in all results; for example {name: folder, alias: my-data, root: ../my-data}"),
        ("datasets=[{name: folder, alias: a, root: x, parameters: {label: b}}]", "datasets.0.parameters.label: 'b': is set by 'alias'"),
        ("datasets=[{name: synthetic-skin, root: /x}]", "datasets.0.root: '/x': generated data has no root; remove this key"),
        ("datasets=[wound, synthetic-skin, kvasir-seg]", "data.root: missing, but files are read by wound (Foot Ulcer Segmentation Challenge), kvasir-seg (Kvasir-SEG): name the folder that holds what is in brackets, or give one dataset its own root, as {name: ..., root: ...}; `podium data list` says where to get the data"),
    ],
)  # fmt: skip
def test_a_refused_entry_reports_the_remedy(tmp_path, override, message):
    assert message in refusal(tmp_path, override)
