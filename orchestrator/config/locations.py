"""Where paths point: relative to the configuration's folder, absolute, `~`, or a URI."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from workers.datasets.archive import SUFFIXES, is_archive

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def resolve_location(text: str, folder: Path) -> str:
    """Returns an absolute local path, or a URI such as `s3://bucket/prefix` as it was given.

    Args:
        text: A path relative to `folder`, an absolute path, one starting with `~`, or a URI;
            `file:` URIs become paths.
        folder: Absolute folder of the configuration file.

    Raises:
        ValueError: The text is empty, or names no place on this machine.
    """
    if _SCHEME.match(text) and not text.lower().startswith("file:"):
        scheme, _, rest = text.partition("://")
        if scheme != "s3":
            msg = f"must be a path, a file:// or an s3:// URI, not {scheme}://"
            raise ValueError(msg)
        if not rest.partition("?")[0].strip("/") or rest.startswith("/"):
            msg = "must name a bucket: s3://bucket/prefix"
            raise ValueError(msg)
        return text
    return resolve_local(text, folder)


def resolve_local(text: str, folder: Path) -> str:
    """Returns an absolute local path; see `resolve_location`.

    Raises:
        ValueError: As there, and for any URI but `file:`.
    """
    if not text.strip() or "\0" in text:
        msg = "must name a folder"
        raise ValueError(msg)
    if text.lower().startswith("file:/"):
        text = _file_uri(text)
    elif _SCHEME.match(text):
        msg = "must be a local or mounted folder: images are not read through a URI"
        raise ValueError(msg)
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        msg = "the home folder it starts with is not known; write the path in full"
        raise ValueError(msg) from None
    return str((folder / path).resolve())


def resolve_data(text: str, folder: Path) -> str:
    """Returns an absolute local path, or the `s3://` URI of an archive as it was given.

    Raises:
        ValueError: As `resolve_local`, and for a URI that is no archive or holds credentials.
    """
    if not text.startswith("s3://"):
        return resolve_local(text, folder)
    bucket, _, key = text.removeprefix("s3://").partition("?")[0].partition("/")
    if not is_archive(text) or not bucket or not key:
        msg = (
            "images are read from a folder, or from an archive that each node unpacks: "
            f"s3://bucket/data.tar (one of {', '.join(SUFFIXES)})"
        )
        raise ValueError(msg)
    if "@" in bucket:
        msg = "must hold no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
        raise ValueError(msg)
    return text


def _file_uri(text: str) -> str:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        msg = f"a file URI has three slashes: file:///{parts.netloc}{parts.path}"
        raise ValueError(msg)
    return unquote(parts.path)
