"""Checks that a request is signed (Signature Version 4) with a key the lab knows."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from botocore.auth import SIGV4_TIMESTAMP, S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lab.aws.errors import ApiError

ALLOWED_SKEW = timedelta(minutes=5)
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,"
    r"\s*SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})$"
)


@dataclass(frozen=True)
class SignedRequest:
    """The parts of an HTTP request that a signature covers; ``raw_path`` as it came, still escaped."""

    method: str
    host: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Caller:
    """Who signed, and for which service and region."""

    access_key: str
    service: str
    region: str


class Verifier:
    """Verifies signatures against known access keys."""

    def __init__(self, access_keys: Mapping[str, str]) -> None:
        self._access_keys = dict(access_keys)

    def verify(self, request: SignedRequest) -> Caller:
        """The caller; raises ApiError (403) for a missing, unknown, stale or wrong signature."""
        presigned = parse_qs(request.query).get("X-Amz-Credential")
        if presigned:
            return self._presigned(presigned[0])
        header = request.headers.get("Authorization", "")
        if not header:
            raise ApiError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
        match = AUTHORIZATION.match(header)
        if match is None:
            raise ApiError("IncompleteSignature", "The Authorization header is no Signature Version 4 header.", 403)
        secret = self._secret(match["key"])
        timestamp = self._fresh_timestamp(request)
        self._check_payload_hash(request)
        expected = _signature(request, match, secret, timestamp)
        if not hmac.compare_digest(expected, match["signature"]):
            raise ApiError(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method.",
                403,
            )
        return Caller(match["key"], match["service"], match["region"])

    def _presigned(self, credential: str) -> Caller:
        """A presigned URL: its key has to exist; its signature is left to the service (moto does not check it)."""
        key, _, region, service, _ = credential.split("/")
        self._secret(key)
        return Caller(key, service, region)

    def _secret(self, access_key: str) -> str:
        try:
            return self._access_keys[access_key]
        except KeyError:
            message = "The security token included in the request is invalid."
            raise ApiError("InvalidClientTokenId", message, 403) from None

    @staticmethod
    def _fresh_timestamp(request: SignedRequest) -> str:
        timestamp = request.headers.get("X-Amz-Date", "")
        try:
            signed = datetime.strptime(timestamp, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
        except ValueError:
            raise ApiError("IncompleteSignature", "The request has no valid X-Amz-Date header.", 403) from None
        if abs(datetime.now(UTC) - signed) > ALLOWED_SKEW:
            raise ApiError("SignatureDoesNotMatch", f"Signature expired or not yet valid: {timestamp}", 403)
        return timestamp

    @staticmethod
    def _check_payload_hash(request: SignedRequest) -> None:
        declared = request.headers.get("X-Amz-Content-Sha256", "")
        if re.fullmatch(r"[0-9a-f]{64}", declared) and declared != hashlib.sha256(request.body).hexdigest():
            message = "The provided 'x-amz-content-sha256' header does not match what was computed."
            raise ApiError("XAmzContentSHA256Mismatch", message, 400)


def _signature(request: SignedRequest, claimed: re.Match[str], secret: str, timestamp: str) -> str:
    signer_class = S3SigV4Auth if claimed["service"] == "s3" else SigV4Auth
    signer = signer_class(Credentials(claimed["key"], secret), claimed["service"], claimed["region"])
    url = f"http://{request.host}{request.raw_path}" + (f"?{request.query}" if request.query else "")
    rebuilt = AWSRequest(method=request.method, url=url, data=request.body)
    for name in claimed["headers"].split(";"):
        rebuilt.headers[name] = request.headers.get(name, "")
    if "x-amz-content-sha256" not in claimed["headers"] and "X-Amz-Content-Sha256" in request.headers:
        rebuilt.headers["X-Amz-Content-SHA256"] = request.headers["X-Amz-Content-Sha256"]
    rebuilt.context["timestamp"] = timestamp
    canonical = signer.canonical_request(rebuilt)
    return signer.signature(signer.string_to_sign(rebuilt, canonical), rebuilt)
