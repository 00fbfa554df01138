"""Checks that every node of a cluster sees what its trials need.

Nodes of the start are checked before the first trial. A node that joins later is checked by the
first attempt that starts on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import NodeDiedError, RayError, TaskUnschedulableError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.engine.base import TrialJob
from orchestrator.plan.archives import unpacked_root
from orchestrator.plan.cost import num_slots
from orchestrator.store import Store
from workers.catalogue.datasets import DATASETS
from workers.contract import CodeFile, Component, UserError
from workers.datasets import open_dataset
from workers.outside import add_files
from workers.weights import require_weights

_GONE = (NodeDiedError, TaskUnschedulableError, WorkerCrashedError)
NUM_CHECKS, PAUSE_SECONDS = 4, 5.0
"""How often an attempt checks a node that lacks something before the trial goes to another node:
the mounts of a node that has just joined may come later. Without the pauses, a bad node would fail
the whole queue, trial after trial; with them it only blocks its own slots."""
_SHARE = (
    "bring it to those nodes, put it on storage that all nodes share, or name an archive that each "
    "node unpacks (data.root: s3://bucket/data.tar); nothing was started"
)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the trials of a run read and write on every node.

    Attributes:
        roots: Dataset and folder or archive, for data in files.
        weights: Path of given weights by model label.
        models: The models.
        code: The user's files that define models or losses.
        cache_dir: Cache folder of each node.
        location: The store.
        documents: Ids of the grids in the store, and of this run, that the driver sees.
    """

    roots: tuple[tuple[Component, str], ...]
    weights: Mapping[str, str]
    models: tuple[Component, ...]
    code: tuple[CodeFile, ...]
    cache_dir: str
    location: str
    documents: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """Result of the check of one node.

    Attributes:
        fingerprints: Fingerprint of each dataset that could be read, by label.
        problems: What is missing, with names of files.
    """

    fingerprints: Mapping[str, str]
    problems: tuple[str, ...]


def _pause() -> None:
    threading.Event().wait(PAUSE_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Admission:
    """Nodes on which trials may run, and what a node that joins later must have.

    Attributes:
        node_ids: The nodes of the start; in each process also its node once that passed the check.
        needs: What the trials need.
        fingerprints: Fingerprint of each dataset as the driver sees it, by label.
    """

    node_ids: set[str]
    needs: Needs
    fingerprints: Mapping[str, str]

    def problem(self, node_id: str, pause: Callable[[], None] = _pause) -> str | None:
        """Checks the node of this process if it joined later.

        Returns:
            What the node still lacks after the last check; None if it may train.
        """
        if node_id in self.node_ids:
            return None
        driver = NodeReport(fingerprints=self.fingerprints, problems=())
        problems: list[str] = []
        for number in range(NUM_CHECKS):
            if number:
                pause()
            found = examine(self.needs)
            problems = [*found.problems, *_other_content(driver, found)]
            if not problems:
                self.node_ids.add(node_id)
                return None
        return "; ".join(problems)


def admission(jobs: Sequence[TrialJob], store: Store) -> Admission:
    """Admits the nodes of this moment, and lists what later nodes must have."""
    known = {job.spec.dataset.label: job.runtime.dataset_fingerprint for job in jobs}
    return Admission(
        node_ids={node["NodeID"] for node in ray.nodes() if node["Alive"]},
        needs=needs_of(jobs, store),
        fingerprints={label: found for label, found in known.items() if found},
    )


def check_nodes(needs: Needs, *, trial_cpus: float, trial_gpus: float) -> None:
    """Checks data, weights and results on every other node that could hold a trial.

    Each node runs one task that takes no resources, so a busy cluster is checked too. The task
    hashes, unpacks or fetches only what the first trial on that node would have to.

    Raises:
        UserError: A node lacks something or has other data; every such node is named.
    """
    here = ray.get_runtime_context().get_node_id()
    nodes = {
        node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        for node in ray.nodes()
        if node["NodeID"] != here and _has_room(node, trial_cpus, trial_gpus)
    }
    if not nodes:
        return  # The preflight has checked this machine already.
    check = ray.remote(num_cpus=0, max_retries=0)(examine)
    answers = {
        name: check.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)
        ).remote(needs)
        for node_id, name in nodes.items()
    }
    reports = {name: _answer(answer) for name, answer in answers.items()}
    refuse_unlike(examine(needs), {name: report for name, report in reports.items() if report})


