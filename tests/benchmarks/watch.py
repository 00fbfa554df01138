"""The cost of `podium watch` on the published grid: 3,600 trials, 720,000 epochs, not compacted.

    .venv/bin/python tests/benchmarks/watch.py [--trials 3600] [--epochs 200]

The baseline in the same run is `Store.read`: the cost of each update of a page that reads the whole
table again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.config import load_config
from orchestrator.plan.grid import build_grid
from orchestrator.store import TABLES, Store, rows
from orchestrator.store.codec import encode_part
from orchestrator.store.files import part_path
from orchestrator.watch import follower as following
from orchestrator.watch.follower import Follower
from tests.benchmarks.machine import parse
from tests.unit.orchestrator.store.trials import NOW, make_result
from workers.contract import EpochRecord
from workers.identity import trial_id

CONFIG = """
name: Published grid
datasets: [synthetic-skin, synthetic-wound, synthetic-endoscopy-wide, synthetic-endoscopy-close,
           synthetic-ultrasound-benign, synthetic-ultrasound-malignant]
models: [{models}]
losses: [iou, dice, bce, focal, iou+dice, iou+bce, iou+focal, dice+bce, dice+focal, bce+focal]
results: {results}
"""


def make_grid(place):
    model = "{{name: unet, alias: net-{0}, parameters: {{width: {0}}}}}"
    models = ", ".join(model.format(width) for width in range(1, 13))
    path = place / "grid.yaml"
    path.write_text(CONFIG.format(models=models, results=place / "res"))
    return build_grid(load_config(path, []))


def fill(place, number, num_epochs):
    """Writes parts as commits do, without fsync."""
    grid = make_grid(place)
    place = place / "res"
    store, trials = Store(place), grid.trials[:number]
    store.save_grid(grid.document(datetime.now(UTC)))
    for name in TABLES:
        (place / name).mkdir(exist_ok=True)
    epochs = tuple(
        EpochRecord(epoch=n, train_loss=1 / n, val_dice=1 - 0.5 / n, val_iou=0.5, seconds=1.0)
        for n in range(1, num_epochs + 1)
    )
    for index, spec in enumerate(trials):
        result = dataclasses.replace(make_result(index % 90), epochs=epochs, num_epochs=num_epochs)
        row = rows.trial_row(spec, result, attempt=1, committed_at=NOW)
        key = trial_id(spec)
        curve = rows.detail_rows(spec, result)["epochs"]
        for name, found in (("trials", [row]), ("epochs", curve)):
            (place / part_path(TABLES[name], key)).write_bytes(encode_part(TABLES[name], found))
    return store, trials


def timed(act):
    began = time.perf_counter()
    act()
    return round(time.perf_counter() - began, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=3600)
    parser.add_argument("--epochs", type=int, default=200)
    options = parse(parser, smallest={"trials": 20, "epochs": 2})
    following.REFRESH_SECONDS = 0.0  # every request reads the store again
    with tempfile.TemporaryDirectory() as folder:
        store, trials = fill(Path(folder), options.trials, options.epochs)
        place = Path(folder) / "res"
        before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
        page = Follower(Store(place), clock=time.monotonic, now=lambda: datetime.now(UTC))
        figures = {
            "first update": timed(page.state),
            "update, no new trial": timed(page.state),
            "one trial's curve": timed(lambda: page.curve(trial_id(trials[7]))),
        }
        (place / part_path(TABLES["trials"], trial_id(trials[-1]))).unlink()
        spec, result = trials[-1], make_result(5)
        fresh = Follower(Store(place), clock=time.monotonic, now=lambda: datetime.now(UTC))
        fresh.state()
        store.commit(spec, result, committed_at=NOW)
        figures["update, one new trial"] = timed(fresh.state)
        figures["baseline: read whole trials"] = timed(lambda: Store(place).read("trials"))
        own = trial_id(spec)
        untouched = all(
            path.stat().st_mtime_ns == stamp
            for path, stamp in before.items()
            if path.is_file() and own not in path.name
        )
    print(
        f"{options.trials} trials, {options.trials * options.epochs} epochs, {platform.machine()}"
    )
    for name, seconds in figures.items():
        print(f"{name:<30}{seconds:>9.3f} s")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'peak memory':<30}{memory:>7.0f} MiB")
    size = len(page.state().text)
    figures |= {"peak_memory_mib": memory, "state_bytes": size, "store_untouched": untouched}
    print(json.dumps(figures))
    sys.exit(not untouched)


if __name__ == "__main__":
    main()
