"""Entries of the three axes: found in the catalogue, completed, and checked for duplicates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from orchestrator.config.document import Document, KeyPath, read_document
from orchestrator.config.paths import resolve_local
from orchestrator.config.problems import ABSENT, Problem, refuse, show, translate
from orchestrator.config.schema import (
    Choice,
    CodeChoice,
    DatasetChoice,
    LossesFile,
    TrainingSection,
)
from orchestrator.config.values import refuse_conversions
from workers.catalogue import CatalogueError
from workers.catalogue.code_files import digest_in, read_code, short_name, unknown_in_file
from workers.catalogue.datasets import DATASETS, complete_dataset
from workers.catalogue.entries import Catalogue
from workers.catalogue.losses import LEARNING_RATE, LOSSES, complete_loss
from workers.catalogue.models import MODELS, complete_model, weights_of
from workers.contract import CodeFile, Component, JSONValue, UserError
from workers.identity import digest, folded
from workers.weights import content_id, given_files

AxisName = Literal["datasets", "models", "losses"]
Complete = Callable[[str, Mapping[str, Any]], tuple[str, dict[str, JSONValue]]]


_COMPLETE: dict[AxisName, Complete] = {
    "datasets": complete_dataset,
    "models": complete_model,
    "losses": complete_loss,
}
_TABLES: dict[AxisName, Catalogue[Any]] = {
    "datasets": DATASETS,
    "models": MODELS,
    "losses": LOSSES,
}


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The entries of one axis that could be read.

    Attributes:
        components: Entries in the file's order.
        roots: For datasets: folder of each label that reads files; None for generated data.
        weights: For models: path of each label's given weights.
        code: For models and losses: the files of code of the entries, by digest.
        problems: What is wrong with the other entries.
    """

    components: tuple[Component, ...]
    roots: Mapping[str, str | None] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, CodeFile] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def read_axis(
    axis: AxisName,
    items: object,
    folder: Path,
    data_root: str | None = None,
    learning_rate: float | None = None,
    code: Mapping[str, CodeFile] | None = None,
) -> Axis:
    """Reads the entries of an axis, without those that the schema has refused already.

    A file of code that an entry names is imported, so that its problems are found here.

    Args:
        axis: Name of the axis.
        items: Its value in the file.
        folder: Folder to which relative paths refer.
        data_root: Folder of datasets that have no `root`.
        learning_rate: Learning rate of the protocol; a loss with the same rate is the plain loss.
        code: Files that entries may use by digest although no entry here names them.
    """
    components: dict[KeyPath, Component] = {}
    roots: dict[str, str | None] = {}
    weights: dict[str, str] = {}
    problems: list[Problem] = []
    entries = items if isinstance(items, list) else []
    choices: dict[tuple[str, int], Choice] = {}
    for position, item in enumerate(entries):
        schema = DatasetChoice if axis == "datasets" else CodeChoice
        with suppress(ValidationError):
            choices[axis, position] = schema.model_validate(item, context={"folder": folder})
    files = _Files({}, dict(code or {}))
    for path, choice in choices.items():
        if isinstance(choice, CodeChoice) and choice.file is not None:
            try:
                files.read(axis, choice.file)
            except UserError as error:
                problems.append(Problem(path=(*path, "file"), reason=str(error)))
    for path, choice in choices.items():
        if isinstance(choice, CodeChoice) and choice.file and choice.file not in files.names:
            continue
        try:
            component = _component(axis, choice, files)
            if axis == "losses" and component.parameters.get(LEARNING_RATE) == learning_rate:
                component = _without_rate(component)
            if isinstance(choice, DatasetChoice):
                roots[component.label] = _root(choice, data_root)
            elif isinstance(component.parameters.get("pretrained"), str) and axis == "models":
                component, weights[component.label] = _by_content(component, folder)
        except CatalogueError as error:
            problems.append(_locate(error, path, choice, bare=isinstance(entries[path[1]], str)))
            continue
        components[path] = component
    problems += _told_apart(components)
    if axis == "datasets":
        problems += _rootless(components.values(), roots)
    return Axis(
        components=tuple(components.values()),
        roots=roots,
        weights=weights,
        code=files.code,
        problems=tuple(problems),
    )


