"""Tables for papers: every number, every mark, and names that would break them."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.ranking.rank import rank
from orchestrator.ranking.table import read_table
from orchestrator.ranking.text_tables import (
    block_table,
    escape_latex,
    escape_markdown,
    to_csv,
    to_latex,
    to_markdown,
)
from tests.unit.orchestrator.ranking.frames import scored

PAPER = Path(__file__).parents[3] / "data" / "paper"


def label_of(_, label):
    return label


def table_of(frame: pd.DataFrame, axis: str = "dataset"):
    podium = rank(scored(frame), ties="order").podium(axis)
    assert podium is not None
    return block_table(podium, "dice")


def small() -> pd.DataFrame:
    rows = [("w_1", "a&b", 0.9), ("w_1", "c", 0.8), ("w_1", "d", 0.7), ("w_1", "e", 0.6)]
    return pd.DataFrame([*rows, ("v", "c", 0.12345)], columns=["dataset", "loss", "dice"])


def test_markdown_whole():
    assert to_markdown(table_of(small()), title=label_of) == (
        "| dataset | c | a&b | d | e |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| v | **0.1235** | – | – | – |\n"  # noqa: RUF001
        "| w\\_1 | <u>0.8000</u> | **0.9000** | *0.7000* | 0.6000 |\n"
        "| points | 5 | 3 | 1 | 0 |\n"
    ).replace("a&b", "a\\&b")


def test_latex_whole():
    assert to_latex(table_of(small()), title=label_of) == (
        "\\begin{table}\n"
        "\\centering\\small\n"
        "\\caption{Mean dice by dataset (best bold, second underlined, third italic) and podium "
        "points. Provisional: 3 trials are missing.}\n"
        "\\label{tab:podium-dataset-dice}\n"
        "\\begin{tabular}{lrrrr}\n"
        "\\toprule\n"
        "dataset & c & a\\&b & d & e \\\\\n"
        "\\midrule\n"
        "v & \\textbf{0.1235} & -- & -- & -- \\\\\n"
        "w\\_1 & \\underline{0.8000} & \\textbf{0.9000} & \\textit{0.7000} & 0.6000 \\\\\n"
        "\\midrule\n"
        "points & 5 & 3 & 1 & 0 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\end{table}\n"
    )


@pytest.mark.parametrize("axis", ["dataset", "model"])
def test_every_published_number_and_mark(axis):
    frame = read_table(PAPER / f"fig2_dice_by_{axis}.csv").rows
    table = table_of(frame, axis)
    text = to_markdown(table, title=label_of)
    lines = [[c.strip() for c in line.strip("| ").split("|")] for line in text.splitlines()]
    losses = lines[0][1:]
    for cells in lines[2:-1]:
        row = frame[frame[axis] == cells[0]].set_index("loss")["dice"]
        for loss, cell in zip(losses, cells[1:], strict=True):
            assert re.sub(r"[*]|</?u>", "", cell) == f"{row[loss]:.4f}"
        assert sum(cell.startswith("**") for cell in cells) == 1
        assert sum(cell.startswith("<u>") for cell in cells) == 1
        assert sum(bool(re.fullmatch(r"\*\d\.\d{4}\*", cell)) for cell in cells) == 1
    published = pd.read_csv(PAPER / f"fig2_score_by_{axis}.csv").set_index("loss")["score"]
    assert dict(zip(losses, map(int, lines[-1][1:]), strict=True)) == published.to_dict()


def test_csv_keeps_every_digit_and_quotes_names():
    frame = small().replace({"loss": {"d": 'd,"d"'}})
    rows = list(csv.DictReader(io.StringIO(to_csv([table_of(frame)]))))
    found = {(row["block"], row["loss"]): row for row in rows}
    assert found["v", "c"]["mean"] == "0.12345"
    assert found["v", "a&b"]["mean"] == ""
    assert found["w_1", 'd,"d"']["place"] == "3"
    assert found["", "c"]["points"] == "5"


def test_titles_replace_labels():
    text = to_latex(table_of(small()), title=lambda axis, label: f"{axis}:{label}")
    assert "dataset:w\\_1 & " in text
    assert "& loss:a\\&b &" in text


def test_special_signs_are_escaped():
    assert escape_latex("a_b & 50% {x}\n\\end{table} #1 ~^<>|$") == (
        r"a\_b \& 50\% \{x\} \textbackslash{}end\{table\} \#1 "
        r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}\$"
    )
    assert escape_markdown("a|b\n<script> *x*") == r"a\|b \<script\> \*x\*"


def test_diverged_losses_have_no_mark():
    frame = small().assign(status="completed")
    frame.loc[frame["loss"] == "d", "status"] = "diverged"
    text = to_markdown(table_of(frame), title=label_of)
    assert "| <u>0.8000</u> | **0.9000** | *0.6000* | 0.0000 |" in text
