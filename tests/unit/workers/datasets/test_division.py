from __future__ import annotations

from dataclasses import replace

import pytest

from workers.contract import Component, DataProtocol
from workers.datasets.division import divide
from workers.datasets.split import split_indices
from workers.datasets.survey import Survey, survey_generated

TEN = Component(name="synthetic-skin", parameters={"num_images": 10})
DATA = DataProtocol(split=(0.6, 0.2, 0.2))


@pytest.fixture
def survey() -> Survey:
    return survey_generated(TEN)


def test_ten_images_give_six_to_train_on_in_every_repeat(survey: Survey) -> None:
    division = divide(survey, DATA, 1, range(4))
    assert division.num_train == {6}
    assert division.findings == ()


def test_repeats_without_lesion_in_validation_are_named(survey: Survey) -> None:
    groups = [str(i) for i in range(10)]
    parts = [
        split_indices(groups, DATA.split, unit="image", seed=1, repeat=repeat).val.tolist()
        for repeat in range(4)
    ]
    for without in ({*parts[2]}, {*parts[0], *parts[3]}, set(range(10)), {parts[1][0]}):
        blind = [str(r) for r, part in enumerate(parts) if set(part) <= without]
        division = divide(replace(survey, without_lesion=frozenset(without)), DATA, 1, range(4))
        assert [name for one in division.findings for name in one.names] == blind
        assert all(one.kind.severity == "note" for one in division.findings)


def test_too_few_images_for_the_fractions_are_refused(survey: Survey) -> None:
    division = divide(survey, replace(DATA, split=(0.98, 0.01, 0.01)), 1, range(4))
    (finding,) = division.findings
    assert finding.kind.severity == "refused"
    assert finding.sentence().startswith("data.split: validation gets 0.01 of 10 images")
    assert division.num_train == frozenset()


def test_a_refused_dataset_is_not_divided() -> None:
    survey = Survey(label="x", dataset=None, folder=None, num_images=0, num_pairs=0)
    assert divide(survey, DATA, 1, range(4)).findings == ()
