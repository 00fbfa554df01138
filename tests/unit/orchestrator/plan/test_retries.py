"""Retries after a failure: GPU shares, lost processes, limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.retries import (
    MAX_LOST_NODES,
    Loss,
    Tries,
    after_failure,
    after_loss,
    larger_share,
    loss_of,
    share_after,
    share_text,
    stalled,
)
from workers.contract import FailureClass

DIED = """The actor died unexpectedly before finishing this task.
	class_name: ImplicitFunc
	actor_id: 49a1f3d9c61be48e693ca1b001000000
	pid: 8015
	ip: 192.0.2.2
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit \
detail: Worker unexpectedly exits with a connection error code 2. End of file. Some common causes \
include: (1) the process was killed by the OOM killer due to high memory usage, (2) ray stop \
--force was called, or (3) the worker crashed unexpectedly due to SIGSEGV or another unexpected \
error. If the process was killed by the kernel OOM killer (verifiable by checking for OOM in dmesg \
of the OOMing node), consider enabling resource isolation via --enable-resource-isolation to \
prevent node deaths by resource contention."""
NODE_DIED = """The actor died unexpectedly before finishing this task.
The actor died because its node has died. Node Id: d7da1912405fb89da7f457d0ba75
	the actor's node was terminated expectedly: received SIGTERM"""
GONE = """The actor 7769e44a1f4ad0ce2c73431801000000 is unavailable: The actor is temporarily \
unavailable: RpcError: RPC error: Socket closed rpc_code: 14."""
LOW = "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: ..."


@pytest.mark.parametrize(
    ("kind", "text", "loss"),
    [
        ("ActorDiedError", DIED, Loss.PROCESS),
        ("ActorDiedError", NODE_DIED, Loss.NODE),
        ("ActorUnavailableError", GONE, Loss.NODE),
        ("ActorUnschedulableError", "no node", Loss.NODE),
        ("OutOfMemoryError", LOW, Loss.MEMORY),
        ("", LOW, Loss.MEMORY),
        ("RayTaskError(RuntimeError)", "Ray assigned none", Loss.ERROR),
        ("", "", Loss.ERROR),
    ],
)
def test_messages_of_ray_classify_the_loss(kind, text, loss):
    assert loss_of(kind, text) is loss


def test_a_removed_node_does_not_count_as_a_failure():
    assert loss_of("ActorDiedError", DIED, preempted=True) is Loss.NODE


def test_each_kind_of_loss_has_a_failure_class():
    memory = {loss for loss in Loss if loss.failure_class is FailureClass.OUT_OF_MEMORY}
    assert memory == {Loss.MEMORY}


@pytest.mark.parametrize(
    ("gpus", "larger"),
    [(0.25, 0.5), (0.5, 1), (0.6, 1), (0.3333, 0.6666), (1, None), (2, None), (0, None)],
)
def test_out_of_memory_doubles_the_share_up_to_a_whole_gpu(gpus, larger):
    assert larger_share(gpus) == larger
    after = after_failure(Tries(gpus=gpus, num_losses=2), FailureClass.OUT_OF_MEMORY)
    assert after == (None if larger is None else Tries(gpus=larger, num_losses=2))


@given(st.floats(0.0001, 1))
def test_any_share_ends_at_a_whole_gpu_after_a_few_attempts(gpus):
    shares = [gpus]
    while (share := larger_share(shares[-1])) is not None:
        shares.append(share)
    assert shares[-1] == 1
    assert len(shares) <= 15


@pytest.mark.parametrize("failure", ["bug", "infrastructure", "diverged"])
def test_other_exceptions_are_not_retried(failure):
    assert after_failure(Tries(gpus=0.5), FailureClass(failure)) is None


@pytest.mark.parametrize("loss", [Loss.PROCESS, Loss.STALLED, Loss.MEMORY, Loss.ERROR])
@pytest.mark.parametrize("max_failures", [0, 1, 3])
def test_a_trial_that_is_always_lost_is_given_up(loss, max_failures):
    tries: Tries | None = Tries(gpus=0.5)
    restarts = 0
    while tries and (tries := after_loss(tries, loss, max_failures=max_failures)):
        restarts += 1
        assert tries.gpus == 0.5
    assert restarts == max_failures


def test_lost_nodes_do_not_count_up_to_the_limit():
    tries = Tries(gpus=1)
    for _ in range(MAX_LOST_NODES):
        after = after_loss(tries, Loss.NODE, max_failures=0)
        assert after is not None
        tries = after
    assert tries.num_losses == 0
    assert after_loss(tries, Loss.NODE, max_failures=0) is None


@pytest.mark.parametrize(
    ("configured", "failed", "share"),
    [
        (0.25, 0.25, 0.5),
        (0.25, 0.5, 1),
        (0.25, 1, None),
        (1, 1, None),
        (0.5, 0.1, 0.5),  # the configuration has a larger share now
        (0, 0, None),
        (1, 0, 1),  # the trial failed on a CPU, and gets a GPU
        (0, 1, 0),
        (0.25, None, 0.25),
    ],
)
def test_the_next_run_starts_with_the_last_share(configured, failed, share):
    assert share_after(configured, failed) == share


def test_share_is_described_in_words():
    assert [share_text(gpus) for gpus in (0, 0.25, 1, 2)] == [
        "no GPU", "0.25 GPU", "a whole GPU", "2 GPU",
    ]  # fmt: skip


def test_trial_without_reports_for_too_long_is_stalled():
    assert stalled({"a": 0.0, "b": 5.0, "c": 9.0}, now=10.0, limit_seconds=5.0) == ["a", "b"]
    assert stalled({}, now=10.0, limit_seconds=5.0) == []
