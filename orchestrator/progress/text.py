"""Text that stays within a line and reaches a stream whatever its encoding."""

from __future__ import annotations

from typing import IO

from orchestrator.safe_text import clean


class Lines:
    """Writes whole lines; a reader that went away does not end the sweep."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream: IO[str] | None = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, line: str) -> None:
        """Writes and flushes one line; what the encoding lacks becomes a question mark."""
        if self._stream is None:
            return
        try:
            text = clean(line).encode(self._encoding, "replace").decode(self._encoding)
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except BrokenPipeError:
            self._stream = None


def first_line(message: str) -> str:
    """Returns the first line of a message, harmless to a terminal."""
    return clean(next(iter(message.strip().splitlines()), "no message"))


def cut(text: str, width: int) -> str:
    """Shortens a text at its end."""
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."


def cut_label(label: str, width: int) -> str:
    """Shortens `dataset · model · loss · repeat` at the dataset, or as a whole if that is short."""
    label = clean(label)
    first, dot, rest = label.partition(" · ")
    room = width - len(dot + rest) - 3
    if len(label) <= width or not dot or room < 3:
        return cut(label, width)
    return f"{first[:room]}...{dot}{rest}"
