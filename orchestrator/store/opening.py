"""Opens a results location: a folder, or the prefix of a bucket."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from pathlib import Path

from orchestrator.address import AddressError, S3Address, hide_credentials, parse_address
from orchestrator.store.local import LocalStorage
from orchestrator.store.s3 import ObjectStorage
from orchestrator.store.storage import Storage, StoreError


def open_storage(location: str | Path) -> Storage:
    """Opens a local path, a `file://` URI or an `s3://bucket/prefix` URI.

    An S3 URI takes options in its query (see `orchestrator.address`), such as
    `?endpoint_override=host:port&scheme=http`; credentials come from the AWS environment alone.

    Raises:
        StoreError: The location cannot be understood or opened.
    """
    text = str(location)
    try:
        found = parse_address(text)
    except AddressError as error:
        msg = f"{hide_credentials(text)}: {error}"
        raise StoreError(msg) from None
    if isinstance(found, S3Address):
        return ObjectStorage(str(found))
    return LocalStorage(_as_spelt(_absolute(Path(found).expanduser())))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def _as_spelt(path: Path) -> Path:
    """Returns a path as its folders spell it: `é` can be one character or two."""
    spelt = Path(path.anchor)
    for part in path.parts[1:]:
        if not part.isascii() and not (spelt / part).exists():
            wanted = unicodedata.normalize("NFC", part)
            with contextlib.suppress(OSError):
                names = (entry.name for entry in spelt.iterdir())
                same = (name for name in names if unicodedata.normalize("NFC", name) == wanted)
                part = min(same, default=part)
        spelt /= part
    return spelt
