"""A catalogue of entries: Podium's own, those of installed packages, and those of files."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Generic, NoReturn, Protocol, TypeVar

from workers.catalogue.code_files import (
    Call,
    check_entry,
    check_fields,
    import_code,
    read_code,
)
from workers.contract import CodeFile, UserError


class Named(Protocol):
    """An entry of a catalogue."""

    @property
    def name(self) -> str:
        """The name in configurations."""
        ...


Entry = TypeVar("Entry", bound=Named)


class Catalogue(MutableMapping[str, Entry], Generic[Entry]):
    """Entries by name: Podium's own in their written order, then other packages' by name.

    Another package adds an entry through an entry point of the group, whose name is the entry's
    name and whose object is the entry. They are looked up at the first use and not at import, so
    that a package can import its entry's class from the module that holds the catalogue.

    `add_file` adds the entries of a user's file, under names with a digest of its content. They
    are found by these names, but not listed.
    """

    def __init__(
        self,
        group: str,
        kind: type[Entry],
        own: Iterable[Entry],
        call: Callable[[Entry], Call] | None = None,
    ) -> None:
        """Keeps Podium's own entries.

        Args:
            group: Group of entry points, for example `podium.models`.
            kind: Class of an entry.
            own: Podium's own entries.
            call: Returns how the function of an entry is called, to check the entries of files;
                None for a catalogue without such entries.
        """
        self._group = group
        self._class = kind
        self._call = call
        self._of_files: dict[str, Entry] = {}
        self._places: dict[str, str] = {}
        self._entries = {entry.name: entry for entry in own}
        self._origins: dict[str, str] = {}
        self._searched = False

    @property
    def kind(self) -> str:
        """What an entry is, in messages: `loss`, `model` or `dataset`."""
        return self._class.__name__.removesuffix("Entry").lower()

    def origin(self, name: str) -> str | None:
        """Returns `DISTRIBUTION VERSION` of an entry from outside; None for Podium's own."""
        self._search()
        return self._origins.get(name)

    def __getitem__(self, name: str) -> Entry:
        """Returns an entry; raises KeyError, or UserError (see `_search`)."""
        self._search()
        return self._entries[name] if name in self._entries else self._of_files[name]

    def __setitem__(self, name: str, entry: Entry) -> None:
        """Adds an entry in this process only."""
        self._search()
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        """Removes an entry in this process only."""
        self._search()
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        """Yields the names."""
        self._search()
        return iter(self._entries)

    def __len__(self) -> int:
        """Returns the number of entries."""
        self._search()
        return len(self._entries)

    def add_file(self, file: CodeFile | Path | str) -> dict[str, str]:
        """Adds the entries of a user's file in this process; runs the file the first time.

        Args:
            file: The file, or its path.

        Returns:
            The name of each entry in this catalogue, `NAME@DIGEST`, by its name in the file; empty
            if the file defines none of this kind.

        Raises:
            UserError: The file cannot be read or imported, or an entry is wrong; the message names
                file and line.
        """
        if self._call is None:
            msg = f"{self._class.__name__} is not read from a file"
            raise TypeError(msg)
        if not isinstance(file, CodeFile):
            file = read_code(Path(file))
        module = import_code(file)
        names: dict[str, str] = {}
        for entry in list({id(one): one for one in vars(module).values()}.values()):
            if not isinstance(entry, self._class) or any(entry is one for one in self.values()):
                continue  # also an entry of this catalogue that the file has imported
            check_fields(entry, file)
            place = check_entry(entry.name, self._call(entry), file, module)
            if entry.name in self or entry.name in names:
                other = "the file" if entry.name in names else "Podium or an installed package"
                msg = f"{place}: {other} already has an entry {entry.name!r}; rename one of them"
                raise UserError(msg)
            names[entry.name] = f"{entry.name}@{file.digest}"
            self._of_files[names[entry.name]] = entry
            self._places[names[entry.name]] = place
        return names

    def place(self, name: str) -> str | None:
        """Returns file and line of the function of an entry from a user's file; None for others."""
        return self._places.get(name)

    def _search(self) -> None:
        """Adds the entries of installed packages, once.

        Raises:
            UserError: An entry point cannot be loaded, is not an entry, or has a name that is
                already used; the message names the distribution.
        """
        if self._searched:
            return
        self._searched = (
            True  # before loading: a package can read the catalogue while it is imported
        )
        found: dict[str, tuple[Entry, str]] = {}
        try:
            points = importlib.metadata.entry_points(group=self._group)
            for point in sorted(points, key=lambda point: (point.name, _distribution(point))):
                entry = self._load(point)
                other = found[point.name][1] if point.name in found else "Podium"
                if point.name in found or point.name in self._entries:
                    other = f"{other} has a {self.kind} of this name"
                    self._refuse(point, f"{other}; rename one of them")
                found[point.name] = (entry, _distribution(point))
        except BaseException:
            self._searched = False
            raise
        for name, (entry, origin) in found.items():
            self._entries[name] = entry
            self._origins[name] = origin

    def _load(self, point: EntryPoint) -> Entry:
        try:
            entry = point.load()
        except Exception as error:  # noqa: BLE001 - another package's import may raise anything
            reason = f"cannot be loaded: {type(error).__name__}: {error}"
            self._refuse(point, f"{reason}; fix or uninstall the package")
        if not isinstance(entry, self._class):
            self._refuse(point, f"is a {type(entry).__name__}, not a {self._class.__name__}")
        if entry.name != point.name:
            self._refuse(point, f"holds an entry named {entry.name!r}; both need one name")
        return entry

    def _refuse(self, point: EntryPoint, reason: str) -> NoReturn:
        msg = (
            f"entry point {point.name!r} of {self._group} in {_distribution(point)} "
            f"({point.value}): {reason}"
        )
        raise UserError(msg)


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed distribution"
