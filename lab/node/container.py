"""One container of a pod: started, probed, started again, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lab.node.backoff import Backoff
from lab.node.launch import Launch, LaunchError, Services, prepare
from lab.node.probes import ActionFailed, Target, perform, watch
from lab.node.processes import Process

log = logging.getLogger(__name__)
Document = dict[str, Any]
CONFIG_RETRY_SECONDS = 1.0
KILLED = 137
START_FAILED = 128


def timestamp() -> str:
    """Now, as the Kubernetes API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Container:
    """Runs one container until its restart policy, or ``stop``, ends it. The attributes are what its status shows."""

    def __init__(
        self, services: Services, pod: Document, spec: Document, address: str, policy: str, changed: Callable[[], None]
    ) -> None:
        self.spec = spec
        self.state: Document = {"waiting": {"reason": "ContainerCreating"}}
        self.last_state: Document = {}
        self.ready = False
        self.started = False
        self.restarts = 0
        self.image_id = ""
        self.container_id = ""
        self.finished: int | None = None
        self._services, self._pod, self._address = services, pod, address
        self._policy = policy
        self._changed = changed
        config = services.config
        self._crashes = Backoff(config.backoff_initial_seconds, config.backoff_maximum_seconds)
        self._pulls = Backoff(config.backoff_initial_seconds, config.backoff_maximum_seconds, first_is_free=False)
        self._task: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._launch: Launch | None = None
        self._hook: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def label(self) -> str:
        """The container's full name, for people."""
        metadata = self._pod["metadata"]
        return f"{metadata['namespace']}/{metadata['name']}/{self.spec['name']}"

    def adopt(self, status: Document) -> None:
        """Go on from what an earlier agent reported: its process died with it."""
        before = status.get("state") or {}
        self.last_state = status.get("lastState") or {}
        self.restarts = int(status.get("restartCount") or 0)
        if "running" in before or "terminated" in before:
            ended = before.get("terminated") or _terminated(
                KILLED, before["running"]["startedAt"], "the node restarted"
            )
            self.last_state = {"terminated": ended}
            self.container_id = status.get("containerID") or ""
            if self._wants_restart(ended["exitCode"]):
                self.restarts += 1
            else:
                self.state, self.finished = {"terminated": ended}, ended["exitCode"]

    async def run(self) -> None:
        """Return when the container has ended for good."""
        if self.finished is not None:
            return
        self._task = asyncio.current_task()
        while not self._stopping:
            try:
                code, seconds = await self._run_once()
            except LaunchError as error:
                if not await self._wait_after(error):
                    continue
                code, seconds = START_FAILED, 0.0
            if not self._wants_restart(code):
                self.finished = code
            self._changed()
            if self._stopping or self.finished is not None:
                return
            await self._back_off(seconds)

    async def stop(self, grace_seconds: float) -> None:
        """End the container, by force once the grace is over. May be called again with a shorter grace."""
        first, self._stopping = not self._stopping, True
        if self._process is None:
            if self._task is not None:
                self._task.cancel()
        elif first and (hook := (self.spec.get("lifecycle") or {}).get("preStop")):
            self._hook = asyncio.create_task(self._stop_after_hook(hook, self._process, grace_seconds))
        elif self._hook is None or self._hook.done():
            self._process.stop(grace_seconds)
        else:
            asyncio.get_running_loop().call_later(grace_seconds, self._process.kill)
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run_once(self) -> tuple[int, float]:
        """One life of the process: its exit status and its length in seconds. LaunchError when there was none."""
        launch = await prepare(self._services, self._pod, self.spec, self._address)
        self.image_id = launch.image
        began, started_at = time.monotonic(), timestamp()
        self._process, self._launch = process, _ = launch.start(), launch
        self.container_id = f"process://{process.pid}-{time.monotonic_ns()}"
        self.state = {"running": {"startedAt": started_at}}
        log.info("%s started, process %d, image %s", self.label, process.pid, launch.image)
        health = asyncio.create_task(self._watch_health(process, launch))
        self._changed()
        try:
            code = await asyncio.shield(process.exit_code)
        finally:
            health.cancel()
            self._process = None
        self.ready = self.started = False
        self.state = {"terminated": {**_terminated(code, started_at), "containerID": self.container_id}}
        log.log(logging.INFO if self._stopping else logging.WARNING, "%s ended with status %d", self.label, code)
        return code, time.monotonic() - began

    async def _wait_after(self, error: LaunchError) -> bool:
        """Show why the container does not start and wait. Whether it counts as a crash of the container."""
        message = str(error)
        log.error("%s: %s: %s", self.label, error.reason, message)
        if error.reason == "StartError":
            self.state = {"terminated": {**_terminated(START_FAILED, timestamp(), message), "reason": "StartError"}}
            return True
        self.state = {"waiting": {"reason": error.reason, "message": message}}
        self._changed()
        if error.reason == "ErrImagePull":
            await asyncio.sleep(CONFIG_RETRY_SECONDS)
            self.state = {"waiting": {"reason": "ImagePullBackOff", "message": f"Back-off pulling image: {message}"}}
            self._changed()
            await asyncio.sleep(self._pulls.next())
        else:
            await asyncio.sleep(CONFIG_RETRY_SECONDS)
        return False

    async def _back_off(self, seconds: float) -> None:
        self._crashes.note_run(seconds)
        delay = self._crashes.next()
        if delay:
            self.last_state = {"terminated": self.state["terminated"]}
            message = f"back-off {delay:g}s restarting failed container={self.spec['name']}"
            self.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
            self._changed()
            await asyncio.sleep(delay)
        else:
            self.last_state = {"terminated": self.state["terminated"]}
        self.restarts += 1

    def _wants_restart(self, code: int) -> bool:
        return self._policy == "Always" or (self._policy == "OnFailure" and code != 0)

    async def _watch_health(self, process: Process, launch: Launch) -> None:
        """Run the probes for one life of the process: the others wait for the startup probe."""
        ports = {port["name"]: port["containerPort"] for port in self.spec.get("ports") or [] if port.get("name")}
        target = Target(self._address, ports, launch.execute)
        if probe := self.spec.get("startupProbe"):
            await self._wait_for_start(probe, target, process)
        self.started = True
        self.ready = "readinessProbe" not in self.spec
        self._changed()
        async with asyncio.TaskGroup() as probes:
            if probe := self.spec.get("readinessProbe"):
                probes.create_task(watch(probe, target, False, self._set_ready))
            if probe := self.spec.get("livenessProbe"):
                probes.create_task(watch(probe, target, True, self._killer("liveness", probe, process)))

    async def _wait_for_start(self, probe: Document, target: Target, process: Process) -> None:
        passed_once = asyncio.Event()
        kill = self._killer("startup", probe, process)

        async def changed(passed: bool, problem: str) -> None:
            if passed:
                passed_once.set()
            else:
                await kill(passed, problem)

        probing = asyncio.create_task(watch(probe, target, None, changed))
        try:
            await passed_once.wait()
        finally:
            probing.cancel()

    async def _set_ready(self, passed: bool, problem: str) -> None:
        log.info("%s is %s", self.label, "ready" if passed else f"not ready: {problem}")
        self.ready = passed
        self._changed()

    def _killer(self, name: str, probe: Document, process: Process) -> Callable[[bool, str], Any]:
        async def changed(passed: bool, problem: str) -> None:
            if not passed:
                log.warning("%s failed its %s probe and is restarted: %s", self.label, name, problem)
                grace = probe.get("terminationGracePeriodSeconds") or self._grace()
                process.stop(float(grace))

        return changed

    def _grace(self) -> float:
        seconds = self._pod["spec"].get("terminationGracePeriodSeconds")
        return 30.0 if seconds is None else float(seconds)

    async def _stop_after_hook(self, hook: Document, process: Process, grace_seconds: float) -> None:
        """The hook's time is part of the grace."""
        assert self._launch is not None
        began = time.monotonic()
        with contextlib.suppress(ActionFailed):
            await perform(hook, Target(self._address, {}, self._launch.execute), grace_seconds)
        process.stop(max(grace_seconds - (time.monotonic() - began), 0.0))


def _terminated(code: int, started_at: str, message: str = "") -> Document:
    reason = "Completed" if code == 0 else "Error"
    document = {"exitCode": code, "reason": reason, "startedAt": started_at, "finishedAt": timestamp()}
    return {**document, "message": message} if message else document