@dataclass(frozen=True)
class _Files:
    """The files of code of an axis.

    Attributes:
        names: By path, the full name of each entry by its name in the file.
        code: The files by digest.
    """

    names: dict[str, Mapping[str, str]]
    code: dict[str, CodeFile]

    def read(self, axis: AxisName, path: str) -> None:
        """Adds the entries of a file to the catalogue; raises UserError."""
        file = read_code(Path(path))
        self.names[path] = _TABLES[axis].add_file(file)
        self.code[file.digest] = file

    def full_name(self, axis: AxisName, choice: Choice) -> str:
        """Returns the name of an entry with the digest of its file, if it is from a file."""
        file = choice.file if isinstance(choice, CodeChoice) else None
        kind = _TABLES[axis].kind
        if file is None:
            found = digest_in(choice.name)
            if found is not None and found not in self.code:
                example = f"{{file: FILE, name: {short_name(choice.name)}}}"
                reason = (
                    f"names the {kind} of a file with a certain content, and no file with this "
                    f"content is listed; add {example} to {axis}, with the file as it was then"
                )
                raise CatalogueError(("name",), choice.name, reason)
            return choice.name
        parts = [part.strip() for part in choice.name.split("+")]
        names = self.names[file]
        if not names.keys() & set(parts):
            reason = unknown_in_file(parts[0], file, names, kind)
            raise CatalogueError(("name",), choice.name, reason)
        return "+".join(names.get(part, part) for part in parts)


def _component(axis: AxisName, choice: Choice, files: _Files) -> Component:
    parameters = dict(choice.parameters or {})
    if axis == "datasets" and choice.name in DATASETS:
        parameters = _name_data(choice, parameters)
    if choice.alias in _TABLES[axis] and choice.alias != choice.name:
        reason = f"is the name of another entry; give {choice.name!r} another alias"
        raise CatalogueError(("alias",), choice.alias, reason)
    full_name = files.full_name(axis, choice)
    if len({digest_in(part) for part in full_name.split("+")} - {None}) > 1:
        reason = "adds losses of two files; put both losses into one file"
        raise CatalogueError(("name",), choice.name, reason)
    name, complete = _COMPLETE[axis](full_name, parameters)
    refuse_conversions(("parameters",), parameters, complete)
    return Component(name=name, parameters=complete, label=choice.alias or short_name(name))


def _without_rate(component: Component) -> Component:
    own = {key: value for key, value in component.parameters.items() if key != LEARNING_RATE}
    return replace(component, parameters=own)


def _by_content(component: Component, folder: Path) -> tuple[Component, str]:
    """Replaces the path of given weights by a digest of their content: a path is not identity."""
    text = str(component.parameters["pretrained"])
    try:
        path = resolve_local(text, folder)
        weights = weights_of(component.name, component.parameters)
        content = content_id(given_files(weights, Path(path)))
    except (UserError, ValueError) as error:
        raise CatalogueError(("parameters", "pretrained"), text, str(error)) from error
    parameters = {**component.parameters, "pretrained": content}
    return replace(component, parameters=parameters), path


def _name_data(choice: Choice, parameters: dict[str, Any]) -> dict[str, Any]:
    """Adds the alias to the identity of datasets that only their alias names."""
    if not DATASETS[choice.name].label_is_identity:
        return parameters
    if "label" in parameters:
        raise CatalogueError(("parameters", "label"), parameters["label"], "is set by 'alias'")
    if choice.alias is None:
        example = f"{{name: {choice.name}, alias: my-data, root: ../my-data}}"
        reason = f"needs an alias, the name of your data in all results; for example {example}"
        raise CatalogueError(("alias",), ABSENT, reason)
    return parameters | {"label": choice.alias}


def _root(choice: DatasetChoice, data_root: str | None) -> str | None:
    if DATASETS[choice.name].kind == "files":
        return choice.root or data_root
    if choice.root is not None:
        raise CatalogueError(("root",), choice.root, "generated data has no root; remove this key")
    return None


def _rootless(components: Iterable[Component], roots: Mapping[str, str | None]) -> list[Problem]:
    """Finds datasets of files without a folder."""
    entries = {c.label: DATASETS[c.name] for c in components if roots.get(c.label) is None}
    missing = [f"{k} ({entry.folder})" for k, entry in entries.items() if entry.kind == "files"]
    if not missing:
        return []
    reason = (
        f"missing, but files are read by {', '.join(missing)}: name the folder that holds what "
        "is in brackets, or give one dataset its own root, as {name: ..., root: ...}; "
        "`podium data list` says where to get the data"
    )
    return [Problem(path=("data", "root"), reason=reason)]


def _locate(error: CatalogueError, path: KeyPath, choice: Choice, *, bare: bool) -> Problem:
    """Adds the key path to an error of the catalogue; an entry that is only a name has no keys.

    A name is shown as it was written: the catalogue knows that of a file's entry with a digest.
    """
    inner = () if bare and error.path == ("name",) else error.path
    if error.value is ABSENT:
        inner = ()
    value = choice.name if error.path == ("name",) else error.value
    return Problem(path=(*path, *inner), value=value, reason=error.reason)


