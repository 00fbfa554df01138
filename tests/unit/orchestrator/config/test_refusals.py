"""Every refusal names file, line, key, value and remedy, in Podium's words."""
# ruff: noqa: E501 - messages are quoted whole

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yaml import safe_dump

from orchestrator.config import load_config
from tests.unit.orchestrator.config.builders import MINIMAL, load, write
from workers.contract import UserError


def refusal(folder, text: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(folder, text=text)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("training: {max_epoch: 2}", "training.max_epoch: unknown key 'max_epoch'; did you mean 'max_epochs' or 'warmup_epochs'? known: optimizer, learning_rate, batch_size, max_epochs, patience, precision, channels_last, auxiliary_weight, deterministic, deep_supervision, tf32, fused_optimizer, compiled, betas, eps, weight_decay, momentum, nesterov, schedule, schedule_unit, schedule_power, schedule_interval, schedule_factor, warmup_epochs, gradient_clip_norm, ema, augmentation"),
        ("max_epochs: 2", "max_epochs: unknown key 'max_epochs'; it belongs under 'training': training.max_epochs; known here: name, datasets, models, losses, repeats, seed, data, training, resources, cluster, runtime, tune, policy, race, results"),
        ("repeats: 0", "repeats: 0: must be at least 1"),
        ("repeats: true", "repeats: true: must be a whole number"),
        ("repeats: 2.5", "repeats: 2.5: must be a whole number"),
        ('repeats: "2"', "repeats: '2': must be a whole number"),
        ("seed: -1", "seed: -1: must be at least 0"),
        ("seed: 9223372036854775808", "seed: 9223372036854775808: must be less than 9223372036854775808"),
        ("name: a/b", "name: 'a/b': must be printable text without slashes"),
        ("name: ..", "name: '..': must be a name"),
        ("name: 12", "name: 12: must be text; put it in quotes"),
        ("data: {image_size: 70}", "data.image_size: 70: must be a multiple of 32, for example 64 or 96"),
        ("data: {image_size: 0}", "data.image_size: 0: must be more than 0"),
        ("data: {image_size: 1000000}", "data.image_size: 1000000: must be at most 16384"),
        ("data: {split: {train: 0.5, val: 0.2, test: 0.2}}", 'data.split: {"train": 0.5, "val": 0.2, "test": 0.2}: the fractions must sum to 1; train 0.5, val 0.2, test 0.2 sum to 0.9'),
        ("data: {split: {train: 0.8, val: 0.2, test: 0}}", "data.split.test: 0: must be more than 0"),
        ("data: {split: [0.6, 0.2, 0.2]}", "data.split: [0.6, 0.2, 0.2]: must be a mapping of keys to values"),
        ("data: {split_unit: patient}", "data.split_unit: 'patient': unknown value; known: image, group, similar"),
        ("data: {similar_distance: 8}", 'data: {"similar_distance": 8}: similar_distance has an effect only with split_unit: similar, and split_unit is image; set it to similar, or remove similar_distance'),
        ("data: {split_unit: similar, similar_distance: 65}", "data.similar_distance: 65: must be at most 64"),
        ("data: {cache: s3://a}", "data.cache: 's3://a': must be a local or mounted path, which is not read through a URI"),
        ("data: {root: 5}", "data.root: 5: must be text; put it in quotes"),
        ("training: {optimizer: adm}", "training.optimizer: 'adm': unknown value; did you mean 'adam' or 'adamw'? known: adam, adamw, sgd"),
        ("training: {optimizer: adamw}", "training: {\"optimizer\": \"adamw\"}: without weight_decay adamw is adam; set weight_decay, such as 0.01"),
        ("training: {momentum: 0.9}", "training: {\"momentum\": 0.9}: momentum has an effect only with optimizer: sgd, and optimizer is adam; change optimizer, or remove momentum"),
        ("training: {schedule_power: 2}", "training: {\"schedule_power\": 2}: schedule_power has an effect only with schedule: poly, and schedule is constant; change schedule, or remove schedule_power"),
        ("training: {optimizer: sgd, nesterov: true}", "training: {\"optimizer\": \"sgd\", \"nesterov\": true}: nesterov needs momentum; set momentum, such as 0.9"),
        ("training: {schedule_unit: step}", "training: {\"schedule_unit\": \"step\"}: schedule_unit has an effect only with a schedule or warmup_epochs; set one of them, or remove schedule_unit"),
        ("training: {warmup_epochs: 200}", "training: {\"warmup_epochs\": 200}: warmup_epochs 200 must be less than max_epochs 200"),
        ("training: {betas: [0.9]}", "training.betas: [0.9]: must be two numbers from 0 to below 1, such as [0.9, 0.999]"),
        ("training: {augmentation: [{name: flips, horizontal: 2}]}", "training.augmentation: [{\"name\": \"flips\", \"horizontal\": 2}]: 0.horizontal: 2: must be at most 1"),
        ("training: {augmentation: [{name: elastic, points: a}]}", "training.augmentation: [{\"name\": \"elastic\", \"points\": \"a\"}]: 0.points: 'a': must be a whole number"),
        ("training: {augmentation: [{name: affine, scale: [1]}]}", "training.augmentation: [{\"name\": \"affine\", \"scale\": [1]}]: 0.scale.1: [1]: a value is missing"),
        ("training: {augmentation: [{name: affine, scale: [1, 2, 3]}]}", "training.augmentation: [{\"name\": \"affine\", \"scale\": [1, 2, 3]}]: 0.scale: [1, 2, 3]: must have at most 2 items, not 3"),
        ("training: {augmentation: [{name: affine, probability: true}]}", "training.augmentation: [{\"name\": \"affine\", \"probability\": true}]: 0.probability: True: must be a number, without quotes"),
        ("training: {augmentation: [{name: blur, sigma: ['1', 2]}]}", "training.augmentation: [{\"name\": \"blur\", \"sigma\": [\"1\", 2]}]: 0.sigma.0: '1': must be a number, without quotes"),
        ("training: {augmentation: [flips, gama]}", "training.augmentation: [\"flips\", \"gama\"]: 1.name: 'gama': unknown augmentation; did you mean 'gamma'? known: flips, right-angles, affine, elastic, colour, gamma, blur, noise, cutout"),
        ("training: {augmentation: [{name: affine, degrees: [10, -1]}]}", "training.augmentation: [{\"name\": \"affine\", \"degrees\": [10, -1]}]: 0.degrees: [10, -1]: the first number of a range must not be larger, as in [-1, 10]"),
        ("training: {ema: 1}", "training.ema: 1: must be less than 1"),
        ("training: {batch_size: 0}", "training.batch_size: 0: must be at least 1"),
        ("training: {batch_size: 1000000000}", "training.batch_size: 1000000000: must be at most 65536"),
        ("cluster: {address: 'ray://me:hush@head:10001'}", "cluster.address: 'ray://***@head:10001': must be HOST:PORT (6379 unless the cluster's head says otherwise), ray://HOST:10001 or auto, without user and path; the address http://HOST:8265 is for podium submit"),
        ("resources: {cpus: 1e30}", "resources.cpus: 1e+30: must be at most 100000"),
        ("resources: {gpus: 1e30}", "resources.gpus: 1e+30: must be at most 100000"),
        ("runtime: {no_progress_minutes: 1e300}", "runtime.no_progress_minutes: 1e+300: must be at most 16666666.6666667"),
        ("training: {patience: 0}", "training.patience: 0: must be at least 1"),
        ("training: {learning_rate: 0}", "training.learning_rate: 0: must be more than 0"),
        ("training: {learning_rate: .inf}", "training.learning_rate: Infinity: must be a finite number"),
        ("training: {learning_rate: .nan}", "training.learning_rate: NaN: must be a finite number"),
        ('training: {learning_rate: "0.1"}', "training.learning_rate: '0.1': must be a number, without quotes"),
        ("training: {learning_rate: true}", "training.learning_rate: true: must be a number"),
        ("training: {deterministic: 1}", "training.deterministic: 1: must be true or false"),
        ("training: [1]", "training: [1]: must be a mapping of keys to values"),
        ("resources: {cpus: 0}", "resources.cpus: 0: must be more than 0"),
        ("resources: {gpus: -1}", "resources.gpus: -1: must be at least 0"),
        ("resources: {gpus: 1.5}", "resources.gpus: 1.5: must be a whole number, or a fraction of one GPU"),
        ("cluster: {cpus: 1.5}", "cluster.cpus: 1.5: must be a whole number"),
        ("runtime: {example_images: -1}", "runtime.example_images: -1: must be at least 0"),
        ("1: 2", "1: the key must be text; put it in quotes"),
    ],
)  # fmt: skip
def test_a_refused_line_is_quoted_with_its_remedy(tmp_path, line, message):
    assert refusal(tmp_path, f"{MINIMAL}{line}\n") == [f"sweep.yaml:5: {message}"]


