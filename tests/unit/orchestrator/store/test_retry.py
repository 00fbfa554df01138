"""Repeated operations after temporary errors, with a clock that only pauses advance."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.store import Store, StoreError
from orchestrator.store.local import REMEDIES, TEMPORARY_ERRORS, LocalStorage
from orchestrator.store.storage import RetryPolicy, TemporaryStoreError
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec, plain_counts


class Clock:
    """A clock that only its own `sleep` advances."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.pauses.append(seconds)

    def policy(self) -> RetryPolicy:
        return RetryPolicy(sleep=self.sleep, clock=lambda: self.seconds)


def failing(times: int) -> Callable[[], str]:
    left = [times]

    def operation() -> str:
        if left[0]:
            left[0] -= 1
            raise TemporaryStoreError("no")
        return "answer"

    return operation


def test_pauses_double_until_the_operation_succeeds() -> None:
    clock = Clock()
    policy = clock.policy()
    assert policy.run("location", failing(4)) == "answer"
    for pause, longest in zip(clock.pauses, (0.5, 1.0, 2.0, 4.0), strict=True):
        assert longest / 2 <= pause <= longest


def test_known_location_is_retried_longer_than_an_unknown_one() -> None:
    clock = Clock()
    policy = clock.policy()
    with pytest.raises(TemporaryStoreError):
        policy.run("location", failing(1000))
    assert 2 <= clock.seconds <= policy.unknown_seconds
    policy.run("location", failing(0))
    before = clock.seconds
    with pytest.raises(TemporaryStoreError):
        policy.run("location", failing(1000))
    assert 60 <= clock.seconds - before <= policy.known_seconds
    assert max(clock.pauses) <= policy.longest_pause_seconds


def test_permanent_error_is_not_retried() -> None:
    clock, asked = Clock(), []

    def operation() -> None:
        asked.append(1)
        raise StoreError("no")

    with pytest.raises(StoreError):
        clock.policy().run("location", operation)
    assert (len(asked), clock.pauses) == (1, [])


@pytest.mark.parametrize("number", sorted(TEMPORARY_ERRORS))
def test_commits_survive_temporary_errors_of_a_file_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    clock, calls, fsync = Clock(), [0], os.fsync

    def stumble(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] % 3 == 1:
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", stumble)
    store = Store("", storage=LocalStorage(tmp_path, clock.policy()))
    for trial in range(2):
        store.commit(make_spec(trial), make_result(trial), committed_at=NOW)
    assert clock.pauses
    assert plain_counts(tmp_path) == (2, 2, 2)
    assert not list(tmp_path.rglob("*.tmp"))


def test_lasting_temporary_error_has_file_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "open", refuse)
    clock = Clock()
    with pytest.raises(TemporaryStoreError, match=f"{tmp_path}/x: Stale file handle; the disk or"):
        LocalStorage(tmp_path, clock.policy()).read("x")
    assert len(clock.pauses) >= 3


@pytest.mark.parametrize("number", sorted(REMEDIES))
def test_errors_that_need_the_user_are_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr(os, "open", refuse)
    clock = Clock()
    with pytest.raises(StoreError) as caught:
        LocalStorage(tmp_path, clock.policy()).read("x")
    assert (type(caught.value), clock.pauses) == (StoreError, [])
