"""The time of a query over a million rows, compared with pandas on the same columns.

    python tests/benchmarks/query.py --rows 1000000 --json query.json

Two stores are made, both compacted: one of a million trials, one of the study's 3,600 trials with a
million epochs. Each query runs five times; the best and the worst wall time are shown.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa

from orchestrator.store import TABLES, Store
from orchestrator.store.codec import encode_rows
from orchestrator.store.files import compacted_path
from orchestrator.store.rows import trial_row
from tests.benchmarks.machine import parse
from tests.unit.orchestrator.store.trials import make_result, make_spec

AXES = {"dataset": 6, "model": 12, "loss": 10}
NUM_TRIALS, NUM_RUNS = 3_600, 5
LABELS = ["dataset", "model", "loss", "repeat"]
CURVE = ["loss", "epoch"]
MEANS = "SELECT dataset, model, loss, avg(dice) AS mean FROM trials GROUP BY ALL ORDER BY ALL"
CURVES = "SELECT loss, epoch, avg(val_dice) AS mean FROM epochs GROUP BY ALL ORDER BY ALL"
JOINED = (
    "SELECT t.loss, max(e.val_dice) AS best FROM epochs e JOIN trials t USING (trial_id) "
    "WHERE t.status = 'completed' GROUP BY ALL ORDER BY ALL"
)


def write(root: Path, name: str, columns: dict[str, Any], num_rows: int) -> None:
    """Writes a table as a compaction does; columns that are not given repeat one value."""
    fields = TABLES[name].arrow_schema
    plain = trial_row(make_spec(0), make_result(0), attempt=1, committed_at=datetime.now(UTC))
    arrays = [
        pa.array(columns[field.name]).cast(field.type)
        if field.name in columns
        else pa.array([plain[field.name]], field.type).take(pa.array(np.zeros(num_rows, int)))
        for field in fields
    ]
    data = encode_rows(pa.table(arrays, schema=fields))
    path = root / compacted_path(TABLES[name], data)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


def trials(num_rows: int) -> dict[str, Any]:
    """Returns labels, ids and Dice of `num_rows` trials, in the store's order."""
    number = np.arange(num_rows)
    repeats = -(-num_rows // int(np.prod(list(AXES.values()))))
    columns: dict[str, Any] = {"repeat": number % repeats}
    rest = number // repeats
    for axis in ("loss", "model", "dataset"):
        names = np.array([f"{axis}-{index:02d}" for index in range(AXES[axis])])
        columns[axis] = names[rest % AXES[axis]]
        rest //= AXES[axis]
    columns["trial_id"] = [f"{index * 2654435761 % 2**64:020x}" for index in range(num_rows)]
    columns["dice"] = np.random.default_rng(0).random(num_rows)
    return columns


def make_stores(root: Path, num_rows: int) -> tuple[Path, Path]:
    """Makes a store with many trials and a store with many epochs."""
    many_trials, many_epochs = root / "trials", root / "epochs"
    write(many_trials, "trials", trials(num_rows), num_rows)
    study = trials(NUM_TRIALS)
    write(many_epochs, "trials", study, NUM_TRIALS)
    per_trial = -(-num_rows // NUM_TRIALS)
    epochs = {name: np.repeat(study[name], per_trial) for name in [*LABELS, "trial_id"]}
    total = NUM_TRIALS * per_trial
    epochs["epoch"] = np.tile(np.arange(1, per_trial + 1), NUM_TRIALS)
    for name in ("train_loss", "val_dice", "val_iou", "seconds"):
        epochs[name] = np.random.default_rng(1).random(total)
    write(many_epochs, "epochs", epochs, total)
    return many_trials, many_epochs


def by_pandas(root: Path, table: str, keys: list[str], value: str) -> pd.DataFrame:
    """Returns the same means, computed with pandas."""
    frame = pd.read_parquet(root / table, columns=[*keys, value])
    return frame.groupby(keys)[value].mean().reset_index()


def joined_by_pandas(root: Path) -> pd.DataFrame:
    """Returns the same best values, computed with pandas."""
    epochs = pd.read_parquet(root / "epochs", columns=["trial_id", "val_dice"])
    finished = pd.read_parquet(root / "trials", columns=["trial_id", "loss", "status"])
    both = epochs.merge(finished[finished["status"] == "completed"], on="trial_id")
    return both.groupby("loss")["val_dice"].max().reset_index()


def timed(work: Callable[[], pd.DataFrame]) -> tuple[list[float], pd.DataFrame]:
    """Returns sorted wall times in seconds, and the last result."""
    seconds = []
    for _ in range(NUM_RUNS):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds), result


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parse(parser, smallest={"rows": 4_000})
    with tempfile.TemporaryDirectory() as folder:
        one, two = make_stores(Path(folder), options.rows)
        cases: list[tuple[str, Path, str, Callable[[], pd.DataFrame]]] = [
            ("means", one, MEANS, lambda: by_pandas(one, "trials", LABELS[:3], "dice")),
            (
                "curves",
                two,
                CURVES,
                lambda: by_pandas(two, "epochs", ["loss", "epoch"], "val_dice"),
            ),
            ("join", two, JOINED, lambda: joined_by_pandas(two)),
        ]
        rows = []
        for name, root, sql, baseline in cases:
            ours, found = timed(lambda root=root, sql=sql: Store(root).query(sql).to_pandas())  # type: ignore[misc]
            theirs, expected = timed(baseline)
            np.testing.assert_allclose(found.iloc[:, -1], expected.iloc[:, -1])
            rows.append(
                {"query": name, "rows": options.rows, "seconds": ours[0], "worst_seconds": ours[-1],
                 "pandas_seconds": theirs[0], "pandas_worst_seconds": theirs[-1]}
            )  # fmt: skip
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    peak = psutil.Process().memory_info().rss / 2**20
    print(f"resident at the end: {peak:,.0f} MiB")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
