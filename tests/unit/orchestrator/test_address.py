"""Addresses: one normal form each, or an error without secrets."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.address import (
    AddressError,
    S3Address,
    hide_credentials,
    parse_address,
    parse_endpoint,
    parse_s3,
)

COMPOSED, IN_PARTS = "\u00e9", "e\u0301"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("s3://b", "s3://b"),
        ("s3://b/", "s3://b"),
        ("S3://b/a/", "s3://b/a"),
        ("s3://b/a b", "s3://b/a b"),
        ("s3://b/a%20b", "s3://b/a b"),
        ("s3://b/a%2Fb", "s3://b/a/b"),
        ("s3://b/50%25", "s3://b/50%25"),
        ("s3://b/%23one%3F", "s3://b/%23one%3F"),
        ("s3://b/me@home", "s3://b/me@home"),
        (f"s3://b/{COMPOSED}", f"s3://b/{COMPOSED}"),
        ("s3://b/%C3%A9", f"s3://b/{COMPOSED}"),
        ("s3://b/a?", "s3://b/a"),
        (
            "s3://b/a?scheme=http&endpoint_override=h%3A9000",
            "s3://b/a?endpoint_override=h:9000&scheme=http",
        ),
    ],
)
def test_a_bucket_has_one_normal_form(text, normal):
    found = parse_s3(text)
    assert str(found) == normal
    assert parse_s3(normal) == found
    assert parse_s3(found.without_options) == S3Address(bucket=found.bucket, key=found.key)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s3:/b/a", "two slashes"),
        ("s3:b/a", "two slashes"),
        ("s3:///b/a", "two slashes"),
        ("s3://", "names no bucket"),
        ("s3://?region=x", "names no bucket"),
        ("s3://b:9000/a", r"names no bucket.*endpoint_override=HOST:PORT"),
        ("s3://b\\a", "names no bucket"),
        ("s3:// b/a", "names no bucket"),
        ("s3://bück/a", "names no bucket"),
        ("s3://b//a", "two slashes in a row"),
        ("s3://b/a//c", "two slashes in a row"),
        ("s3://b/./a", r"'\.' between slashes"),
        ("s3://b/a/..", r"'\.\.' between slashes"),
        ("s3://b/a/%2E%2E/c", r"'\.\.' between slashes"),
        ("s3://b/a#1", "write %23"),
        ("s3://b/100%", "write %25"),
        ("s3://b/%zz", "write %25"),
        ("s3://b/%FF", "not UTF-8"),
        ("s3://b/a%0Ab", "control character"),
        ("s3://b/a\nb", "control character"),
        ("s3://b/a\u200b", "invisible characters"),
        ("s3://b/a ", "begins or ends with a space"),
        ("s3://b/%20a/c", "begins or ends with a space"),
        (f"s3://b/{IN_PARTS}", "Unicode NFC"),
        ("s3://b/" + "a" * 701, "701 bytes; at most 700"),
        ("s3://b/a?regoin=eu", "option 'regoin': unknown; known: region"),
        ("s3://b/a?region=x&region=y", "option 'region' is given twice"),
        ("s3://b/a?region=", "option 'region' has an invalid value"),
        ("s3://b/a?scheme=ftp", "option 'scheme' has an invalid value"),
        (
            "s3://b/a?endpoint_override=h:9000/path",
            "'endpoint_override' has an invalid value",
        ),
        ("s3a://b/a", "not s3a://"),
        ("gs://b", "not gs://"),
        ("gs:b", "not gs:"),
        ("C:/data", r"not C:/; write \./ before"),
        (" s3://b/a", "looks like a URI"),
        ("s3\uff1a//b/a", "looks like a URI"),
        ("./s3://b/a", "looks like a URI"),
        ("file:data", "three slashes"),
        ("file://data/x", "three slashes: file:///data/x"),
        ("file:///a#b", "%23"),
        ("file:///a?b", "%3F"),
        ("file:///a%00b", "control character"),
        ("", "must name a folder"),
        ("a\0b", "must name a folder"),
    ],
)
def test_ambiguous_or_empty_address_is_refused(text, reason):
    with pytest.raises(AddressError, match=reason):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("results", "results"),
        ("exp:1/run #2 50%?", "exp:1/run #2 50%?"),
        ("file:/data", "/data"),
        ("FILE:///my%20data", "/my data"),
        ("file:////data", "/data"),
        ("file://localhost/a", "/a"),
    ],
)
def test_path_is_unchanged_and_file_uri_becomes_a_path(text, path):
    assert parse_address(text) == path


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("http://h:9000", {"endpoint_override": "h:9000", "scheme": "http"}),
        ("HTTPS://minio.example/", {"endpoint_override": "minio.example", "scheme": "https"}),
        ("my_minio:9000", {"endpoint_override": "my_minio:9000"}),
        ("http://[::1]:9000", {"endpoint_override": "[::1]:9000", "scheme": "http"}),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(text, options):
    assert parse_endpoint(text) == options


@pytest.mark.parametrize("text", ["http://h/path", "http://me:pw@h", "ftp://h", "h:x", "h:1?a", ""])
def test_endpoint_with_more_parts_is_refused(text):
    with pytest.raises(AddressError, match="must be a host and a port"):
        parse_endpoint(text)


letters = st.text(string.ascii_letters + string.digits + "/+=-_.", min_size=4, max_size=30)


@settings(deadline=None, max_examples=200)
@given(user=letters, secret=letters, rest=st.sampled_from(["", "/a", "/a?region=x", "//a", "#a"]))
def test_credentials_in_a_uri_are_refused_and_never_shown(user, secret, rest):
    user, secret = f"U5{user}", f"S7{secret}"
    for uri in (
        f"s3://{user.replace('/', '')}:{secret}@bucket{rest}",
        f"s3://bucket/a?access_key={user}&secret_key={secret}",
    ):
        with pytest.raises(AddressError) as caught:
            parse_address(uri)
        for text in (str(caught.value), hide_credentials(f"results: '{uri}': no (from {uri})")):
            assert secret not in text
            assert user.replace("/", "") not in text


@settings(deadline=None, max_examples=300)
@given(
    st.text(max_size=12), st.text(max_size=12), st.sampled_from(["s3://b/", "s3://b", "s3:", ""])
)
def test_any_accepted_address_has_one_normal_form(first, second, start):
    try:
        found = parse_address(f"{start}{first}/{second}")
    except AddressError:
        return
    assert parse_address(str(found)) == found
    if isinstance(found, S3Address):
        assert not {"", ".", ".."} & set(found.key.split("/")) or not found.key


def test_long_text_is_searched_in_linear_time():
    # Without a bound on names of schemes each of these takes minutes.
    for text in ("x" * 200_000, "a:/" + ":" * 50_000, "s3:" * 50_000):
        assert hide_credentials(text) == text
    assert hide_credentials("x" * 99 + "-https://me:word@h/a") == "x" * 99 + "-https://***@h/a"
