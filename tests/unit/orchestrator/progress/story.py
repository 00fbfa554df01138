"""One small sweep told to a display, with a clock that only the story moves."""

from __future__ import annotations

from orchestrator.progress import (
    EpochEnded,
    Progress,
    SweepFinished,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
)


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds


def first_half(progress: Progress, clock: FakeClock) -> None:
    """Two of five trials end, one of them badly; two run."""
    progress.on(SweepStarted(total=8, pending=5, skipped=3))
    progress.on(TrialStarted("a1", "synthetic-ultrasound-malignant · unetpp-8 · iou+focal · 1"))
    progress.on(TrialStarted("a2", "wound · fcn · bce · 0"))
    clock.wait(12)
    progress.on(EpochEnded("a1", 1, 0.41234))
    clock.wait(2)
    progress.on(EpochEnded("a2", 1, 0.1))
    clock.wait(50)
    progress.on(TrialFinished("a1", "completed", 0.81249, 63.2))
    progress.on(TrialStarted("a3", "wound · fcn · dice · 0"))
    clock.wait(60)
    progress.on(
        TrialFailed(
            "a2",
            "out-of-memory",
            "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB, 1.2 GiB free\nmore",
        )
    )
    progress.on(TrialStarted("a4", "wound · fcn · iou · 0"))
    progress.on(EpochEnded("a3", 7, 0.65))


def second_half(progress: Progress, clock: FakeClock) -> None:
    """The other three end: one diverges, two at the same moment."""
    clock.wait(3700)
    progress.on(TrialFinished("a3", "diverged", None, 3750.0))
    progress.on(TrialStarted("a5", "wound · fcn · bce · 1"))
    clock.wait(5)
    progress.on(TrialFinished("a4", "completed", 0.5, 3765.0))
    progress.on(TrialFinished("a5", "completed", 0.25, 5.0))
    clock.wait(1)
    progress.on(SweepFinished())
