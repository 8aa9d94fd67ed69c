"""Turns a container's specification into a process: image, files, environment, command."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.node.config import Config
from lab.node.environment import ContainerConfigError, References, container_environment, expand
from lab.node.images import Image, ImageStore, PullError
from lab.node.processes import MARKER, Process
from lab.node.references import InvalidImageName, Reference

Document = dict[str, Any]
TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class LaunchError(Exception):
    """A container cannot be started; ``reason`` is the word that the pod's status shows."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Services:
    """What all pods of a node share."""

    config: Config
    images: ImageStore
    references: References


@dataclass(frozen=True)
class Launch:
    """Everything needed to start a container's process, any number of times."""

    image: str
    command: list[str]
    env: dict[str, str]
    directory: Path
    log: Path

    def start(self) -> Process:
        """Start it; LaunchError when the operating system refuses."""
        try:
            return Process(self.command, self.env, self.directory, self.log)
        except (OSError, ValueError) as error:
            raise LaunchError("StartError", f"Failed to start {self.command[0]}: {error}") from error

    async def execute(self, command: list[str]) -> int:
        """Run another command beside it, to its end; its exit status."""
        process = Process(command, self.env, self.directory, None)
        try:
            return await asyncio.shield(process.exit_code)
        finally:
            process.kill()


async def prepare(services: Services, pod: Document, spec: Document, address: str) -> Launch:
    """Everything that comes before the process; LaunchError says what stands in the way."""
    try:
        _refuse_what_is_not_offered(pod, spec)
        image = await _image(services, spec)
        addresses = {"podIP": address, "hostIP": services.config.address}
        variables = await container_environment(pod, spec, services.references, addresses)
    except ContainerConfigError as error:
        raise LaunchError("CreateContainerConfigError", str(error)) from error
    root = container_directory(services.config, pod, spec["name"])
    try:
        await asyncio.to_thread(_copy, image.root, root)
    except (OSError, shutil.Error) as error:
        raise LaunchError("CreateContainerError", f"Failed to copy the image to {root}: {error}") from error
    directory = _inside(root, spec.get("workingDir") or image.config.get("WorkingDir") or "/")
    if not directory.is_dir():
        raise LaunchError("CreateContainerError", f"the image has no directory {directory.relative_to(root)}")
    env = _base_environment(services.config, pod, image, root) | variables
    return Launch(image.identifier, _command(spec, image, variables, root), env, directory, _log(services, pod, spec))


def container_directory(config: Config, pod: Document, name: str = "") -> Path:
    """Where a container's files are; with no name, those of the whole pod."""
    return config.directory / "containers" / pod["metadata"]["uid"] / name


async def _image(services: Services, spec: Document) -> Image:
    try:
        return await services.images.get(Reference.parse(spec["image"]), spec.get("imagePullPolicy") or "IfNotPresent")
    except InvalidImageName as error:
        raise LaunchError("InvalidImageName", str(error)) from error
    except PullError as error:
        never = spec.get("imagePullPolicy") == "Never"
        reason = "ErrImageNeverPull" if never else "ErrImagePull"
        raise LaunchError(reason, f"Failed to pull {spec['image']}: {error}") from error


def _refuse_what_is_not_offered(pod: Document, spec: Document) -> None:
    """Containers are processes here, with the host's files and the agent's user: say so rather than pretend."""
    mounts = [m["mountPath"] for m in spec.get("volumeMounts") or [] if m["mountPath"] != TOKEN_MOUNT]
    if mounts:
        raise ContainerConfigError(f"this node offers no volumes: {', '.join(mounts)}")
    if (spec.get("lifecycle") or {}).get("postStart"):
        raise ContainerConfigError("this node offers no postStart hook")
    security = (pod["spec"].get("securityContext") or {}) | (spec.get("securityContext") or {})
    if security.get("runAsUser") not in {None, os.geteuid()}:
        raise ContainerConfigError(f"this node runs containers as user {os.geteuid()}, not {security['runAsUser']}")
    if security.get("runAsNonRoot") and os.geteuid() == 0:
        raise ContainerConfigError("container has runAsNonRoot and this node runs containers as root")


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, symlinks=True)


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _base_environment(config: Config, pod: Document, image: Image, root: Path) -> dict[str, str]:
    env = image.environment
    own = [str(_inside(root, entry)) for entry in env.pop("PATH", "").split(":") if entry.startswith("/")]
    path = [str(config.python.parent), *(entry for entry in own if Path(entry).is_dir()), os.defpath]
    return {
        "PATH": ":".join(path),
        "HOME": str(root),
        "HOSTNAME": pod["metadata"]["name"],
        "LANG": "C.UTF-8",
        **env,
        MARKER: str(config.directory),
    }


def _command(spec: Document, image: Image, variables: Mapping[str, str], root: Path) -> list[str]:
    """The image's entry point and arguments, or the pod's: a pod's command drops the image's arguments too."""
    if spec.get("command"):
        words = [*spec["command"], *(spec.get("args") or [])]
    else:
        words = [*(image.config.get("Entrypoint") or []), *(spec.get("args") or image.config.get("Cmd") or [])]
    if not words:
        raise LaunchError("CreateContainerError", "neither the image nor the pod names a command")
    command = [expand(word, variables) for word in words]
    if command[0].startswith("/") and _inside(root, command[0]).exists():
        command[0] = str(_inside(root, command[0]))
    return command


def _log(services: Services, pod: Document, spec: Document) -> Path:
    metadata = pod["metadata"]
    directory = services.config.directory / "pods" / f"{metadata['namespace']}_{metadata['name']}"
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{spec['name']}.log"
