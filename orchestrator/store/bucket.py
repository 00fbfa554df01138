"""Opens a bucket of an S3-compatible store, and explains what the store refuses."""

from __future__ import annotations

import os
import re
from typing import Any

import pyarrow as pa
from pyarrow import fs

from orchestrator.address import AddressError, S3Address, hide_credentials, parse_endpoint
from orchestrator.safe_text import mask
from orchestrator.store.storage import StoreError, StoreHiccupError

CONNECT_SECONDS = 5.0
SILENT_SECONDS = 15.0
"""A request during which nothing moves for so long has failed."""
NUM_REQUESTS = 3
"""How often the library repeats one failed request within a second or two; what still fails then
is asked for again as a whole, see `orchestrator.store.retry`."""

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")

_HICCUP = re.compile(
    "NETWORK_CONNECTION|SLOW_DOWN|SlowDown|THROTTL|Throttl|INTERNAL_FAILURE|InternalError"
    "|SERVICE_UNAVAILABLE|ServiceUnavailable|REQUEST_TIMEOUT|RequestTimeout|OperationAborted"
    # The library repeated the end of an upload whose first answer was lost.
    "|NO_SUCH_UPLOAD|NoSuchUpload"
    r"|HTTP status (?:408|429|500|502|503|504)"
)
_CREDENTIALS = (
    "give credentials that may list, read, write and delete there (AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, for temporary ones AWS_SESSION_TOKEN too, or AWS_PROFILE)"
)
_ENDPOINT = "the endpoint (AWS_ENDPOINT_URL, or ?endpoint_override=HOST:PORT&scheme=http)"
_REGION = "name the region of the bucket (AWS_DEFAULT_REGION, or ?region=NAME)"
_REMEDIES = (
    (r"TOO_SKEWED|TooSkewed", "set the clock of this machine"),
    (r"ExpiredToken|EXPIRED_TOKEN", f"the session is over: {_CREDENTIALS}"),
    (r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocation|HTTP status 301", _REGION),
    (
        r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|UNRECOGNIZED_CLIENT|HTTP status 40[13]",
        _CREDENTIALS,
    ),
    (r"NO_SUCH_BUCKET|there is no bucket", "create the bucket or correct its name"),
    (r"HTTP status 400", f"{_REGION}, and {_CREDENTIALS}"),
    (r"HTTP status 507|StorageFull|QuotaExceeded", "free some space there or have it enlarged"),
    (r"curlCode: 6\b", f"correct the host in {_ENDPOINT}"),
    (r"curlCode: 7\b", f"nothing listens there: start the store or correct {_ENDPOINT}"),
    (r"curlCode: (35|60|77)\b", f"the certificate is refused: correct the scheme of {_ENDPOINT}"
     ", or give the authority's certificate (?tls_ca_file_path=FILE)"),
    (r"NETWORK_CONNECTION", f"see whether the store answers and correct {_ENDPOINT}"),
    (_HICCUP.pattern, "the store is disturbed or asked too much; wait"),
)  # fmt: skip
_ANY = f"check credentials, bucket, region and {_ENDPOINT}"


def is_gone(error: OSError) -> bool:
    """Says whether a request failed because the object is not there (any more)."""
    return re.search("NO_SUCH_KEY|NoSuchKey|RESOURCE_NOT_FOUND", str(error)) is not None


def open_bucket(address: S3Address) -> tuple[fs.S3FileSystem, str]:
    """Opens a bucket.

    An endpoint can also come from `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, a region from
    `AWS_REGION` or `AWS_DEFAULT_REGION`; without either, the store is asked where the bucket is.

    Returns:
        The file system, and bucket and prefix within it.

    Raises:
        StoreError: The endpoint of the environment is none, or the bucket's region cannot be
            found out.
    """
    given = dict(address.options)
    if "endpoint_override" in given:
        given |= parse_endpoint(given["endpoint_override"])
    options: dict[str, Any] = {**_endpoint(), **given}
    region = next((os.environ[name] for name in _REGIONS if os.environ.get(name)), None)
    try:
        if region and "region" not in options:
            options["region"] = region
        elif "region" not in options and "endpoint_override" not in options:
            options["region"] = fs.resolve_s3_region(address.bucket)
        files = fs.S3FileSystem(
            connect_timeout=CONNECT_SECONDS,
            request_timeout=SILENT_SECONDS,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=NUM_REQUESTS),
            # Up to 5 MB travel in a single request; without this every put would be several.
            allow_delayed_open=True,
            **options,
        )
    except (OSError, ValueError, pa.ArrowException) as error:
        # The cause may repeat secrets, so it is not chained.
        raise explain(address.place, error) from None
    return files, f"{address.bucket}/{address.key}".rstrip("/")


def explain(place: str, error: BaseException) -> StoreError:
    """Returns what to tell the user of an error: the place, the reason, the remedy, no secret."""
    reason = " ".join(str(error).split())
    # The remedy first: a short secret may hide the words that tell what happened.
    remedy = next((text for sign, text in _REMEDIES if re.search(sign, reason)), _ANY)
    kind = StoreHiccupError if _HICCUP.search(reason) else StoreError
    return kind(f"{place}: {mask(reason, place)}; {remedy}; then run the same command again")


def _endpoint() -> dict[str, str]:
    name = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    if name is None:
        return {}
    try:
        return parse_endpoint(os.environ[name])
    except AddressError as error:
        msg = f"{name}: {hide_credentials(os.environ[name])}: {error}"
        raise StoreError(msg) from None
