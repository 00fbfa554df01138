"""Reading a table: accepted forms, and refusals with file, column, row and remedy."""

from __future__ import annotations

import json
import os

import pandas as pd
import pytest

from orchestrator.ranking.rank import rank
from orchestrator.ranking.table import check_trials, read_table
from tests.unit.orchestrator.ranking.frames import scored
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
    csv = read_table(write("dataset,loss,dice\nNA,iou,0.5\nwound,iou,.25\n")).rows
    tsv = read_table(write("dataset\tloss\tdice\nNA\tiou\t0.5\nwound\tiou\t0.25\n", "t.tsv")).rows
    csv.to_parquet(tmp_path / "t.parquet")
    assert csv["dataset"].tolist() == ["NA", "wound"]
    assert csv["dice"].tolist() == [0.5, 0.25]
    pd.testing.assert_frame_equal(csv, tsv)
    pd.testing.assert_frame_equal(csv, read_table(tmp_path / "t.parquet").rows)


def test_byte_order_mark_blanks_and_further_columns(write):
    table = read_table(write("\ufeffmodel, loss ,dice,note\nunet, iou ,0.5,\n")).rows
    assert table["loss"].tolist() == ["iou"]


def test_a_diverged_row_needs_no_number(write):
    text = "dataset,loss,dice,iou,status\nw,iou,,,diverged\nw,bce,0.5,0.4,completed\n"
    table = read_table(write(text)).rows
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
    ("dataset,loss,dice\nw,iou,0.5,\nw,bce,0.6,\n", r"line 2 has 4 fields, the header has 3 "
     r"\(data.*\); 2 lines differ from it; remove the comma at its end"),
    ("dataset,loss,dice\nw,iou,0.5\nw,bce,0,6\n", r"line 3 has 4 .* write 0\.6 instead of 0,6"),
    ("dataset,loss,dice\nw,iou, plain,0.5\n", r"put a field that holds a comma in double quotes"),
    ("dataset,loss,dice\nw,iou\n", r"line 2 has 2 fields, the header has 3"),
    ("dataset,loss,dice\nw;iou;0,5\n", r"line 2 has 2 fields, the header has 3"),
    ('dataset,loss,dice\nw,iou,"0,5"\n', r"'0,5' is not .*; write 0\.5 with a decimal point"),
    ("dataset,loss,dice\nw,iou,80%\n", r"'80%' is not .*; write 80 without the sign"),
    ("dataset,loss,dice\nw,iou,0.8±0.1\n", r"write the mean alone"),
    ("dataset,loss,dice\nw,iou,True\n", r"'True' is not a finite number"),
    ("dataset,loss,dice\nw,iou,0x1\n", r"'0x1' is not a finite number"),
    ("\n\ndataset,loss,dice\n\nw,iou,x\n", r"line 5: 'x'"),
    ('dataset,loss,dice\n"a\nb",iou,0.5\nw,iou,x\n', r"line 4: 'x'"),
    ("# made by me\ndataset,loss,dice\nw,iou,0.5\n", r"names of the columns stand in line 2"),
    (",,dice,dice\n,,mean,std\ndataset,loss,,\nw,iou,0.5,0.1\n", r"stand in line 3"),
    ("dataset,loss,dice\nw,iou,0.5\ndataset,loss,dice\n", r"line 3: 'dice' .*second header line"),
    ("dataset,loss,repeat,dice\nw,iou,0.5,0.5\n", r"'0\.5' is not a whole number"),
    ("dataset,loss,dice\nw,0.12,0.5\n", r"column 'loss', line 2: 0\.12 is a number.*val_loss"),
    ("dataset,loss,dice\nw,iou,0.5\nAverage,iou,0.5\n", r"line 3: 'Average' looks like a summary"),
    ("dataset,loss,dice\nw,iou,0.5\nMean ± Std,iou,0.5\n", r"line 3: 'Mean ± Std' looks like"),
    ("model,loss,dice\nall models,iou,0.5\n", r"column 'model', line 2: 'all models' looks like"),
    ("dataset,loss,dice\nw,iou,0.5\nw,Total,0.5\n", r"column 'loss', line 3: 'Total' looks like"),
    ("dataset,loss,dice\nw,iou,0.5\nMean (n=6),iou,0.5\n", r"'Mean \(n=6\)' looks like a summary"),
    ("dataset,loss,dice\nw,iou,0.5\n±,iou,0.5\n", r"'±' looks like a summary"),
    ("dataset,loss,dice\n1,iou,0.5\n1.0,bce,0.5\n", r"'1' .* and '1\.0' .* differ only"),
    ("dataset,loss,dice\nw,iou,0.5\nW,iou,0.5\n", r"'w' \(line 2\) and 'W' \(line 3\) differ only"),
    ("dataset,loss,dice\nw,io u,0.5\nw,io  u,0.5\n", r"'io u' .* and 'io  u' .* differ only"),
    ("dataset,loss,dice\nw,é,0.5\nw,e\u0301,0.5\n", r"'\\xe9' .* and 'e\\u0301' .* differ only"),
    ("dataset,loss,dice\nw,iou,0.80\nw,bce,80\n", r"line 3: 80 is beyond 1 \(1 row in all\), and "
     r"column 'dice', line 2: 0\.8 is not"),
    ("dataset,loss,dice\nw,iou,0.80\nw,bce,1.1\n", r"line 3: 1\.1 is beyond 1"),
    ("dataset,loss,dice\nw,iou,8013\nw,bce,8210\n", r"line 2: 8013 is above 100"),
    ("dataset,loss,dice\nw,iou,-0.80\nw,bce,-0.82\n", r"line 2: -0\.8 is below 0"),
    ("dataset,loss,dice,status\nw,iou,0.5,done\nw,bce,0.5,odd\nw,a,0.5,\n", r"column 'status': "
     r"unknown words: odd in 1 row, nothing in 1 row"),
    ("dataset,loss,dice,status\nw,iou,0.5,RUNNING\nw,bce,,Failed\n",
     r"no row finished: RUNNING in 1 row, Failed in 1 row"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refused_tables(write, text, message):
    path = write(text)
    with pytest.raises(UserError, match=message) as error:
        read_table(path)
    assert str(path) in str(error.value)


def test_unfinished_rows_are_removed_and_noted(write):
    text = "dataset,loss,dice,Status\nw,iou,0.5,FINISHED\nw,bce,0.9,RUNNING\nw,a,,Diverged\n"
    text += "w,b,0.9,TrialState.PRUNED\nw,c,,FAILED\nw,iou,x,killed\nw,d,0.4,completed\n"
    table = read_table(write(text))
    assert table.rows["loss"].tolist() == ["iou", "a", "d"]
    assert table.rows["status"].tolist() == ["completed", "diverged", "completed"]
    assert table.rows["dice"].tolist() == [0.5, 0, 0.4]
    assert (
        "4 rows are left out because their trials did not finish: RUNNING in 1 row, "
        "TrialState.PRUNED in 1 row, FAILED in 1 row, killed in 1 row. A trial that diverged "
        "counts as the worst if its status is 'diverged'."
    ) in rank(scored(table)).notes
    with pytest.raises(UserError, match="line 5: 'x' is not"):  # as the file counts its lines
        read_table(write(text.replace("w,b,0.9,TrialState.PRUNED", "w,b,x,done")))
    states = "dataset,loss,dice,state\nw,iou,0.5,Ohio\n"
    assert len(read_table(write(states)).rows) == 1


def test_ranges_of_percentages_and_of_other_metrics(write):
    head = "dataset,loss,{}\nw,iou,{}\nw,bce,{}\n"
    assert read_table(write(head.format("dice", 80, 0))).rows["dice"].tolist() == [80, 0]
    assert read_table(write(head.format("dice", "1.0000001", 0.5))).rows["dice"].max() > 1
    for metric, one, other in (("mcc", -0.5, 0.5), ("hd95", 80, 0.5), ("val_loss", -3, 0.5)):
        assert len(read_table(write(head.format(metric, one, other)), metric=metric).rows) == 2
    for metric, value in (("mcc", -1.5), ("hd95", -0.1), ("accuracy_val", 1.5), ("ece", 101)):
        with pytest.raises(UserError, match=rf"column '{metric}', line 2: {value} is"):
            read_table(write(head.format(metric, value, 0.5)), metric=metric)
    with pytest.raises(UserError, match="--metric loss: this column names the loss"):
        read_table(write("dataset,loss,dice\nw,0.5,0.5\n"), metric="loss")


def test_the_levels_of_an_index_are_columns(tmp_path):
    table = pd.DataFrame({"dataset": ["w", "w"], "loss": ["iou", "bce"], "dice": [0.5, 0.6]})
    path = tmp_path / "t.parquet"
    table.set_index(["dataset", "loss"]).to_parquet(path)
    assert read_table(path).rows["loss"].tolist() == ["iou", "bce"]
    other = table.set_index(pd.Index(["iou", "dice"], name="loss"))
    with pytest.raises(UserError, match="'loss' is a column and a level of the index"):
        rank(scored(other))


@pytest.mark.parametrize("values", [[True, False], pd.to_datetime(["2020-01-01", "2020-01-02"])])
def test_truth_values_and_dates_are_refused(values):
    with pytest.raises(UserError, match=r"column 'dice', row 1: .* is not a finite number"):
        rank(scored(pd.DataFrame({"dataset": "w", "loss": ["iou", "bce"], "dice": values})))


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
    (tmp_path / "wide.csv").write_bytes("dataset,loss,dice\nw,iou,0.5\n".encode("utf-16-le"))
    with pytest.raises(UserError, match=r"as UTF-16 does; save it as CSV in UTF-8"):
        read_table(tmp_path / "wide.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UserError, match=r"is no regular file"):
        read_table(tmp_path / "pipe.csv")


def test_a_doubled_column_is_refused():
    table = pd.DataFrame([["w", "iou", 0.5, 0.6]], columns=["dataset", "loss", "dice", "dice"])
    with pytest.raises(UserError, match="column 'dice' appears twice"):
        rank(scored(table))


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


def test_two_protocols_are_refused():
    message = r"store: trials of 2 .*aa11 \(2 trials\), bb22 \(1 trial\); .*--protocol ID"
    with pytest.raises(UserError, match=message):
        check_trials(trials("aa11", "bb22", "aa11"), source="store")
    assert len(check_trials(trials("aa11", "bb22", "aa11"), protocol="aa").rows) == 2
    assert len(check_trials(trials("aa11")).rows) == 1


@pytest.mark.parametrize(
    ("protocol", "message"),
    [("cc", r"is no protocol here; known: aa11"), ("aa", r"fits several protocols")],
)
def test_unknown_or_ambiguous_protocol_is_refused(protocol, message):
    with pytest.raises(UserError, match=message):
        check_trials(trials("aa11", "aa22"), protocol=protocol)
    with pytest.raises(UserError, match="no column 'protocol_id'"):
        check_trials(trials("aa11").drop(columns="protocol_id"), protocol="aa")


def with_gammas(*gammas: float) -> pd.DataFrame:
    table = trials(*["aa11"] * len(gammas))
    table["spec"] = [
        json.dumps({"loss": {"name": "focal", "parameters": {"gamma": gamma}, "label": "iou"}})
        for gamma in gammas
    ]
    return table


def test_a_label_with_two_definitions_is_refused():
    message = r"loss 'iou' has 2 different definitions: .*\"gamma\": 0.2.*own alias"
    with pytest.raises(UserError, match=message):
        check_trials(with_gammas(2, 2, 0.2))
    assert len(check_trials(with_gammas(2, 2.0)).rows) == 2  # equal numbers, one definition


def test_definitions_in_stored_specifications_are_compared():
    """Stored specifications name the repeat between other keys."""
    rows = []
    for number, width in ((0, 4), (1, 8)):
        spec = make_spec(number).to_json()
        spec["model"]["parameters"]["width"] = width  # type: ignore[index, call-overload]
        rows.append(json.dumps(spec, sort_keys=True))
    table = trials("aa11", "aa11").assign(model="unet", loss="dice", dataset="set-0", spec=rows)
    with pytest.raises(UserError, match="model 'unet' has 2 different definitions"):
        check_trials(table)


def test_a_foreign_spec_column_is_left_alone():
    assert len(check_trials(trials("aa11").assign(spec="M4 x 20")).rows) == 1
