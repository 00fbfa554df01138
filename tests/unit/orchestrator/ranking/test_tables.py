"""Reading a table: what is accepted, and that refusals name file, column, row and remedy."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from orchestrator.ranking.podium import rank
from orchestrator.ranking.tables import prepare_trials, read_table
from tests.unit.orchestrator.store.trials import make_spec
from workers.contract import UserError


@pytest.fixture
def write(tmp_path):
    def write(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_csv_tsv_and_parquet_are_the_same_table(write, tmp_path):
    csv = read_table(write("dataset,loss,dice\nNA,iou,0.5\nwound,iou,.25\n"))
    tsv = read_table(write("dataset\tloss\tdice\nNA\tiou\t0.5\nwound\tiou\t0.25\n", "t.tsv"))
    csv.to_parquet(tmp_path / "t.parquet")
    assert csv["dataset"].tolist() == ["NA", "wound"]
    assert csv["dice"].tolist() == [0.5, 0.25]
    pd.testing.assert_frame_equal(csv, tsv)
    pd.testing.assert_frame_equal(csv, read_table(tmp_path / "t.parquet"))


def test_byte_order_mark_blanks_and_further_columns(write):
    table = read_table(write("\ufeffmodel, loss ,dice,note\nunet, iou ,0.5,\n"))
    assert table["loss"].tolist() == ["iou"]


def test_a_diverged_row_needs_no_number(write):
    text = "dataset,loss,dice,iou,status\nw,iou,,,diverged\nw,bce,0.5,0.4,completed\n"
    table = read_table(write(text))
    assert table["dice"].tolist() == [0.0, 0.5]
    assert table["iou"].tolist() == [0.0, 0.4]


REFUSED = [
    ("loss,dice\niou,0.5\n", r"neither a column 'dataset' nor 'model'.*found: loss, dice"),
    ("dataset,dice\nw,0.5\n", r"no column 'loss'; found: dataset, dice"),
    ("dataset,loss,Dice\nw,iou,0.5\n", r"no column 'dice'; rename 'Dice'\?"),
    ("dataset;loss;dice\nw;iou;0.5\n", r"separate the columns with commas"),
    ("dataset,loss,dice\n", r"no rows"),
    ("", r"the file is empty"),
    ("dataset,loss,dice\nw,iou,0.5\nw,bce,good\n", r"column 'dice', line 3: 'good' is not"),
    ("dataset,loss,dice\nw,iou,nan\n", r"column 'dice', line 2: 'nan' is not .* 'diverged'"),
    ("dataset,loss,dice\nw,iou,inf\n", r"'inf' is not a finite number"),
    ("dataset,loss,dice\nw,iou,\n", r"line 2: '' is not a finite number"),
    ("dataset,loss,dice\nw,,0.5\n", r"column 'loss', line 2: empty"),
    ("dataset,loss,repeat,dice\nw,iou,first,0.5\n", r"column 'repeat', line 2: 'first'"),
    (
        "dataset,loss,dice\nw,iou,0.5\nw,bce,0.5\nw,iou,0.6\n",
        r"line 2 and line 4 are both dataset 'w', loss 'iou'; .*'model' or 'repeat'",
    ),
    (
        "dataset,model,loss,repeat,dice\nw,u,iou,1,0.5\nw,u,iou,1.0,0.6\n",
        r"line 2 and line 3 are both dataset 'w', model 'u', loss 'iou', repeat 1; keep one",
    ),
    ('dataset,loss,dice\nw,"iou,0.5\n', r"cannot be read as a table"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refused_tables(write, text, message):
    path = write(text)
    with pytest.raises(UserError, match=message) as error:
        read_table(path)
    assert str(path) in str(error.value)


def test_refused_files(tmp_path, write):
    with pytest.raises(UserError, match=r"absent\.csv: no such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(UserError, match=r"is a folder and no table"):
        read_table(tmp_path)
    with pytest.raises(UserError, match=r"unknown kind of file '\.xls'; known: \.csv"):
        read_table(write("", "table.xls"))
    with pytest.raises(UserError, match=r"cannot be read as a table"):
        read_table(write("no parquet", "table.parquet"))
    (tmp_path / "latin.csv").write_bytes(b"dataset,loss,dice\n\xff,iou,0.5\n")
    with pytest.raises(UserError, match=r"cannot be read as a table.*codec"):
        read_table(tmp_path / "latin.csv")


def test_a_doubled_column_is_refused():
    table = pd.DataFrame([["w", "iou", 0.5, 0.6]], columns=["dataset", "loss", "dice", "dice"])
    with pytest.raises(UserError, match="column 'dice' appears twice"):
        rank(table)


def trials(*protocols: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "dataset": "w",
            "model": "u",
            "loss": "iou",
            "repeat": range(len(protocols)),
            "dice": 0.5,
            "protocol_id": protocols,
        }
    )


def test_two_protocols_never_mix_silently():
    message = r"store: trials of 2 .*aa11 \(2 trials\), bb22 \(1 trial\); .*--protocol ID"
    with pytest.raises(UserError, match=message):
        prepare_trials(trials("aa11", "bb22", "aa11"), source="store")
    assert len(prepare_trials(trials("aa11", "bb22", "aa11"), protocol="aa")) == 2
    assert len(prepare_trials(trials("aa11"))) == 1


@pytest.mark.parametrize(
    ("protocol", "message"),
    [("cc", r"is no protocol here; known: aa11"), ("aa", r"fits several protocols")],
)
def test_a_protocol_that_is_not_there(protocol, message):
    with pytest.raises(UserError, match=message):
        prepare_trials(trials("aa11", "aa22"), protocol=protocol)
    with pytest.raises(UserError, match="no column 'protocol_id'"):
        prepare_trials(trials("aa11").drop(columns="protocol_id"), protocol="aa")


def with_gammas(*gammas: float) -> pd.DataFrame:
    table = trials(*["aa11"] * len(gammas))
    table["spec"] = [
        json.dumps({"loss": {"name": "focal", "parameters": {"gamma": gamma}, "label": "iou"}})
        for gamma in gammas
    ]
    return table


def test_one_label_for_two_questions_is_refused():
    message = r"loss 'iou' stands for 2 different questions: .*\"gamma\": 0.2.*own alias"
    with pytest.raises(UserError, match=message):
        prepare_trials(with_gammas(2, 2, 0.2))
    assert len(prepare_trials(with_gammas(2, 2.0))) == 2  # one number, one question


def test_two_questions_in_whole_specifications_are_found():
    """Those of the store name the repeat between other keys."""
    rows = []
    for number, width in ((0, 4), (1, 8)):
        spec = make_spec(number).to_json()
        spec["model"]["parameters"]["width"] = width  # type: ignore[index, call-overload]
        rows.append(json.dumps(spec, sort_keys=True))
    table = trials("aa11", "aa11").assign(model="unet", loss="dice", dataset="set-0", spec=rows)
    with pytest.raises(UserError, match="model 'unet' stands for 2 different questions"):
        prepare_trials(table)


def test_a_foreign_spec_column_is_left_alone():
    assert len(prepare_trials(trials("aa11").assign(spec="M4 x 20"))) == 1