def _told_apart(components: Mapping[KeyPath, Component]) -> list[Problem]:
    """Finds labels that are used twice and entries with the same name and parameters."""
    problems: list[Problem] = []
    labels: dict[str, tuple[KeyPath, str]] = {}  # by their folded form
    identities: dict[str, tuple[KeyPath, str]] = {}
    for path, component in components.items():
        label = component.label
        identity = identity_of(component)
        same_label, same_identity = labels.get(folded(label)), identities.get(identity)
        if same_identity:
            where, other = ".".join(map(str, same_identity[0])), same_identity[1]
            same = f"{short_name(component.name)} with {show(component.parameters)}"
            reason = f"{label!r} and {other!r} ({where}) are both {same}; remove one"
            problems.append(Problem(path=path, reason=reason))
        elif same_label:
            where = ".".join(map(str, same_label[0]))
            reason = f"the label is used already by {where}; give one of them an alias"
            if same_label[1] != label:
                reason = (
                    f"differs from {same_label[1]!r} ({where}) by upper and lower case or by the "
                    "form of its Unicode letters only, which folders, tables and readers confuse; "
                    "give one of them another alias"
                )
            problems.append(Problem(path=path, value=label, reason=reason))
        labels.setdefault(folded(label), (path, label))
        identities.setdefault(identity, (path, label))
    return problems


def include_losses(document: Document, folder: Path) -> Document:
    """Returns the document with every `{from: FILE}` replaced by the losses of that file.

    A loss of the file is skipped if the list already has one with the same name and parameters: a
    search may find that the defaults are best.

    Args:
        document: A configuration after its overrides.
        folder: Folder to which relative paths refer.

    Raises:
        UserError: A file is missing, holds anything but losses, or holds a wrong loss.
    """
    items = document.values.get("losses")
    if not isinstance(items, list) or not any(map(_is_include, items)):
        return document
    rate = learning_rate_of(document.values)
    written = [item for item in items if not _is_include(item)]
    axis = read_axis("losses", written, folder, learning_rate=rate)
    known = {identity_of(component) for component in axis.components}
    values: list[Any] = []
    positions: list[int] = []
    for position, item in enumerate(items):
        included = [item]
        if _is_include(item):
            included = _read(document, position, item, folder, known, rate, axis.code)
        values += included
        positions += [position] * len(included)
    return replace(
        document,
        values=document.values | {"losses": values},
        lines=_moved(document.lines, positions),
        origins=_moved(document.origins, positions),
    )


def learning_rate_of(values: Mapping[str, Any]) -> float | None:
    """Returns the protocol's learning rate before anything is checked."""
    training = values.get("training")
    rate = training.get("learning_rate") if isinstance(training, Mapping) else None
    if rate is None:
        rate = TrainingSection.model_fields["learning_rate"].default
    return float(rate) if isinstance(rate, int | float) else None


def _is_include(item: object) -> bool:
    return isinstance(item, Mapping) and "from" in item


def _read(
    document: Document,
    position: int,
    item: Mapping[str, Any],
    folder: Path,
    known: set[str],
    rate: float | None,
    code: Mapping[str, CodeFile],
) -> list[Any]:
    """Returns the new entries of one file; adds their identities to `known`."""
    path: KeyPath = ("losses", position)
    if set(item) != {"from"} or not isinstance(item["from"], str):
        reason = "must hold 'from' and nothing else, as in {from: tuned.yaml}"
        refuse(document, [Problem(path=path, value=item, reason=reason)])
    try:
        found = read_document(Path(resolve_local(item["from"], folder)))
    except (UserError, ValueError) as error:
        refuse(document, [Problem(path=(*path, "from"), value=item["from"], reason=str(error))])
        raise  # not reached: there is a problem
    entries = found.values.get("losses")
    refuse(found, _code_problems(entries))
    problems = []
    try:
        LossesFile.model_validate(found.values)
    except ValidationError as error:
        problems = [translate(e, LossesFile) for e in error.errors(include_url=False)]
    axis = read_axis("losses", entries, folder, learning_rate=rate, code=code)
    refuse(found, [*problems, *axis.problems])
    fresh = []
    for entry, component in zip(entries or (), axis.components, strict=True):
        if identity_of(component) not in known:
            known.add(identity_of(component))
            fresh.append(entry)
    return fresh


def _code_problems(entries: object) -> list[Problem]:
    """Finds entries of an included file that name code: a file from results must not run code."""
    reason = "an included file cannot name a file of code; add the entry to the configuration"
    return [
        Problem(path=("losses", position, "file"), value=entry["file"], reason=reason)
        for position, entry in enumerate(entries if isinstance(entries, list) else [])
        if isinstance(entry, Mapping) and "file" in entry
    ]


def identity_of(component: Component) -> str:
    """Returns a digest of name and parameters: entries with the same one train the same thing."""
    return digest({"name": component.name, "parameters": component.parameters})


def _moved(noted: Mapping[KeyPath, Any], positions: list[int]) -> dict[KeyPath, Any]:
    """Returns lines or origins by key path, with the losses at their new positions."""
    kept = {key: value for key, value in noted.items() if key[:1] != ("losses",) or len(key) < 2}
    for new, old in enumerate(positions):
        for key, value in noted.items():
            if key[:2] == ("losses", old) and (len(key) == 2 or key[2] != "from"):
                kept["losses", new, *key[2:]] = value
    return kept
