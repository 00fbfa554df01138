"""Resolves paths of a configuration: relative to its folder, absolute, `~`, or a URI."""

from __future__ import annotations

from pathlib import Path

from orchestrator.address import S3Address, parse_address
from workers.datasets.files.archive import SUFFIXES, is_archive


def resolve_location(text: str, folder: Path) -> str:
    """Returns an absolute local path, or an `s3://` URI in its normal form.

    Args:
        text: A path relative to `folder`, an absolute path, one starting with `~`, or a URI;
            `file:` URIs become paths.
        folder: Absolute folder of the configuration file.

    Raises:
        ValueError: The text is not an address, holds credentials, or names an unknown home folder.
    """
    found = parse_address(text)
    return str(found) if isinstance(found, S3Address) else _absolute(found, folder)


def resolve_local(text: str, folder: Path) -> str:
    """Returns an absolute local path; see `resolve_location`.

    Raises:
        ValueError: As `resolve_location`, and for any URI except `file:`.
    """
    found = parse_address(text)
    if isinstance(found, S3Address):
        msg = "must be a local or mounted path, which is not read through a URI"
        raise ValueError(msg)  # noqa: TRY004 - the user's value, not a type of ours
    return _absolute(found, folder)


def resolve_data(text: str, folder: Path) -> str:
    """Returns an absolute local path, or the `s3://` URI of an archive in its normal form.

    Raises:
        ValueError: As `resolve_local`, and for a URI that is not an archive or holds credentials.
    """
    found = parse_address(text)
    if not isinstance(found, S3Address):
        return _absolute(found, folder)
    if not is_archive(found.key):
        msg = (
            "images are read from a folder, or from an archive that each node unpacks: "
            f"s3://bucket/data.tar (one of {', '.join(SUFFIXES)})"
        )
        raise ValueError(msg)
    return str(found)


def _absolute(text: str, folder: Path) -> str:
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        msg = "the home folder it starts with is not known; write the path in full"
        raise ValueError(msg) from None
    return str((folder / path).resolve())