@pytest.mark.parametrize(
    ("key", "example"),
    [
        ("datasets", "[synthetic-skin]"),
        ("models", "[unet]"),
        ("losses", "[iou, focal, iou+focal]"),
        ("results", "../results/my-sweep"),
    ],
)
def test_a_missing_key_is_reported_with_an_example(tmp_path, key, example):
    text = "".join(line for line in MINIMAL.splitlines(True) if not line.startswith(key))
    assert refusal(tmp_path, text) == [f"sweep.yaml: {key}: missing; for example {key}: {example}"]


def test_an_empty_axis_is_refused(tmp_path):
    text = MINIMAL.replace("[iou]", "[]")
    assert refusal(tmp_path, text) == ["sweep.yaml:3: losses: []: must not be empty"]


def test_an_axis_that_is_a_single_name_is_refused(tmp_path):
    text = MINIMAL.replace("[iou]", "iou")
    expected = "sweep.yaml:3: losses: 'iou': must be a list, for example [a, b]"
    assert refusal(tmp_path, text) == [expected]


def test_all_errors_are_reported_at_once_in_file_order(tmp_path):
    text = (
        "datasets: [synthetic-skn, wound]\n"
        "models: [unet, {name: unet, alias: u8, parameters: {widht: 8}}]\n"
        "losses: [iou, {name: focal, parameters: {gamma: -1}}, {name: iou, alias: again}]\n"
        "repeats: 0\n"
        "results: ''\n"
    )
    lines = refusal(tmp_path, text)
    assert [line.split(": ")[:2] for line in lines] == [
        ["sweep.yaml", "data.root"],
        ["sweep.yaml:1", "datasets.0"],
        ["sweep.yaml:2", "models.1.parameters.widht"],
        ["sweep.yaml:3", "losses.1.parameters.gamma"],
        ["sweep.yaml:3", "losses.2"],
        ["sweep.yaml:4", "repeats"],
        ["sweep.yaml:5", "results"],
    ]


