"""The error of a dataset that was not found: the searched folder, its content, and a proposal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from workers.catalogue.datasets import DatasetEntry
from workers.datasets.dataset import DatasetNotFoundError
from workers.datasets.files.pictures import IMAGE_SUFFIXES
from workers.datasets.layouts.layout import Layout, list_entries, list_files
from workers.datasets.layouts.naming import IMAGE_WORDS, MASK_WORDS, is_role, masks_among

_DEPTH = 3
_MAX_FOLDERS = 500
"""A root can be large; the search for a dataset below it ends after this number of folders."""


def not_found_error(
    label: str,
    entry: DatasetEntry,
    layout: Layout,
    root: Path | None,
    parameters: Mapping[str, object],
    problem: OSError | None = None,
) -> DatasetNotFoundError:
    """Returns the error of a dataset that was not found.

    Args:
        label: Name in messages.
        entry: Its entry in the catalogue.
        layout: The expected layout of its files.
        root: The searched folder.
        parameters: As for `Layout.locate`.
        problem: Why the folder could not be read.
    """
    archives = f" ({', '.join(entry.archives)})" if entry.archives else ""
    remedy = (
        "put your images and masks there"
        if entry.label_is_identity
        else f"get it from {entry.source}{archives}, unpack it there"
    )
    proposed = ""
    if root is None:
        found = "data.root is not set"
    elif problem is not None:
        found = f"{problem.filename or root}: {problem.strerror}"
    else:
        found = _what_is_there(root, entry)
        proposed = proposal(root, layout, parameters)
    return DatasetNotFoundError(
        f"dataset {label}: not found. Looked in: {found}. Expected there: "
        f"{', '.join(layout.expected)}; {proposed and f'{proposed}; or '}{remedy}, "
        f"or set data.root to the folder that holds {entry.folder}"
    )


def proposal(
    root: Path,
    layout: Layout,
    parameters: Mapping[str, object],
    *,
    todo: str = "set its root to that",
) -> str:
    """Returns where a dataset seems to be, or what to rename or move; otherwise an empty text.

    Args:
        root: The searched folder.
        layout: The expected layout of its files.
        parameters: As for `Layout.locate`.
        todo: What to do with the folder that holds it.
    """
    for folder in _below(root):
        if layout.locate(folder, False, parameters) is not None:
            return f"it seems to be in {folder}: {todo}"
    if set(layout.expected) != {"images", "masks"}:
        return ""
    for folder in (root, *_below(root)):
        names = [path.name for path in _folders(folder)]
        images = [name for name in names if is_role(name, IMAGE_WORDS)]
        masks = [name for name in names if is_role(name, MASK_WORDS)]
        if images and masks:
            renamed = [
                f"{old}/ to {new}/"
                for old, new in ((images[0], "images"), (masks[0], "masks"))
                if old != new
            ]
            return f"in {folder}, rename {' and '.join(renamed)}"
        if beside := _masks_beside(folder):
            return (
                f"in {folder}, move the masks (there seem to be {len(beside)}, such as "
                f"{beside[0].name}) to masks/ and their images to images/"
            )
    return ""


def _masks_beside(folder: Path) -> list[Path]:
    with suppress(OSError):
        files = list_files(folder)
        return masks_among(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
    return []


def _below(root: Path) -> Iterator[Path]:
    """Yields folders below a root, those nearer to it first."""
    level, room = [root], _MAX_FOLDERS
    for _ in range(_DEPTH):
        level = [folder for above in level for folder in _folders(above)][:room]
        room -= len(level)
        yield from level


def _folders(folder: Path) -> list[Path]:
    with suppress(OSError):  # an unreadable folder cannot be proposed
        return [path for path in list_entries(folder) if path.is_dir()]
    return []


def _what_is_there(root: Path, entry: DatasetEntry) -> str:
    if not root.exists():
        near = next((parent for parent in root.absolute().parents if parent.is_dir()), None)
        holds = f"; {near} holds {_listing(near)}" if near is not None else ""
        return f"{root}, which does not exist{holds}"
    if not root.is_dir():
        return f"{root}, which is a file, not a folder"
    found = f"{root}, which holds {_listing(root)}"
    inside = root / (entry.folder or "")
    if inside.is_dir() and inside != root:
        found += f"; {entry.folder} holds {_listing(inside)}"
    return found


def _listing(folder: Path, num_shown: int = 8) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    if not names:
        return "nothing"
    more = f" and {len(names) - num_shown} more" if len(names) > num_shown else ""
    return ", ".join(names[:num_shown]) + more
