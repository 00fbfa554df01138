"""Addresses of folders, files and buckets: one parser for configurations, commands and the store.

Every address has one normal form. The parser refuses an address with two possible meanings, also if
the client that writes and the client that lists would read it differently. Standard library only.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import unquote_to_bytes

CREDENTIALS_REMEDY = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for temporary ones AWS_SESSION_TOKEN too), "
    "or AWS_PROFILE, in the environment"
)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(/*)")
_MEANT = ("s3", "file", "s3a", "s3n", "gs", "gcs", "az", "abfs", "hdfs", "http", "https", "ftp")
"""Schemes that mean a URI even without slashes; other names can belong to a folder."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?)/?",
    re.IGNORECASE,
)
_MAX_KEY_BYTES = 700
"""The key of an object can have 1,024 bytes; Podium's file names need some of them."""

_OPTIONS = {
    "region": re.compile(r"[A-Za-z0-9-]+"),
    "scheme": re.compile(r"https?"),
    "endpoint_override": _HOST,
    "tls_ca_file_path": re.compile(r".+"),
}
"""Options in the query of an S3 URI, and their form."""

# Scheme names are short. Without a limit, a long word would be searched from each letter.
_URI = re.compile(r"(?:\w[\w+.-]{0,30}:/+|s3:)[^\s'\"]+", re.IGNORECASE)
_USER = re.compile(r"(:/*)(?:[^/@]*|[^/@]*:.*)@")
_QUERY = re.compile(rf"([?&](?!(?:{'|'.join(_OPTIONS)})=)[^=&#]*=)[^&#]+")
# The options of a web page can be part of its name, such as the source of a dataset.
_SECRET_QUERY = re.compile(
    r"([?&][^=&#]*(?:secret|token|passw|key|sig|credential|auth|session)[^=&#]*=)[^&#]+",
    re.IGNORECASE,
)


class AddressError(ValueError):
    """The problem of an address; the text is a predicate without secrets."""


def _refuse(reason: str) -> NoReturn:
    raise AddressError(reason)


@dataclass(frozen=True, kw_only=True)
class S3Address:
    """A bucket, a prefix or an object of an S3-compatible store.

    Attributes:
        bucket: The bucket.
        key: Prefix or key, decoded, without slashes at its ends; it can be empty.
        options: Options of the query, sorted by name.
    """

    bucket: str
    key: str = ""
    options: tuple[tuple[str, str], ...] = ()

    @property
    def without_options(self) -> str:
        """The address without its options, for messages."""
        return f"s3://{self.bucket}/{_escaped(self.key, '?#')}".rstrip("/")

    def __str__(self) -> str:
        """Returns the normal form, which `parse_address` takes again."""
        query = "&".join(f"{name}={_escaped(value, '&#+')}" for name, value in self.options)
        return f"{self.without_options}?{query}" if query else self.without_options


def parse_address(text: str) -> S3Address | str:
    """Parses the address of a folder, a file or a bucket.

    Args:
        text: A local path, a `file:` URI, or `s3://bucket/prefix?option=value`.

    Returns:
        An address of a bucket, or a local path as given; `file:` URIs become paths.

    Raises:
        AddressError: The text is empty, ambiguous, or of a kind that Podium does not read.
    """
    if not text.strip():
        _refuse("must name a folder or file")
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        _refuse("must name a folder or file, without control characters")
    match = _SCHEME.match(text)
    scheme = match.group(1).lower() if match else ""
    slashes = len(match.group(2)) if match else 0
    if match is None or not (slashes or scheme in _MEANT):
        if "://" in unicodedata.normalize("NFKC", text):
            _refuse("looks like a URI but is not one; write s3://bucket/prefix or a path")
        return text
    rest = text[match.end() :]
    if scheme == "file" and slashes:
        return _local(rest, slashes)
    if scheme == "s3" and slashes == 2:
        return _s3(rest)
    if scheme == "s3":
        msg = "must name a bucket after two slashes: s3://bucket/prefix"
    elif scheme == "file":
        msg = "a file URI has three slashes: file:///path"
    else:
        msg = f"must be a path, a file:// or an s3:// URI, not {match.group(1)}:{'/' * slashes}"
        if slashes < 2:
            msg += "; write ./ before the name of a folder"
    _refuse(msg)


