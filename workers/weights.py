"""Files of pretrained weights: found, fetched once per node, identified by content; no torch."""

from __future__ import annotations

import functools
import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workers.catalogue.models import weights_of
from workers.catalogue.weights import Weights
from workers.contract import Component, UserError
from workers.durable import build_once

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
"""Endings of files that a user can give; `torch.save` writes all except the first."""

_HUB_FILE = "model.safetensors"
_CONTENT = "sha256:"
_READ_BYTES = 1 << 20
_CONNECT_SECONDS = 10


class HubUnreachableError(UserError):
    """The hub cannot be reached, so no further file is requested."""


def is_content_id(value: object) -> bool:
    """Returns whether a value of `pretrained` is the digest of a given file and not a path."""
    return isinstance(value, str) and value.startswith(_CONTENT)


def given_files(weights: Sequence[Weights], path: Path) -> tuple[Path, ...]:
    """Returns the files of a given path, in the order of the weights.

    Args:
        weights: The files that the model needs.
        path: The file, if the model needs one; or a folder with files of the documented names.

    Raises:
        UserError: A file is missing, or a folder is needed.
    """
    if path.is_file() and len(weights) == 1:
        return (path,)
    names = ", ".join(item.file for item in weights)
    if path.is_file():
        msg = f"{path}: is a file; this model needs a folder that holds {names}"
        raise UserError(msg)
    if not path.is_dir():
        msg = f"{path}: no such file or folder on this machine; expected {names}"
        raise UserError(msg)
    found = {item.name: _in_folder(path, item) for item in weights}
    missing = [item.file for item in weights if found[item.name] is None]
    if missing:
        others = ", ".join(SUFFIXES[1:])
        msg = f"{path}: holds no {', '.join(missing)} (nor the same name with {others})"
        raise UserError(msg)
    return tuple(file for file in found.values() if file is not None)


def _in_folder(folder: Path, weights: Weights) -> Path | None:
    candidates = (folder / f"{weights.name}{suffix}" for suffix in SUFFIXES)
    return next((file for file in candidates if file.is_file()), None)


def content_id(files: Sequence[Path]) -> str:
    """Returns `sha256:...` of one file's content, or of several files' in their order.

    Raises:
        UserError: A file cannot be read.
    """
    digests = [file_sha256(file) for file in files]
    if len(digests) == 1:
        return _CONTENT + digests[0]
    return _CONTENT + hashlib.sha256("\n".join(digests).encode()).hexdigest()


def file_sha256(file: Path) -> str:
    """Returns the SHA-256 of a file, read once a process while it does not change.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        state = file.stat()
        return _sha256(str(file.resolve()), state.st_size, state.st_mtime_ns)
    except OSError as error:
        msg = f"{file}: cannot be read: {error.strerror}"
        raise UserError(msg) from error


@functools.lru_cache(maxsize=256)
def _sha256(path: str, _size: int, _mtime_ns: int) -> str:
    content = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            content.update(block)
    return content.hexdigest()


def weight_files(
    model: Component, given: str | None, cache_dir: Path
) -> tuple[tuple[Weights, Path], ...]:
    """Returns the weights that a trial starts from, each with its file on this node.

    Args:
        model: Its parameter `pretrained` is true, the content of given files, or false or absent.
        given: Path of the given files; runtime, and not part of the identity.
        cache_dir: Cache folder of the node; files of the hub are stored in its folder `weights`.

    Raises:
        UserError: A file is missing, has other content than the trial's id says, or cannot be
            downloaded.
    """
    pretrained = model.parameters.get("pretrained", False)
    if pretrained is False:
        return ()
    weights = weights_of(model.name, model.parameters)
    if pretrained is True:
        return tuple((item, fetch(item, cache_dir)) for item in weights)
    key = f"model {model.label!r}: parameters.pretrained"
    if given is None:
        msg = f"{key}: the file with content {pretrained} is needed; set `pretrained` to its path"
        raise UserError(msg)
    try:
        files = given_files(weights, Path(given))
    except UserError as error:
        msg = f"{key}: {error}; put it there on every node, or on a shared file system"
        raise UserError(msg) from error
    found = content_id(files)
    if is_content_id(pretrained) and found != pretrained:
        msg = (
            f"{key}: {given} on this machine is not the file the trial was planned with "
            f"(content {found[:19]}, expected {str(pretrained)[:19]}); copy that file here"
        )
        raise UserError(msg)
    return tuple(zip(weights, files, strict=True))


def fetch(weights: Weights, cache_dir: Path) -> Path:
    """Returns the hub's file on this node; the first process fetches it, the others wait.

    Raises:
        UserError: It is not here and cannot be fetched.
    """
    found = find_cached(weights, cache_dir)
    if found is not None:
        return found
    folder = cache_dir / "weights"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        build_once(folder / weights.file, lambda scratch: _download(weights, scratch))
    except OSError as error:
        msg = f"{folder / weights.file}: cannot be written: {error.strerror or error}"
        raise UserError(msg) from error
    return folder / weights.file


def find_cached(weights: Weights, cache_dir: Path) -> Path | None:
    """Returns the file if it is in Podium's cache or the hub's own; fetches nothing."""
    found = _in_folder(cache_dir / "weights", weights)
    if found is not None or weights.hub is None:
        return found
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(weights.hub, _HUB_FILE)
    return Path(path) if isinstance(path, str) else None


def _download(weights: Weights, scratch: Path) -> Path:
    """Fetches the hub's file into a folder and returns where it is."""
    if weights.hub is None:
        msg = (
            f"{weights.name}: Podium does not know where to download it; set `pretrained` to a file"
        )
        raise UserError(msg)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    _require_hub()
    disable_progress_bars()
    try:
        return Path(hf_hub_download(weights.hub, _HUB_FILE, local_dir=scratch))
    except Exception as error:  # the client raises its own, those of requests, and OSError
        reason = " ".join(str(error).split())[:200]
        msg = f"{_HUB_FILE} of {weights.hub} cannot be fetched: {type(error).__name__}: {reason}"
        raise UserError(msg) from error


