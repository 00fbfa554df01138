"""Whether every node of a cluster sees what its trials will need.

Nodes that are there at the start are asked before the first trial; one that joins later is asked
by the first trial that lands there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from workers.contract import Component, UserError
from workers.datasets import open_dataset
from workers.weights import require_weights

_GONE = (NodeDiedError, TaskUnschedulableError, WorkerCrashedError)
NUM_LOOKS, PAUSE_SECONDS = 4, 5.0
"""How long a trial waits on a node that lacks something, before it is sent elsewhere: the mounts of
a node that has just joined may come later. A bad node holds up its own slots in this way, and no
others, where it would otherwise fail the whole queue, trial after trial."""
_SHARE = (
    "bring it to those nodes, put it on storage that all nodes share, or name an archive that each "
    "node unpacks (data.root: s3://bucket/data.tar); nothing was started"
)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the trials of a run read and write, wherever they land.

    Attributes:
        roots: Dataset and folder or archive, for data in files.
        weights: Path of given weights by model label.
        models: The models.
        cache_dir: Cache folder of each node.
        location: The store.
        grid_ids: The sweeps that were started there, as the driver sees them.
    """

    roots: tuple[tuple[Component, str], ...]
    weights: Mapping[str, str]
    models: tuple[Component, ...]
    cache_dir: str
    location: str
    grid_ids: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one node sees.

    Attributes:
        fingerprints: Of each dataset that could be read, by label.
        problems: What is missing, with names of files.
    """

    fingerprints: Mapping[str, str]
    problems: tuple[str, ...]


def _pause() -> None:
    threading.Event().wait(PAUSE_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Admission:
    """Which nodes trials may run on, and what a node has to show that joins later.

    Attributes:
        node_ids: Those that were there at the start, and in each process its own once it has shown
            everything.
        needs: What the trials need.
        fingerprints: Of each dataset as the driver sees it, by label.
    """

    node_ids: set[str]
    needs: Needs
    fingerprints: Mapping[str, str]

    def problem(self, node_id: str, pause: Callable[[], None] = _pause) -> str | None:
        """Looks around on a node that joined later, where it is called.

        Returns:
            What the node still lacks after some patience; None where it may train.
        """
        if node_id in self.node_ids:
            return None
        driver = Finding(fingerprints=self.fingerprints, problems=())
        problems: list[str] = []
        for number in range(NUM_LOOKS):
            if number:
                pause()
            found = examine(self.needs)
            problems = [*found.problems, *_other_content(driver, found)]
            if not problems:
                self.node_ids.add(node_id)
                return None
        return "; ".join(problems)


def admission(jobs: Sequence[TrialJob], store: Store) -> Admission:
    """Admits the nodes that are there now, and says what others have to show."""
    known = {job.spec.dataset.label: job.runtime.dataset_fingerprint for job in jobs}
    return Admission(
        node_ids={node["NodeID"] for node in ray.nodes() if node["Alive"]},
        needs=needs_of(jobs, store),
        fingerprints={label: found for label, found in known.items() if found},
    )


def check_nodes(needs: Needs, *, trial_cpus: float, trial_gpus: float) -> None:
    """Looks, on every other node that could hold a trial, for data, weights and results.

    One task a node, which takes no resources, so that a busy cluster is checked too. What it
    hashes, unpacks or fetches is what the first trial there would have to.

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
        return  # Where this process is, the preflight has looked already.
    look = ray.remote(num_cpus=0, max_retries=0)(examine)
    answers = {
        name: look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)
        ).remote(needs)
        for node_id, name in nodes.items()
    }
    findings = {name: _answer(answer) for name, answer in answers.items()}
    refuse_unlike(examine(needs), {name: found for name, found in findings.items() if found})


def _has_room(node: Mapping[str, Any], trial_cpus: float, trial_gpus: float) -> bool:
    slots = num_slots(
        cpus=int(node["Resources"].get("CPU", 0)),
        gpus=int(node["Resources"].get("GPU", 0)),
        cpus_per_trial=trial_cpus,
        gpus_per_trial=trial_gpus,
    )
    return bool(node["Alive"]) and slots > 0


def _answer(answer: Any) -> Finding | None:
    """Returns what a node found; None where the node is gone, which is no fault of its data."""
    try:
        finding: Finding = ray.get(answer)
    except _GONE:
        return None
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]
        problem = f"podium cannot be run there ({reason}); install this version of it"
        return Finding(fingerprints={}, problems=(problem,))
    return finding


def needs_of(jobs: Iterable[TrialJob], store: Store) -> Needs:
    """Returns what these jobs need."""
    jobs = tuple(jobs)
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
        cache_dir=jobs[0].runtime.cache_dir,
        location=store.location,
        grid_ids=frozenset(document["grid_id"] for document in store.grids()),
    )


def examine(needs: Needs) -> Finding:
    """Looks, where it is called, for everything that is needed."""
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
        require_weights(needs.models, dict(needs.weights), cache)
    except UserError as error:
        problems.append(str(error))
    try:
        store = Store(needs.location)
        if needs.grid_ids - {document["grid_id"] for document in store.grids()}:
            problems.append(
                f"results: what the driver wrote to {store.name} is not seen there; set results "
                "to a folder that all nodes share, or to s3://bucket/prefix"
            )
    except UserError as error:
        problems.append(f"results: {error}")
    return Finding(fingerprints=fingerprints, problems=tuple(problems))


def refuse_unlike(driver: Finding, nodes: Mapping[str, Finding]) -> None:
    """Compares what the nodes found with what the driver did.

    Raises:
        UserError: A node has problems, or another content of a dataset.
    """
    lines = [
        f"  node {name}: {problem}"
        for name, finding in nodes.items()
        for problem in (*finding.problems, *_other_content(driver, finding))
    ]
    if lines:
        count = sum(bool(f.problems or _other_content(driver, f)) for f in nodes.values())
        msg = "\n".join(
            [f"{count} of {len(nodes)} other nodes cannot run these trials:", *lines, _SHARE]
        )
        raise UserError(msg)


def _other_content(driver: Finding, node: Finding) -> list[str]:
    return [
        f"dataset {label}: its content differs from the driver's (fingerprint "
        f"{fingerprint[:12]}, here {driver.fingerprints[label][:12]})"
        for label, fingerprint in node.fingerprints.items()
        if driver.fingerprints.get(label, fingerprint) != fingerprint
    ]
