"""Calls of the Kubernetes API that give plain documents, through the ``kubernetes`` client's transport and credentials.

Documents stay dictionaries: the client's model classes cost more to build than the whole exchange, and a status patch
must hold exactly the fields that are meant.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
STRATEGIC = "application/strategic-merge-patch+json"


class ClusterError(Exception):
    """The API server refused, or did not answer (``status`` 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KubeconfigError(Exception):
    """The kubeconfig cannot be used."""


def connect(kubeconfig: Path, context: str | None) -> client.ApiClient:
    """A client for one cluster; KubeconfigError names the file and what is wrong with it. Sends nothing yet."""
    configuration = client.Configuration()
    try:
        config.load_kube_config(str(kubeconfig), context, configuration, persist_config=False)
    except (config.ConfigException, OSError) as error:
        raise KubeconfigError(f"Failed to read the kubeconfig {kubeconfig}: {error}") from error
    configuration.retries = False
    return client.ApiClient(configuration)


class Cluster:
    """One cluster's API, callable from an event loop; every call ends within a few seconds."""

    def __init__(self, api_client: client.ApiClient) -> None:
        self.core = client.CoreV1Api(api_client)
        self.coordination = client.CoordinationV1Api(api_client)

    async def call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
        """The document that ``method`` of an API class answers; ClusterError when it answers none."""
        return await asyncio.to_thread(call, method, *arguments, **options)

    async def patch(self, method: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Like ``call``, for a strategic merge patch."""
        return await self.call(method, *arguments, _content_type=STRATEGIC)


def call(method: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
    """One exchange; see ``Cluster.call``."""
    timeout = (CONNECT_SECONDS, READ_SECONDS)
    try:
        response = method(*arguments, _preload_content=False, _request_timeout=timeout, **options)
        return json.loads(response.data)
    except client.ApiException as error:
        raise as_cluster_error(error) from error
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise ClusterError(0, f"no answer from the API server: {error}") from error


def as_cluster_error(error: client.ApiException) -> ClusterError:
    """The API server's own words, where it gave any."""
    try:
        message = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = f"{error.status} {error.reason}"
    return ClusterError(int(error.status or 0), str(message))
