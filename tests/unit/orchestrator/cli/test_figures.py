"""`podium figures`: what is drawn, where, and what is refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from workers.contract import UserError

PAPER = Path(__file__).parents[3] / "data" / "paper"
TABLE = PAPER / "fig2_dice_by_dataset.csv"


def run(*arguments):
    result = CliRunner().invoke(app, ["figures", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.timeout(60)
def test_table_of_means_gives_the_possible_figures(tmp_path):
    out = tmp_path / "figures"
    text = run(TABLE, "--out", out, "--only", "2b,2c", "--format", "svg", "--ties", "order")
    assert "figure2c: left out: the results know no model" in text
    assert {path.name for path in out.iterdir()} == {
        f"figure2b.{kind}" for kind in ("svg", "csv", "tex", "md")
    }
    assert "IoUFocal,0.8802,2,2,8," in (out / "figure2b.csv").read_text()
    (out / "figure2b.png").write_text("of another run")
    (out / "figure2a.svg").write_text("another figure")
    document = json.loads(
        run(TABLE, "--out", out, "--only", "figure2b", "--format", "svg,png", "--dpi", 60, "--json")
    )
    assert str(out / "figure2b.png") in document["files"]
    assert document["left_out"] == {}
    assert (out / "figure2b.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "figure2a.svg").read_text() == "another figure"


@pytest.mark.timeout(60)
def test_figures_follow_the_direction_of_a_metric(tmp_path):
    table = tmp_path / "distances.csv"
    table.write_text("dataset,loss,hd95\nk,bce,20\nk,dice,12\nk,focal,31\n")
    out = ["--out", tmp_path / "out", "--only", "2a,2b", "--format", "svg"]
    text = run(table, "--metric", "hd95", *out)
    assert "hd95: lower is better, from 0 up." in text
    assert "k,dice,12.0,1,3," in (tmp_path / "out" / "figure2b.csv").read_text()
    bars = (tmp_path / "out" / "figure2a.csv").read_text().splitlines()
    assert [line.split(",")[2] for line in bars[1:]] == ["dice", "bce", "focal"]
    assert "lower is better" in (tmp_path / "out" / "figure2b.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "2d"], r"--only 2d: '2d' is not known; choose from figure1, figure2a"),
        (["--format", "jpg"], r"--format jpg: 'jpg' is not known; choose from png, svg, pdf"),
        (["--protocol", "abc"], r"is a table without protocols"),
        (["--metric", "iou"], r"no column 'iou'"),
    ],
)
def test_impossible_figures_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        run(TABLE, *arguments)


def test_unwritable_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written: .*; choose another --out"):
        run(TABLE, "--out", tmp_path / "file" / "out", "--only", "2b", "--format", "svg")


def test_folder_without_results_is_refused(tmp_path):
    with pytest.raises(UserError, match="no results here"):
        run(tmp_path)
