"""One round: a sweep on a real cluster, one kill at a chosen instant, and checks of the results."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import psutil

from orchestrator.store import Store
from tests.chaos.clusters import Cluster, kill_family, kill_node_of
from tests.conftest import ROOT
from tests.integration.sweeps import tables, write_config

CHANGES: dict[str, object] = {
    "losses": ["dice", "bce", "focal"],
    "training": {"max_epochs": 6, "patience": 6, "batch_size": 4},
}
NUM_TRIALS = 6
RUN_SECONDS = 150
"""Longer than any run; a driver that runs longer hangs."""

INSTANTS: dict[str, tuple[str, ...]] = {
    "training": (),  # at random
    "checkpoint": (r"write results/_checkpoints/", r"rename results/_checkpoints/"),
    "commit": (
        r"write results/epochs/",
        r"rename results/epochs/",
        r"write results/images/",
        r"rename results/predictions/",
        r"write results/trials/",
        r"rename results/trials/",
        r"remove results/_checkpoints/",
    ),
    "cache": (r"write cache/arrays/", r"rename cache/arrays/"),
    "compaction": (
        r"write results/trials/\.compact",
        r"rename results/trials/compact",
        r"remove results/trials/part",
        r"rename results/epochs/compact",
        r"remove results/images/part",
    ),
}
"""Patterns of the operations before which a process is killed (see the hook), by name."""

TARGETS = ("worker", "node", "driver", "head")


def kinds() -> list[tuple[str, str]]:
    """Returns every target with every instant; only the driver compacts."""
    return [
        (target, instant)
        for instant in INSTANTS
        for target in TARGETS
        if instant != "compaction" or target in ("driver", "head")
    ]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one round.

    Attributes:
        at: The operation before which the process was killed, or the time.
        lost: Trials without a row after the second run.
        duplicated: Surplus rows for a plain reader.
        retrained: Trials trained after they were committed.
        problems: All other errors.
    """

    target: str
    instant: str
    seed: int
    at: str
    seconds: float
    lost: int
    duplicated: int
    retrained: int
    problems: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether no trial was lost and no trial was repeated."""
        return not (self.lost or self.duplicated or self.retrained or self.problems)


def environment(folder: Path) -> dict[str, str]:
    """Returns the variables for every process of a cluster and its drivers."""
    hook = ROOT / "tests" / "chaos" / "hook"
    return {
        **os.environ,
        "PYTHONPATH": f"{hook}:{ROOT}",
        "CHAOS_FOLDER": str(folder),
        "OMP_NUM_THREADS": "1",
        # Ray needs about 15 s to notice a lost node and 60 s to give up a head; here less.
        "RAY_health_check_initial_delay_ms": "1000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_failure_threshold": "5",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": hashlib.sha256(str(folder).encode()).hexdigest(),
    }


class Round:
    """One kill and the next run, in a separate folder below the folder of the cluster."""

    def __init__(self, cluster: Cluster, folder: Path, target: str, instant: str, seed: int):
        self.cluster, self.target, self.instant, self.seed = cluster, target, instant, seed
        self.shared = folder
        self.folder = folder / f"{target}-{instant}-{seed}"
        self.folder.mkdir()
        self.results = self.folder / "results"
        self.config = write_config(self.folder, cluster={"address": cluster.address}, **CHANGES)
        self.random = random.Random(f"{target} {instant} {seed}")
        self.problems: list[str] = []
        self.committed: dict[str, tuple[float, object]] = {}

    def play(self, undisturbed: Path) -> Result:
        """Plays the round and checks the results."""
        began = time.monotonic()
        try:
            at = self.disturb()
        except (RuntimeError, LookupError, psutil.Error) as error:
            at = "not killed"
            self.problems.append(f"{error}: {self.log()[-1000:]}")
        self.cluster.mend()
        code = self.finish(self.start())
        if code != 0:
            self.problems.append(f"the second run ended with code {code}: {self.log()[-500:]}")
        self.note_committed()
        self.check(undisturbed)
        rows = pd.read_parquet(self.results / "trials")["trial_id"]
        return Result(
            target=self.target, instant=self.instant, seed=self.seed, at=at,
            seconds=time.monotonic() - began,
            lost=NUM_TRIALS - rows.nunique(), duplicated=len(rows) - rows.nunique(),
            retrained=len(self.retrained()), problems=tuple(self.problems),
        )  # fmt: skip

    def start(self) -> subprocess.Popen[bytes]:
        """Starts the command as a user does."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "orchestrator", "run", str(self.config),
                 "--progress", "json"],
                cwd=ROOT, env=environment(self.shared), start_new_session=True,
                stdout=log, stderr=log,
            )  # fmt: skip

    def disturb(self) -> str:
        """Runs the sweep until the instant, kills, and returns the operation that was next."""
        patterns, reached = INSTANTS[self.instant], self.shared / "reached"
        reached.unlink(missing_ok=True)
        if patterns:
            verb, _, path = self.random.choice(patterns).partition(" ")
            pattern = f"^{verb} {self.folder.name}/{path}"
            (self.shared / "instant").write_text(pattern, encoding="utf-8")
        driver = self.start()
        at = self.wait_for_instant(driver, reached) if patterns else self.wait_at_random(driver)
        process_id, _, what = at.partition(" ")
        self.note_committed()
        self.kill(driver, int(process_id))
        (self.shared / "instant").unlink(missing_ok=True)
        self.finish(driver)
        if self.target in ("driver", "head"):
            self.wait_for_orphans()
        self.note_committed()
        return what

    def wait_for_instant(self, driver: subprocess.Popen[bytes], reached: Path) -> str:
        """Returns the process that waits to be killed and its next operation."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            if reached.exists() and (text := reached.read_text(encoding="utf-8")):
                return text
            if driver.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError("the instant never came")

    def wait_at_random(self, driver: subprocess.Popen[bytes]) -> str:
        """Waits for the first checkpoint and a random time after it."""
        deadline = time.monotonic() + RUN_SECONDS
        while not self.events(" rename ", "results/_checkpoints/"):
            if driver.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("no checkpoint was ever written")
            time.sleep(0.05)
        seconds = self.random.uniform(0, 0.8)
        time.sleep(seconds)
        (*_, last) = self.events(" rename ", "results/_checkpoints/")
        return f"{last.split()[1]} {seconds:.3f} s after the first checkpoint"

    def kill(self, driver: subprocess.Popen[bytes], process_id: int) -> None:
        """Kills the target with SIGKILL; workers and nodes by the process that waits."""
        if self.target == "driver":
            driver.kill()
        elif self.target == "head":
            kill_family(self.cluster.roots()[0])
        elif self.target == "node":
            kill_node_of(self.cluster, process_id)
        else:
            os.kill(process_id, signal.SIGKILL)

    def finish(self, driver: subprocess.Popen[bytes]) -> int:
        """Waits for a driver's end; one that hangs is a problem."""
        try:
            return driver.wait(timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            self.problems.append(f"the driver hung for {RUN_SECONDS} s: {self.log()[-500:]}")
            driver.kill()
            return driver.wait()

    def wait_for_orphans(self) -> None:
        """Waits until the workers of an ended driver have ended too."""
        orphans = [psutil.Process(pid) for pid in self.workers() if psutil.pid_exists(pid)]
        for orphan in psutil.wait_procs(orphans, timeout=60)[1]:
            self.problems.append(f"process {orphan.pid} outlives its driver")

    def note_committed(self) -> None:
        """Records the committed parts and the time, and checks that no part has changed."""
        now = time.time()
        rows = Store(self.results).committed()
        for trial_id, (_, row) in self.committed.items():
            if rows.get(trial_id) != row:
                self.problems.append(f"{trial_id} was {row} and is {rows.get(trial_id)}")
        for trial_id, row in rows.items():
            self.committed.setdefault(trial_id, (now, row))

    def check(self, undisturbed: Path) -> None:
        """Compares numbers, reads with plain readers, and searches for surplus files."""
        found = tables(self.results)
        for name, frame in tables(undisturbed).items():
            try:
                # The kills change the number of attempts.
                pd.testing.assert_frame_equal(
                    found[name].drop(columns="attempt", errors="ignore"),
                    frame.drop(columns="attempt", errors="ignore"),
                    check_exact=True,
                )
            except AssertionError as error:
                self.problems.append(f"{name} differs: {error}")
            if not list((self.results / name).glob("*.parquet")):
                self.problems.append(f"{name}: there are no files; {self.log()[-1000:]}")
                continue
            query = f"SELECT count(*) FROM read_parquet('{self.results}/{name}/*.parquet')"
            if duckdb.execute(query).fetchall() != [(len(frame),)]:
                self.problems.append(f"{name}: DuckDB sees other rows")
            if len(pd.read_parquet(self.results / name)) != len(frame):
                self.problems.append(f"{name}: pandas sees other rows")
        self.problems += [f"left behind: {path}" for path in self.leftovers()]

    def leftovers(self) -> Collection[Path]:
        """Returns files that a reader could treat as data, or that clean-up never removes."""
        Store(self.results).clean_up(datetime.now(UTC) + timedelta(hours=2))
        files = [path for path in self.results.rglob("*") if path.is_file()]
        inside = ("trials", "epochs", "images", "predictions", "failures")
        wrong = [
            path
            for path in files
            if path.suffix == ".tmp"
            or path.parent.name in ("_claims", "_checkpoints", "_runs")
            or (path.parent.name in inside and path.suffix != ".parquet")
        ]
        return [*wrong, *(self.folder / "cache").rglob(".*.tmp")]

    def retrained(self) -> set[str]:
        """Returns trials of which a checkpoint was written after they were known as committed."""
        again = set()
        for event in self.events(" rename ", "results/_checkpoints/"):
            moment, _, _, path = event.split(maxsplit=3)
            trial_id = Path(path).stem
            if trial_id in self.committed and float(moment) > self.committed[trial_id][0]:
                again.add(trial_id)
        return again

    def workers(self) -> set[int]:
        """Returns the processes with a recorded operation in this round."""
        return {int(event.split()[1]) for event in self.events("", "")}

    def events(self, verb: str, path: str) -> list[str]:
        """Returns this round's records of an operation."""
        text = (self.shared / "events").read_text(encoding="utf-8")
        wanted = f"{self.folder.name}/{path}"
        return [line for line in text.splitlines() if verb in line and wanted in line]

    def log(self) -> str:
        """Returns the output of the drivers."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")