def parse_s3(text: str) -> S3Address:
    """Parses the address of a bucket.

    Raises:
        AddressError: The text is not the address of a bucket.
    """
    found = parse_address(text)
    if isinstance(found, str):
        _refuse("must name a bucket: s3://bucket/prefix")
    return found


def parse_endpoint(text: str) -> dict[str, str]:
    """Returns host (with port) and scheme, if given, of an S3-compatible server.

    Raises:
        AddressError: The text has no host, or more parts, such as a path.
    """
    match = _HOST.fullmatch(text)
    if match is None:
        msg = (
            "must be a host and a port, such as http://HOST:9000, without path, user and query, "
            "which the client of the store cannot use"
        )
        _refuse(msg)
    found = {"endpoint_override": match["host"]}
    return found | ({"scheme": match["scheme"].lower()} if match["scheme"] else {})


def hide_credentials(text: str) -> str:
    """Returns a text in which `***` replaces user, password and unknown options of URIs."""

    def hide(match: re.Match[str]) -> str:
        uri = match.group()
        options = _SECRET_QUERY if uri.lower().startswith("http") else _QUERY
        if "@" in uri:  # only then can there be a user
            uri = _USER.sub(r"\1***@", uri, count=1)
        return options.sub(r"\1***", uri)

    return _URI.sub(hide, text)


def _local(rest: str, slashes: int) -> str:
    if "?" in rest or "#" in rest:
        _refuse("a file URI has no ? and no #; write %3F and %23 for them")
    host, slash, path = rest.partition("/") if slashes == 2 else ("", "/", rest)
    if host.lower() not in ("", "localhost"):
        shown = rest.rpartition("@")[2]
        _refuse(f"a file URI has three slashes: file:///{shown}")
    return slash + _decoded(path).lstrip("/")


def _s3(rest: str) -> S3Address:
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in authority or (":" in authority and "@" in rest):
        _refuse(f"must not contain credentials, which others could read; {CREDENTIALS_REMEDY}")
    if "#" in rest:
        _refuse("contains a #, which begins a fragment; write %23 for it")
    if not _BUCKET.fullmatch(authority):
        msg = (
            "names no bucket; write s3://bucket/prefix, with a host and port as "
            "?endpoint_override=HOST:PORT"
        )
        _refuse(msg)
    path, _, query = rest[len(authority) :].partition("?")
    key = _decoded(path.removeprefix("/")).rstrip("/")
    for part in key.split("/") if key else ():
        if part in ("", ".", ".."):
            what = f"{part!r} between slashes" if part else "two slashes in a row"
            _refuse(f"has {what}, which stores read in different ways; remove it")
        if part != part.strip():
            _refuse(f"has {part!r}, which begins or ends with a space; remove the space")
    if not key.isprintable():
        _refuse("contains invisible characters; remove them")
    if unicodedata.normalize("NFC", key) != key:
        _refuse("contains decomposed letters (letter, accent); write them composed (Unicode NFC)")
    if len(key.encode()) > _MAX_KEY_BYTES:
        _refuse(f"has a prefix of {len(key.encode())} bytes; at most {_MAX_KEY_BYTES} are allowed")
    return S3Address(bucket=authority, key=key, options=_options(query))


def _options(query: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        name, value = _decoded(name), _decoded(value.replace("+", " "))
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            _refuse(f"option {name!r}: unknown; known: {known}; to log in, {CREDENTIALS_REMEDY}")
        if name in found or not _OPTIONS[name].fullmatch(value):
            reason = "is given twice" if name in found else "has an invalid value"
            msg = f"option {name!r} {reason}; for example ?endpoint_override=HOST:9000&scheme=http"
            _refuse(msg)
        found[name] = value
    return tuple(sorted(found.items()))


def _decoded(text: str) -> str:
    """Decodes percent escapes."""
    if _ESCAPE.search(text):
        _refuse("contains a % that does not begin an escape; write %25 for it")
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeError:
        _refuse("contains an escape that is not UTF-8")
    if any(ord(char) < 32 or ord(char) == 127 for char in decoded):
        _refuse("contains an escaped control character; remove it")
    return decoded


def _escaped(text: str, more: str) -> str:
    return re.sub(f"[%{more}]", lambda match: f"%{ord(match.group()):02X}", text)