def test_a_grid_above_the_limit_is_refused(tmp_path):
    assert refusal(tmp_path, MINIMAL + "repeats: 1000001\n") == [
        "sweep.yaml:5: repeats: 1000001: the grid has 1,000,001 trials; at most 1,000,000 are allowed"
    ]


def test_long_values_are_shortened(tmp_path):
    (line,) = refusal(tmp_path, f"{MINIMAL}name: {'x' * 500}\n")
    assert len(line) < 200
    assert line.endswith("xxx...: is 500 characters long; at most 64 are allowed")


def test_empty_sections_are_their_defaults(tmp_path):
    empty = "data:\ntraining:\nresources:\ncluster:\nruntime:\n"
    assert load(tmp_path, text=MINIMAL + empty) == load(tmp_path)


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.floats()
    | st.sampled_from(
        ["unet", "iou", "iou+focal", "synthetic-skin", "folder", "", "a/b", "s3://b"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "alias", "parameters", "root", "width", "train", "weights"])
            | st.integers(0, 2),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
keys = st.sampled_from(
    ["datasets", "models", "losses", "repeats", "seed", "data", "training", "results", "cluster", 3]
)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(keys, json_like, max_size=5))
def test_any_file_loads_or_is_refused_in_plain_words(tmp_path, changes):
    document = {
        "datasets": ["synthetic-skin"],
        "models": ["unet"],
        "losses": ["iou"],
        "results": "results",
    }
    path = write(tmp_path, safe_dump(document | changes))
    try:
        load_config(path)
    except UserError as error:
        for line in str(error).splitlines():
            assert line.startswith(str(path))
            assert "Input should" not in line
            assert "https://errors.pydantic" not in line
