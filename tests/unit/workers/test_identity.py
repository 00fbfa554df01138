"""Identity: same question, same id; ids are pinned so that a change cannot pass unseen."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.contract import Component, DataProtocol, TrainingProtocol, TrialSpec
from workers.identity import canonical, digest, digest_of_texts, protocol_id, trial_id, trial_ids

SPEC = TrialSpec(
    dataset=Component(name="kvasir-seg"),
    model=Component(name="unet", parameters={"width": 64, "encoder": None}),
    loss=Component(name="focal", parameters={"alpha": 0.8, "gamma": 0.2}),
    repeat=0,
    seed=42,
)

# Written by hand from the definition: sorted keys, no spaces, 1.0 as 1, no labels.
CANONICAL_TEXT = (
    '{"data":{"image_size":224,"normalisation":"imagenet","split":[0.6,0.2,0.2],'
    '"split_unit":"image"},"dataset":{"name":"kvasir-seg","parameters":{}},"identity_version":1,'
    '"loss":{"name":"focal","parameters":{"alpha":0.8,"gamma":0.2}},'
    '"model":{"name":"unet","parameters":{"encoder":null,"width":64}},"repeat":0,"seed":42,'
    '"training":{"auxiliary_weight":1,"batch_size":8,"channels_last":1,"deterministic":1,'
    '"learning_rate":0.001,"max_epochs":200,"optimizer":"adam","patience":40,'
    '"precision":"float32"}}'
)


def test_an_id_is_the_hash_of_the_canonical_text():
    assert trial_id(SPEC) == hashlib.sha256(CANONICAL_TEXT.encode()).hexdigest()[:20]


def test_known_ids_do_not_change():
    assert trial_id(SPEC) == "d353f55a73ceef33092c"
    assert trial_id(replace(SPEC, repeat=4)) == "dda3ea2da51350a22126"
    assert protocol_id(SPEC) == "2f62b020d473"


def test_protocol_id_ignores_axes_and_repeat():
    other = replace(SPEC, dataset=Component(name="wound"), repeat=3)
    assert protocol_id(other) == protocol_id(SPEC)
    assert protocol_id(replace(SPEC, seed=43)) != protocol_id(SPEC)


def test_later_field_at_its_default_is_not_part_of_the_id():
    assert '"deep_supervision"' not in CANONICAL_TEXT
    alone = replace(SPEC, training=TrainingProtocol(deep_supervision=False))
    assert trial_id(alone) != trial_id(SPEC)
    assert protocol_id(alone) != protocol_id(SPEC)
    assert trial_id(replace(SPEC, training=TrainingProtocol(deep_supervision=True))) == trial_id(
        SPEC
    )


def test_near_duplicate_distance_and_rule_change_the_id():
    of = {
        trial_id(replace(SPEC, data=data))
        for data in (
            DataProtocol(),
            DataProtocol(split_unit="group"),
            DataProtocol(split_unit="similar"),
            DataProtocol(split_unit="similar", similar_distance=8),
            DataProtocol(split_unit="similar", similar_rule=2),
        )
    }
    assert len(of) == 5


def test_weights_of_outputs_are_identity_one_by_one():
    weights = (1.0, (1.0,), (1.0, 0.5), (0.5, 1.0))
    ids = {trial_id(replace(SPEC, training=TrainingProtocol(auxiliary_weight=w))) for w in weights}
    assert len(ids) == 4


def test_a_label_is_not_part_of_the_id():
    renamed = replace(SPEC, loss=replace(SPEC.loss, label="focal-g02"))
    assert trial_id(renamed) == trial_id(SPEC)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), (0, False), (0.0, -0.0), (10**15, 1e15), ((1, 2), [1, 2])],
)
def test_values_that_compare_equal_have_one_digest(one, other):
    assert digest({"value": one}) == digest({"value": other})


@pytest.mark.parametrize(("one", "other"), [(1, "1"), (0, None), (0.1, 0.1 + 1e-16 * 2), ([], {})])
def test_values_that_differ_have_two_digests(one, other):
    assert digest({"value": one}) != digest({"value": other})


def test_the_order_of_keys_does_not_matter():
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_are_refused(value):
    with pytest.raises(ValueError, match="cannot be part of an identity"):
        trial_id(replace(SPEC, loss=Component(name="focal", parameters={"gamma": value})))


def test_values_that_are_not_json_are_refused():
    with pytest.raises(TypeError, match="set cannot be part of an identity"):
        digest({"value": {1, 2}})


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": Component(name="wound")},
        {"dataset": Component(name="kvasir-seg", parameters={"x": 1})},
        {"model": Component(name="unet")},
        {"loss": Component(name="focal", parameters={"alpha": 0.8, "gamma": 2.0})},
        {"repeat": 1},
        {"seed": 43},
        {"data": DataProtocol(image_size=64)},
        {"training": TrainingProtocol(max_epochs=2)},
    ],
    ids=str,
)
def test_every_field_of_the_identity_changes_the_id(change):
    assert trial_id(replace(SPEC, **change)) != trial_id(SPEC)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(json_values)
def test_canonical_is_idempotent_and_equal_to_its_input(value):
    assert canonical(canonical(value)) == canonical(value)
    assert digest(canonical(value)) == digest(value)
    assert canonical(value) == value


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(), json_values, min_size=1, max_size=4), st.randoms())
def test_a_shuffled_mapping_has_the_same_digest(mapping, random):
    keys = list(mapping)
    random.shuffle(keys)
    assert digest({key: mapping[key] for key in keys}) == digest(mapping)


@given(st.lists(st.text()))
def test_texts_have_the_digest_of_their_list(texts):
    assert digest_of_texts(texts, length=12) == digest(texts, length=12)


components = st.builds(
    Component,
    name=st.sampled_from(["a", 'repeat":0', '"repeat":0,']),
    parameters=st.dictionaries(
        st.sampled_from(["repeat", "seed", "x"]), st.integers(0, 1) | st.just('"repeat":0')
    ),
)


@settings(deadline=None, max_examples=100)
@given(
    parts=st.lists(components, min_size=3, max_size=5),
    picks=st.lists(st.tuples(*[st.integers(0, 2)] * 3, st.integers(0, 12)), max_size=12),
)
def test_the_ids_of_many_trials_are_those_of_each(parts, picks):
    specs = [
        TrialSpec(dataset=parts[d], model=parts[m], loss=parts[n], repeat=r, seed=1)
        for d, m, n, r in picks
    ]
    assert list(trial_ids(specs)) == [trial_id(spec) for spec in specs]
