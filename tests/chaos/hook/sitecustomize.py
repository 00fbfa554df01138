"""Python loads this module from its path: it records file operations and can wait at one.

In every process of a chaos test (driver, Ray's workers), an operation below CHAOS_FOLDER is
recorded in `events` there before it takes place. If `instant` has a pattern that the record
matches, the first process at this operation writes `reached`, with its process id, and waits to be
killed. So a kill hits an instant that lasts microseconds, and Podium needs no change for the test.
"""

import contextlib
import os
import re
import sys
import time
from pathlib import Path

WAIT_SECONDS = 30
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def describe(event: str, args: tuple[object, ...], folder: str) -> str | None:
    """Returns `write PATH`, `rename PATH` (the target) or `remove PATH`; otherwise None."""
    if event == "open" and isinstance(args[2], int) and args[2] & _WRITES:
        verb, path = "write", args[0]
    elif event == "os.rename":
        verb, path = "rename", args[1]
    elif event == "os.remove":
        verb, path = "remove", args[0]
    else:
        return None
    if not isinstance(path, str | os.PathLike):
        return None
    text = os.fspath(path)
    return f"{verb} {text.removeprefix(folder)}" if str(text).startswith(folder) else None


def install(folder: str) -> None:
    """Watches this process from now on."""
    log = os.open(f"{folder}events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    busy = False

    def reached(note: str) -> bool:
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            pattern = Path(folder, "instant").read_text(encoding="utf-8")
            if pattern and re.search(pattern, note):
                with Path(folder, "reached").open("x", encoding="utf-8") as file:
                    file.write(f"{os.getpid()} {note}")
                return True
        return False

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal busy
        if busy or event not in ("open", "os.rename", "os.remove"):
            return
        busy = True
        try:
            note = describe(event, args, folder)
            if note is not None:
                os.write(log, f"{time.time():.6f} {os.getpid()} {note}\n".encode())
                if reached(note):
                    time.sleep(WAIT_SECONDS)
        finally:
            busy = False

    sys.addaudithook(hook)


if os.environ.get("CHAOS_FOLDER"):
    install(os.environ["CHAOS_FOLDER"].rstrip("/") + "/")
