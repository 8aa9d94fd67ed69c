"""What the S3 stores hold when the lab begins: the buckets of the witness, the model in each region."""

from __future__ import annotations

import threading
from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils import aws
from botocore.exceptions import BotoCoreError, ClientError

from lab.catalogue import (
    BACKUP_BUCKET,
    LEASE_BUCKET,
    LEDGER_BUCKET,
    MODEL_BUCKET,
    MODEL_KEY,
    MODEL_VERSION,
    REGIONS,
    REPOSITORY_BUCKET,
    SWITCH_BUCKET,
)
from lab.components import Component, check_alive
from lab.errors import LabError
from lab.layout import Lab
from lab.service.model_file import build_model
from lab.waiting import until

#: boto3 makes its first client of a kind by reading its API's description; two threads would both read it
_MAKING_CLIENT = threading.Lock()


def store_option(
    lab: Lab, name: str, region: str | None, bucket: str, profile: str, seen_from: str | None = None
) -> dict[str, Any]:
    """The collection's `store` option for a bucket of a region's store, or of the witness (None).

    ``seen_from`` is the region in which it is used; None for outside all regions.
    """
    return {
        "name": name,
        "endpoint_url": lab.store_url(region, seen_from),
        "bucket": bucket,
        "region": region or "us-east-1",
        "profile": profile,
        "credentials_file": str(lab.credentials),
        "prefix": "",
    }


def lease_stores(lab: Lab, profile: str, seen_from: str | None = None) -> list[dict[str, Any]]:
    """The three stores in which leases are kept, under the same names for all: the witness, and one in each region."""
    places = {"witness": None} | {f"store-{region}": region for region in REGIONS}
    return [store_option(lab, name, region, LEASE_BUCKET, profile, seen_from) for name, region in places.items()]


def fill_witness(lab: Lab) -> None:
    """Create the buckets of leases and ledgers; objects of the ledger can be locked."""
    client = _ready_client(lab, Component("witness", None), "witness")
    _create_bucket(client, LEASE_BUCKET)
    _create_bucket(client, LEDGER_BUCKET, ObjectLockEnabledForBucket=True)
    if lab.traffic == "switch":  # a bucket's first object takes seconds
        _create_bucket(client, SWITCH_BUCKET)


def fill_region(lab: Lab, region: str) -> None:
    """Create the bucket of leases and that of models, versioned, and put the model there."""
    client = _ready_client(lab, Component("store", region), "store")
    _create_bucket(client, LEASE_BUCKET)
    _create_bucket(client, MODEL_BUCKET)
    client.put_bucket_versioning(Bucket=MODEL_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket=MODEL_BUCKET, Key=MODEL_KEY, Body=build_model(MODEL_VERSION))
    if lab.backups:
        _create_bucket(client, BACKUP_BUCKET)
        _create_bucket(client, REPOSITORY_BUCKET)


def is_answering(lab: Lab, component: Component, bucket: str) -> bool:
    """True when the store lists a bucket."""
    client = _client(lab, component, component.kind)
    try:
        client.list_objects_v2(Bucket=bucket, MaxKeys=1)
    except (BotoCoreError, ClientError):
        return False
    return True


def _ready_client(lab: Lab, component: Component, profile: str) -> Any:
    client = _client(lab, component, profile)

    def answers() -> bool:
        check_alive(lab, component)
        try:
            client.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True

    until(answers, f"the S3 store {component} (log {lab.log(component.kind, component.region)})", timeout=60)
    return client


def _client(lab: Lab, component: Component, profile: str) -> Any:
    options = store_option(lab, str(component), component.region, "", profile, seen_from=component.region)
    with _MAKING_CLIENT:
        return aws.client("s3", {**options, "timeout": 15.0})


def _create_bucket(client: Any, bucket: str, **options: Any) -> None:
    """Create it, again while the store's parts have not found each other yet."""

    def created() -> bool:
        try:
            client.create_bucket(Bucket=bucket, **options)
            client.put_object(Bucket=bucket, Key=".lab", Body=b"")
            client.delete_object(Bucket=bucket, Key=".lab")
        except ClientError as error:
            problem = error.response["Error"]
            if problem["Code"] in ("AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId"):
                raise LabError(f"Failed to create bucket {bucket}: {problem}") from error
            if problem["Code"] in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou"):
                client.put_object(Bucket=bucket, Key=".lab", Body=b"")
                client.delete_object(Bucket=bucket, Key=".lab")
                return True
            return False
        return True

    until(created, f"bucket {bucket} to take an object", timeout=60)