def _require_hub() -> None:
    """Sends the hub one request: its client would retry for half a minute without a network.

    Raises:
        HubUnreachableError: There is no connection, or HF_HUB_OFFLINE is set.
    """
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        msg = "the Hugging Face hub is switched off by HF_HUB_OFFLINE"
        raise HubUnreachableError(msg)
    try:
        request = urllib.request.Request(ENDPOINT, method="HEAD")
        with urllib.request.urlopen(request, timeout=_CONNECT_SECONDS):
            return
    except urllib.error.HTTPError:
        return  # it answers
    except OSError as error:
        msg = f"no connection to the Hugging Face hub ({ENDPOINT}): {error}"
        raise HubUnreachableError(msg) from error


@dataclass(frozen=True, kw_only=True)
class MissingWeights:
    """A file of the hub that is not on this node and cannot be downloaded; `reason` says why."""

    model: str
    weights: Weights
    reason: str


def require_weights(
    models: Iterable[Component],
    given: dict[str, str],
    cache_dir: Path,
    *,
    may_fetch: bool = True,
) -> None:
    """Finds or downloads every file that the models need, before any trial starts.

    Args:
        models: Models of the trials to run.
        given: Path of given files by label.
        cache_dir: This node's cache.
        may_fetch: Whether to use the hub; if not, only given files are checked.

    Raises:
        UserError: Files are missing; the message names each one, where Podium looked for it, and
            how to provide it.
    """
    missing: list[MissingWeights] = []
    problems: list[str] = []
    unreachable: UserError | None = None
    for model in models:
        if model.parameters.get("pretrained", False) is not True:
            try:
                weight_files(model, given.get(model.label), cache_dir)
            except UserError as error:
                problems.append(str(error))
            continue
        for item in weights_of(model.name, model.parameters) if may_fetch else ():
            try:
                if find_cached(item, cache_dir):
                    continue
                if unreachable:
                    raise unreachable
                fetch(item, cache_dir)
            except UserError as error:
                unreachable = error if isinstance(error, HubUnreachableError) else unreachable
                missing.append(MissingWeights(model=model.label, weights=item, reason=str(error)))
    if missing:
        problems.append(_describe_missing(missing, cache_dir))
    if problems:
        raise UserError("\n".join(problems))


def _describe_missing(missing: Sequence[MissingWeights], cache_dir: Path) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    lines = ["pretrained weights are missing. Nothing was started. Needed:"]
    lines += [
        f"  model {item.model!r}: {item.weights.file} ({_HUB_FILE} of {item.weights.hub})"
        for item in missing
    ]
    label = missing[0].model
    lines += [
        f"looked in {cache_dir / 'weights'}, then in {HF_HUB_CACHE}",
        *dict.fromkeys(item.reason for item in missing),
        f"Put the files into {cache_dir / 'weights'} under these names on every node, or give a "
        f"path: {{name: {label}, parameters: {{pretrained: PATH}}}}, where PATH is the file, or "
        "the folder that holds them where a model needs several",
    ]
    return "\n".join(lines)
