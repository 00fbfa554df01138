"""Trial identity: equal specifications have equal ids, on any machine and in any order."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from workers.contract import Component, DataProtocol, TrainingProtocol, TrialSpec

IDENTITY_VERSION = 1
"""Raised only when the meaning of a specification changes; then every id changes."""


def canonical(value: object) -> object:
    """Brings values that compare equal to one form: 1.0 and True to 1, -0.0 to 0.

    Raises:
        ValueError: A number is not finite.
        TypeError: A value is not plain JSON.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            msg = f"{value} cannot be part of an identity"
            raise ValueError(msg)
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    msg = f"{type(value).__name__} cannot be part of an identity"
    raise TypeError(msg)


def digest(document: object, *, length: int = 20) -> str:
    """Returns the first `length` hexadecimal digits of the canonical form's SHA-256."""
    return _hashed(_text(document), length)


def digest_of_texts(texts: Iterable[str], *, length: int) -> str:
    """Returns the `digest` of a list of texts without joining them in memory."""
    found = hashlib.sha256(b"[")
    for number, text in enumerate(texts):
        found.update(f"{',' if number else ''}{json.dumps(text)}".encode())
    found.update(b"]")
    return found.hexdigest()[:length]


def folded(label: str) -> str:
    """Returns a label without case and Unicode form; labels with the same result count as equal."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())


def _text(document: object) -> str:
    return json.dumps(canonical(document), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _hashed(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _component(component: Component) -> dict[str, object]:
    return {"name": component.name, "parameters": component.parameters}


def _fields(protocol: DataProtocol | TrainingProtocol) -> dict[str, object]:
    """Returns all fields except those that were added later and have their default."""
    return {
        item.name: getattr(protocol, item.name)
        for item in dataclasses.fields(protocol)
        if not item.metadata.get("later") or getattr(protocol, item.name) != item.default
    }


class _Same:
    """A component or protocol that equals only itself; a cached key keeps its object alive."""

    def __init__(self, part: Component | DataProtocol | TrainingProtocol) -> None:
        self.part = part

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.part is self.part

    def __hash__(self) -> int:
        return id(self.part)


@functools.lru_cache(maxsize=4096)
def _part_text(same: _Same) -> str:
    """Returns the canonical text of a component or protocol.

    The trials of a grid share these objects, so 100,000 ids take one second instead of ten.
    """
    part = same.part
    return _text(_component(part) if isinstance(part, Component) else _fields(part))


def _whole(texts: Mapping[str, str]) -> str:
    """Returns the canonical text of a document from those of its values."""
    return "{" + ",".join(f'"{key}":{texts[key]}' for key in sorted(texts)) + "}"


def _protocol(spec: TrialSpec) -> dict[str, str]:
    return {
        "identity_version": _text(IDENTITY_VERSION),
        "seed": _text(spec.seed),
        "data": _part_text(_Same(spec.data)),
        "training": _part_text(_Same(spec.training)),
    }


def trial_id(spec: TrialSpec) -> str:
    """Returns the id of a trial: 20 hexadecimal digits. Labels are not part of it."""
    return _hashed(_whole(_texts(spec)), 20)


def _texts(spec: TrialSpec) -> dict[str, str]:
    return _protocol(spec) | {
        "dataset": _part_text(_Same(spec.dataset)),
        "model": _part_text(_Same(spec.model)),
        "loss": _part_text(_Same(spec.loss)),
        "repeat": _text(spec.repeat),
    }


def trial_ids(specs: Iterable[TrialSpec]) -> Iterator[str]:
    """Yields the id of each trial; fast if trials that differ only in the repeat follow each other.

    The text is that of `trial_id`. The long text before the number of the repeat is hashed once.
    """
    last: TrialSpec | None = None
    start, end = hashlib.sha256(), b""
    for spec in specs:
        if last is None or not _differ_in_repeat(last, spec):
            texts = _texts(spec)
            before = {key: text for key, text in texts.items() if key < "repeat"}
            after = {key: text for key, text in texts.items() if key > "repeat"}
            start = hashlib.sha256(f'{_whole(before)[:-1]},"repeat":'.encode())
            end = f",{_whole(after)[1:]}".encode()
            last = spec
        found = start.copy()
        found.update(b"%d%b" % (spec.repeat, end))
        yield found.hexdigest()[:20]


def _differ_in_repeat(one: TrialSpec, other: TrialSpec) -> bool:
    return (
        one.loss is other.loss
        and one.model is other.model
        and one.dataset is other.dataset
        and one.seed == other.seed
        and one.data is other.data
        and one.training is other.training
    )


def protocol_id(spec: TrialSpec) -> str:
    """Returns the id of the seed, data and training protocol that all trials of one grid share."""
    return _hashed(_whole(_protocol(spec)), 12)