def _has_room(node: Mapping[str, Any], trial_cpus: float, trial_gpus: float) -> bool:
    slots = num_slots(
        cpus=int(node["Resources"].get("CPU", 0)),
        gpus=int(node["Resources"].get("GPU", 0)),
        cpus_per_trial=trial_cpus,
        gpus_per_trial=trial_gpus,
    )
    return bool(node["Alive"]) and slots > 0


def _answer(answer: Any) -> NodeReport | None:
    """Returns the report of a node; None if the node was lost, which is not a fault of its data."""
    try:
        report: NodeReport = ray.get(answer)
    except _GONE:
        return None
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]
        problem = f"podium cannot be run there ({reason}); install this version of it"
        return NodeReport(fingerprints={}, problems=(problem,))
    return report


def needs_of(jobs: Iterable[TrialJob], store: Store) -> Needs:
    """Returns what these jobs need; raises StoreError."""
    jobs = tuple(jobs)
    run_ids = {job.run_id for job in jobs}
    datasets = {
        job.spec.dataset.label: (job.spec.dataset, job.runtime.data_root)
        for job in jobs
        if DATASETS[job.spec.dataset.name].kind == "files"
    }
    weights = {job.spec.model.label: job.runtime.weights for job in jobs}
    return Needs(
        roots=tuple((component, root) for component, root in datasets.values() if root),
        weights={label: path for label, path in weights.items() if path},
        models=tuple({job.spec.model.label: job.spec.model for job in jobs}.values()),
        code=tuple(dict.fromkeys(file for job in jobs for file in job.runtime.code)),
        cache_dir=jobs[0].runtime.cache_dir,
        location=store.location,
        documents=_documents(store, run_ids),
    )


def _documents(store: Store, run_ids: Collection[str | None]) -> frozenset[str]:
    """Returns the ids of all grids and of these runs that this process sees in the store."""
    grids = {document["grid_id"] for document in store.grids()}
    return frozenset(grids | {run.run_id for run in store.runs() if run.run_id in run_ids})


def examine(needs: Needs) -> NodeReport:
    """Checks on this node everything that is needed."""
    cache = Path(needs.cache_dir)
    fingerprints: dict[str, str] = {}
    problems: list[str] = []
    for component, root in needs.roots:
        try:
            dataset = open_dataset(component, unpacked_root(root, cache))
            fingerprints[component.label] = dataset.fingerprint(cache)
        except UserError as error:
            problems.append(str(error))
    try:
        add_files(needs.code)
        require_weights(needs.models, dict(needs.weights), cache)
    except UserError as error:
        problems.append(str(error))
    try:
        store = Store(needs.location)
        if needs.documents - _documents(store, needs.documents):
            problems.append(
                f"results: what the driver wrote to {store.name} is not seen there; set results "
                "to a folder that all nodes share, or to s3://bucket/prefix"
            )
    except UserError as error:
        problems.append(f"results: {error}")
    return NodeReport(fingerprints=fingerprints, problems=tuple(problems))


def refuse_unlike(driver: NodeReport, nodes: Mapping[str, NodeReport]) -> None:
    """Compares the reports of the nodes with the driver's.

    Raises:
        UserError: A node has problems, or another content of a dataset.
    """
    lines = [
        f"  node {name}: {problem}"
        for name, report in nodes.items()
        for problem in (*report.problems, *_other_content(driver, report))
    ]
    if lines:
        count = sum(bool(r.problems or _other_content(driver, r)) for r in nodes.values())
        msg = "\n".join(
            [f"{count} of {len(nodes)} other nodes cannot run these trials:", *lines, _SHARE]
        )
        raise UserError(msg)


def _other_content(driver: NodeReport, node: NodeReport) -> list[str]:
    return [
        f"dataset {label}: its content differs from the driver's (fingerprint "
        f"{fingerprint[:12]}, here {driver.fingerprints[label][:12]})"
        for label, fingerprint in node.fingerprints.items()
        if driver.fingerprints.get(label, fingerprint) != fingerprint
    ]
