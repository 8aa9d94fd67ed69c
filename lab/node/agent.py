"""The node: which pods run here, and their beginning and end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from lab.node.addresses import AddressesExhausted, AddressPool
from lab.node.cluster import Cluster, connect
from lab.node.config import Config
from lab.node.environment import References
from lab.node.images import ImageStore
from lab.node.informer import Informer
from lab.node.launch import Services
from lab.node.pod import Pod
from lab.node.registration import Registration
from lab.node.reporter import Reporter

log = logging.getLogger(__name__)
Document = dict[str, Any]
ENDED = {"Succeeded", "Failed"}
STOP_GRACE_SECONDS = 1.5
REPORT_SECONDS = 0.7


class Agent:
    """Runs the pods bound to one node. To be used on the event loop of the main thread."""

    def __init__(self, config: Config) -> None:
        """KubeconfigError when the cluster cannot be known."""
        api_client = connect(config.kubeconfig, config.context)
        self._config = config
        self._cluster = Cluster(api_client)
        images = ImageStore(config.directory / "images", config.mirrors)
        self._services = Services(config, images, References(self._cluster))
        self._registration = Registration(self._cluster, config)
        self._addresses = AddressPool(config.pod_network, config.pod_address_start)
        self._pods: dict[str, Pod] = {}
        self._waiting: dict[str, Document] = {}
        self._removals: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping`` is set, then end every container."""
        loop = asyncio.get_running_loop()
        registration = asyncio.create_task(self._registration.run())
        Informer(
            f"pods of node {self._config.node_name}",
            self._cluster.core.list_pod_for_all_namespaces,
            lambda pod: loop.call_soon_threadsafe(self._applied, pod),
            lambda pod: loop.call_soon_threadsafe(self._deleted, pod),
            field_selector=f"spec.nodeName={self._config.node_name}",
        ).start()
        await stopping.wait()
        self._stopping = True
        registration.cancel()
        await self._stop()

    def _applied(self, pod: Document) -> None:
        uid = pod["metadata"]["uid"]
        self._waiting.pop(uid, None)
        if self._stopping:
            return
        if uid in self._pods:
            self._pods[uid].update(pod)
        elif pod["metadata"].get("deletionTimestamp"):
            self._remove(pod)
        elif not self._is_ours(pod):
            metadata = pod["metadata"]
            log.warning("pod %s/%s is not for this node and waits", metadata["namespace"], metadata["name"])
        elif (pod.get("status") or {}).get("phase") not in ENDED:
            self._begin(pod)

    def _is_ours(self, pod: Document) -> bool:
        namespaces = self._config.namespaces
        return namespaces is None or pod["metadata"]["namespace"] in namespaces

    def _deleted(self, pod: Document) -> None:
        uid = pod["metadata"]["uid"]
        self._waiting.pop(uid, None)
        if removal := self._removals.pop(uid, None):
            removal.cancel()
        if uid in self._pods:
            self._pods[uid].removed()

    def _begin(self, document: Document) -> None:
        uid = document["metadata"]["uid"]
        try:
            address = self._addresses.take((document.get("status") or {}).get("podIP"))
        except AddressesExhausted as error:
            log.error("Failed to start pod %s, it waits: %s", document["metadata"]["name"], error)
            self._waiting[uid] = document
            return
        pod = Pod(self._services, self._cluster, document, address)
        self._pods[uid] = pod
        pod.start()
        self._keep(asyncio.create_task(self._forget_when_done(uid, pod)))

    async def _forget_when_done(self, uid: str, pod: Pod) -> None:
        await pod.done.wait()
        del self._pods[uid]
        self._addresses.give_back(pod.address)
        if self._waiting and not self._stopping:
            self._begin(self._waiting.pop(next(iter(self._waiting))))

    def _remove(self, document: Document) -> None:
        """A pod that is to go and of which nothing runs here: say so."""
        uid = document["metadata"]["uid"]
        if uid not in self._removals:
            reporter = Reporter(self._cluster, document, dict)
            self._removals[uid] = asyncio.create_task(reporter.remove())

    async def _stop(self) -> None:
        pods = list(self._pods.values())
        goodbye = asyncio.create_task(self._registration.say_goodbye())
        await asyncio.gather(*(pod.stop(STOP_GRACE_SECONDS) for pod in pods))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_SECONDS):
                await asyncio.gather(goodbye, *(pod.flush() for pod in pods))

    def _keep(self, task: asyncio.Task[None]) -> None:
        """Hold a task until it is done: the event loop alone does not."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
