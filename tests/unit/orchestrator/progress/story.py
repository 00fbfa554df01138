"""One small sweep told to a display, with a clock that only the story moves."""

from __future__ import annotations

from orchestrator.progress import Progress


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
    progress.sweep_started(total=8, pending=5, skipped=3)
    progress.trial_started("a1", "synthetic-ultrasound-malignant · unetpp-8 · iou+focal · 1")
    progress.trial_started("a2", "wound · fcn · bce · 0")
    clock.wait(12)
    progress.epoch("a1", 1, 0.41234)
    clock.wait(2)
    progress.epoch("a2", 1, 0.1)
    clock.wait(50)
    progress.trial_finished("a1", "completed", 0.81249, 63.2)
    progress.trial_started("a3", "wound · fcn · dice · 0")
    clock.wait(60)
    progress.trial_failed(
        "a2",
        "out-of-memory",
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB, 1.2 GiB free\nmore",
    )
    progress.trial_started("a4", "wound · fcn · iou · 0")
    progress.epoch("a3", 7, 0.65)


def second_half(progress: Progress, clock: FakeClock) -> None:
    """The other three end: one diverges, two at the same moment."""
    clock.wait(3700)
    progress.trial_finished("a3", "diverged", None, 3750.0)
    progress.trial_started("a5", "wound · fcn · bce · 1")
    clock.wait(5)
    progress.trial_finished("a4", "completed", 0.5, 3765.0)
    progress.trial_finished("a5", "completed", 0.25, 5.0)
    clock.wait(1)
    progress.sweep_finished()
