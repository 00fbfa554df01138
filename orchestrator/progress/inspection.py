"""Progress of the inspection of the files of datasets, on standard error."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import IO

from orchestrator.progress.base import Clock

_QUIET_SECONDS = 2.0
"""A shorter inspection is not shown."""

_TERMINAL_SECONDS, _FILE_SECONDS = 0.2, 10.0
"""Time between two lines: on a terminal, where a line replaces the last one, and in a file."""


class InspectionProgress:
    """Called by `workers.datasets.files.storage.watched_inspection`."""

    def __init__(self, stream: IO[str], clock: Clock = time.monotonic) -> None:
        """Args: stream: Receives lines. clock: Monotonic seconds."""
        self._stream, self._clock = stream, clock
        self._replaces = stream.isatty()
        self._begun, self._last = math.inf, -math.inf
        self._shown = self._closed = False

    def __call__(self, folder: Path, done: int, total: int) -> None:
        """Shows, at intervals, how many files of a folder were read."""
        now = self._clock()
        self._begun = min(self._begun, now)
        interval = _TERMINAL_SECONDS if self._replaces else _FILE_SECONDS
        if self._closed or now - self._begun < _QUIET_SECONDS or now - self._last < interval:
            return
        self._last, self._shown = now, True
        text = f"inspecting {folder}: {done:,} of {total:,} files"
        self._stream.write(f"\r{text}\x1b[K" if self._replaces else f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Clears the line; later calls show nothing."""
        if self._shown and self._replaces and not self._closed:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
        self._closed = True
