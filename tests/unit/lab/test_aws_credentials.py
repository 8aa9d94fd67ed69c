"""Signatures: what is not signed with a known key is refused, for Route 53 and for moto's services alike."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from lab.aws.server import LabAws
from tests.unit.lab.aws_support import client, running_aws


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabAws]:
    with running_aws(tmp_path_factory.mktemp("aws")) as running:
        yield running


CALLS = [
    ("route53", "list_hosted_zones"),
    ("sts", "get_caller_identity"),
    ("s3", "list_buckets"),
    ("ssm", "describe_parameters"),
]


@pytest.mark.parametrize(("service", "call"), CALLS)
def test_a_known_key_is_accepted(aws: LabAws, service: str, call: str) -> None:
    assert getattr(client(aws, service), call)()["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize(("service", "call"), CALLS)
def test_an_unknown_key_is_refused(aws: LabAws, service: str, call: str) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(client(aws, service, key="AKIANOBODY"), call)()
    assert caught.value.response["Error"]["Code"] == "InvalidClientTokenId"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(("service", "call"), CALLS)
def test_a_wrong_secret_is_refused(aws: LabAws, service: str, call: str) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(client(aws, service, secret="wrong"), call)()
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_an_unsigned_request_is_refused(aws: LabAws) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{aws.endpoint_url}/2013-04-01/hostedzone")
    assert caught.value.code == 403
    assert b"MissingAuthenticationToken" in caught.value.read()


def test_signed_bodies_and_odd_paths_pass(aws: LabAws, tmp_path: Path) -> None:
    s3 = client(aws, "s3")
    s3.create_bucket(Bucket="evidence")
    s3.put_object(Bucket="evidence", Key="a b/ü+c.txt", Body=b"x" * 100_000)
    assert s3.get_object(Bucket="evidence", Key="a b/ü+c.txt")["Body"].read() == b"x" * 100_000
