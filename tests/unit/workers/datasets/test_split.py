from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.contract import UserError
from workers.datasets.split import Split, largest_remainder, split_indices

STUDY = (0.6, 0.2, 0.2)
PINNED = ([0, 2, 3, 5, 8, 9], [1, 6], [4, 7])


def counts(split: Split) -> tuple[int, int, int]:
    return len(split.train), len(split.val), len(split.test)


@pytest.mark.parametrize(
    ("num", "expected"),
    [(10, (6, 2, 2)), (5, (3, 1, 1)), (11, (7, 2, 2)), (12, (7, 3, 2)), (612, (367, 123, 122))],
)
def test_counts_by_largest_remainder(num: int, expected: tuple[int, int, int]) -> None:
    assert tuple(largest_remainder(num, STUDY)) == expected
    split = split_indices(["x"] * num, STUDY, unit="image", seed=42, repeat=0)
    assert counts(split) == expected


def test_known_split_is_pinned() -> None:
    split = split_indices(["x"] * 10, STUDY, unit="image", seed=42, repeat=0)
    assert split.test.dtype == np.int64
    assert (split.train.tolist(), split.val.tolist(), split.test.tolist()) == PINNED


fractions = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20)).map(
    lambda w: tuple(part / sum(w) for part in w)
)


@settings(deadline=None, max_examples=60)
@given(num=st.integers(60, 400), fractions=fractions, seed=st.integers(0, 99))
def test_image_split_is_a_partition_of_exact_size(
    num: int, fractions: tuple[float, float, float], seed: int
) -> None:
    split = split_indices(["x"] * num, fractions, unit="image", seed=seed, repeat=1)
    assert sorted([*split.train, *split.val, *split.test]) == list(range(num))
    for count, fraction in zip(counts(split), fractions, strict=True):
        assert abs(count - num * fraction) < 1


@settings(deadline=None, max_examples=60)
@given(
    groups=st.lists(st.sampled_from("abcdefghij"), min_size=3, max_size=120).filter(
        lambda g: len(set(g)) >= 3
    ),
    fractions=fractions,
    repeat=st.integers(0, 9),
)
def test_group_split_divides_no_group_and_fills_all_subsets(
    groups: list[str], fractions: tuple[float, float, float], repeat: int
) -> None:
    split = split_indices(groups, fractions, unit="similar", seed=42, repeat=repeat)
    parts = [split.train, split.val, split.test]
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))
    assert min(map(len, parts)) > 0
    members = [{groups[i] for i in part} for part in parts]
    assert sum(map(len, members)) == len(set(groups))


def test_group_split_comes_close_to_the_fractions() -> None:
    ends = (25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317, 342, 363, 383)
    groups = [f"s{sum(i > end for end in ends)}" for i in range(1, 384)]
    for repeat in range(5):
        split = split_indices(groups, STUDY, unit="group", seed=42, repeat=repeat)
        for count, fraction in zip(counts(split), STUDY, strict=True):
            assert abs(count - 383 * fraction) <= 12


def test_every_group_is_tested_sometimes() -> None:
    groups = [name for name, size in zip("abcdefghijk", range(15, 26), strict=True)
              for _ in range(size)]  # fmt: skip
    tested = set()
    for repeat in range(100):
        split = split_indices(groups, STUDY, unit="group", seed=1, repeat=repeat)
        tested |= {groups[i] for i in split.test}
    assert tested == set("abcdefghijk")


def test_repeats_differ_and_calls_agree() -> None:
    groups = [f"g{i // 2}" for i in range(100)]
    for unit in ("image", "group"):
        splits = [
            split_indices(groups, STUDY, unit=unit, seed=42, repeat=r).test.tolist()
            for r in (0, 0, 1)
        ]
        assert splits[0] == splits[1] != splits[2]


def test_group_split_does_not_depend_on_order_of_samples() -> None:
    groups = ["a", "a", "b", "c", "c", "d", "e"]
    split = split_indices(groups, STUDY, unit="group", seed=3, repeat=0)
    mirrored = split_indices(groups[::-1], STUDY, unit="group", seed=3, repeat=0)
    assert {groups[i] for i in split.test} == {groups[::-1][i] for i in mirrored.test}


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.split: validation gets 0\.05 of 5 images"):
        split_indices(["x"] * 5, (0.9, 0.05, 0.05), unit="image", seed=0, repeat=0)
    with pytest.raises(UserError, match=r"data\.split: test gets 0 of 9"):
        split_indices(["x"] * 9, (0.8, 0.2, 0.0), unit="image", seed=0, repeat=0)
    with pytest.raises(UserError, match=r"data\.split_unit: 2 groups cannot fill"):
        split_indices(["a", "b", "b"], STUDY, unit="group", seed=0, repeat=0)


def test_group_split_without_any_group_is_refused() -> None:
    names = [str(i) for i in range(9)]
    with pytest.raises(UserError, match=r"split_unit: group: there is no group.*set `similar`"):
        split_indices(names, STUDY, unit="group", seed=0, repeat=0)
    split = split_indices([*names, "8"], STUDY, unit="group", seed=0, repeat=0)
    alike = split_indices([*names, "8"], STUDY, unit="similar", seed=0, repeat=0)
    assert split.test.tolist() == alike.test.tolist()
    split_indices(names, STUDY, unit="similar", seed=0, repeat=0)


@settings(deadline=None, max_examples=40)
@given(
    groups=st.lists(st.sampled_from("abcdefghijkl"), min_size=20, max_size=120).filter(
        lambda g: len(set(g)) >= 6
    ),
    unit=st.sampled_from(["image", "group"]),
    seed=st.integers(0, 99),
)
def test_fixed_test_images_are_validation_images_of_no_repeat(groups, unit, seed):
    splits = [
        split_indices(groups, STUDY, unit=unit, seed=seed, repeat=repeat, fixed_test=True)
        for repeat in range(5)
    ]
    test = splits[0].test.tolist()
    for split in splits:
        assert split.test.tolist() == test
        assert not set(test) & {*split.val.tolist(), *split.train.tolist()}
        assert sorted([*split.train, *split.val, *split.test]) == list(range(len(groups)))
        if unit == "group":
            parts = [{groups[i] for i in part} for part in (split.train, split.val, split.test)]
            assert sum(map(len, parts)) == len(set(groups))
        else:
            expected = largest_remainder(len(groups), STUDY)
            assert max(abs(a - b) for a, b in zip(counts(split), expected, strict=True)) <= 1
    if unit == "image":
        assert len({tuple(split.val.tolist()) for split in splits}) > 1
