"""Results as pandas frames: documented columns, the rows of the store, warnings on torn files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import podium
from orchestrator.store import TABLES, VIEWS, Store
from orchestrator.store.files import part_path
from tests.unit.orchestrator.store.test_views import document, fill
from tests.unit.orchestrator.store.trials import NOW, make_candidate, make_result, make_spec
from workers.contract import UserError
from workers.identity import trial_id


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("frames")
    fill(Store(root))
    Store(root).save_grid(document())
    Store(root).commit_candidate(make_candidate(0, 2))
    Store(root).commit_candidate(make_candidate(1, 1))
    return root


@pytest.mark.parametrize("name", VIEWS)
def test_each_table_has_a_reader_with_documented_columns(results, name):
    read = getattr(podium, f"read_{name}")
    frame = read(results)
    assert tuple(frame.columns) == VIEWS[name].column_names
    assert len(frame) > 0
    for column in VIEWS[name].columns:
        assert f"\n    {column.name} ({column.kind}" in read.__doc__
        assert column.description in read.__doc__
    first = VIEWS[name].column_names[2:0:-1]
    assert tuple(read(str(results), first).columns) == first
    one = read(results, trial_ids=[trial_id(make_spec(2))])
    assert set(one.get("trial_id")) == {trial_id(make_spec(2))}
    with pytest.raises(UserError, match=f"'trial_ib': unknown column of {name}; did you mean"):
        read(results, ["trial_ib"])
    with pytest.raises(UserError, match="no results here"):
        read(results / "typo")


def test_frames_equal_those_of_the_store(results):
    for name in TABLES:
        assert getattr(podium, f"read_{name}")(results).equals(Store(results).read(name))


def test_query_returns_a_frame(results):
    frame = podium.query(results, "SELECT loss, count(*) AS n FROM trials WHERE loss = $loss "
                         "GROUP BY 1", {"loss": "dice"})  # fmt: skip
    assert frame.to_dict("records") == [{"loss": "dice", "n": 2}]


def test_rank_takes_the_frame(results):
    assert list(podium.rank(podium.read_trials(results)).podiums)


def test_a_frame_in_place_of_image_scores_is_refused(results):
    wrong: Any = podium.read_images(results)
    with pytest.raises(UserError, match=r"images: a DataFrame; give podium.read_target\(RESULTS\)"):
        podium.certainty(podium.read_trials(results), about="images", images=wrong)


def test_torn_file_is_a_warning(tmp_path):
    store = Store(tmp_path)
    for number in (0, 1):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    (tmp_path / part_path(TABLES["trials"], trial_id(make_spec(0)))).write_bytes(b"")
    with pytest.warns(UserWarning, match="torn, its rows are left out") as warned:
        assert len(podium.read_trials(tmp_path)) == 1
    assert warned[0].filename == __file__
    with pytest.warns(UserWarning, match="torn, its rows are left out") as warned:
        assert len(podium.query(tmp_path, "FROM trials")) == 1
    assert warned[0].filename == __file__
