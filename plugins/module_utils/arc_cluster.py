# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The data plane of ARC routing controls: whichever of the cluster's endpoints answers.

The endpoints are given as data. Asking the control plane (DescribeCluster, at home in us-west-2) for them would put it
on the recovery path.

PRIVATE to the collection.
"""

from __future__ import annotations

import random
import typing as t
from dataclasses import dataclass

from . import aws
from .clock import Deadline
from .errors import RecoveryError, Refused, Unreachable, failed

try:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
except ImportError:  # aws.client() names the missing library
    BotoCoreError = type("BotoCoreError", (Exception,), {})  # type: ignore[assignment,misc]
    ClientError = type("ClientError", (Exception,), {})  # type: ignore[assignment,misc]
    NoCredentialsError = type("NoCredentialsError", (Exception,), {})  # type: ignore[assignment,misc]
    PartialCredentialsError = type("PartialCredentialsError", (Exception,), {})  # type: ignore[assignment,misc]

SERVICE = "route53-recovery-cluster"
#: answers with which another endpoint is worth asking
ELSEWHERE = ("EndpointTemporarilyUnavailableException", "ThrottlingException", "InternalServerException")
CREDENTIALS = (
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0


class RuleViolated(Refused):
    """A safety rule refused the whole update; `rule` is its ARN as far as the answer names it."""

    def __init__(self, message: str, rule: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True)
class Control:
    """A routing control as an endpoint lists it; `state` is On or Off."""

    arn: str
    name: str
    panel: str
    state: str


@dataclass
class Endpoint:
    """One Regional endpoint and what became of asking it; `answered` is None before the first time."""

    url: str
    region: str
    answered: bool | None = None
    error: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        """Return it as a return value."""
        return {"endpoint": self.url, "region": self.region, "answered": self.answered, "error": self.error}


class Cluster:
    """Calls go to the endpoints in random order, each with its own timeout, round after round up to `timeout` seconds.

    The one that answered last is asked first.
    """

    def __init__(
        self,
        endpoints: t.Sequence[t.Mapping[str, str]],
        options: t.Mapping[str, t.Any],
        endpoint_timeout: float,
        timeout: float,
    ) -> None:
        self.endpoints = [Endpoint(one["endpoint"], one["region"]) for one in endpoints]
        self._order = random.sample(self.endpoints, len(self.endpoints))
        self._options = dict(options)
        self._endpoint_timeout = endpoint_timeout
        self._timeout = timeout
        self._clients: dict[int, t.Any] = {}

    def controls(self, panel: str | None) -> list[Control]:
        """Return the routing controls of a panel, or of the whole cluster, with their states."""
        found: list[Control] = []
        more: dict[str, str] = {"ControlPanelArn": panel} if panel else {}
        while True:
            answer = self._call("read", "the routing controls", "list_routing_controls", **more)
            found += [
                Control(
                    one["RoutingControlArn"],
                    one["RoutingControlName"],
                    one["ControlPanelArn"],
                    one["RoutingControlState"],
                )
                for one in answer["RoutingControls"]
            ]
            if not answer.get("NextToken"):
                return found
            more["NextToken"] = answer["NextToken"]

    def update(self, wanted: t.Mapping[str, str], override: t.Sequence[str], what: str) -> str:
        """Set these controls (ARN to On or Off), all or none, and return the region that did. Raises RuleViolated."""
        entries = [{"RoutingControlArn": arn, "RoutingControlState": state} for arn, state in wanted.items()]
        more: dict[str, t.Any] = {"SafetyRulesToOverride": list(override)} if override else {}
        self._call("set", what, "update_routing_control_states", UpdateRoutingControlStateEntries=entries, **more)
        return self._order[0].region

    def _call(self, verb: str, what: str, operation: str, **arguments: t.Any) -> t.Any:
        deadline, pause = Deadline(self._timeout), FIRST_PAUSE_SECONDS
        while True:
            for endpoint in list(self._order):
                try:
                    answer = getattr(self._client(endpoint), operation)(**arguments)
                except (BotoCoreError, ClientError) as error:
                    endpoint.answered, endpoint.error = False, _short(error)
                    _raise_if_final(verb, what, error)
                    continue
                endpoint.answered, endpoint.error = True, ""
                self._order.remove(endpoint)
                self._order.insert(0, endpoint)
                return answer
            if deadline.expired:
                tried = "; ".join(f"{one.region}: {one.error}" for one in self.endpoints)
                cause = f"none of its {len(self.endpoints)} endpoints answered within {self._timeout:g} s: {tried}"
                raise Unreachable(failed(verb, what, cause, "Check the endpoints and the network to them; run again."))
            deadline.rest(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _client(self, endpoint: Endpoint) -> t.Any:
        key = id(endpoint)
        if key not in self._clients:
            own = {"endpoint_url": endpoint.url, "region": endpoint.region, "timeout": self._endpoint_timeout}
            self._clients[key] = aws.client(SERVICE, {**self._options, **own})
        return self._clients[key]


def _short(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is None:
        return str(error)
    return f"{response['Error'].get('Code', '')}: {response['Error'].get('Message', '')}"


def _raise_if_final(verb: str, what: str, error: Exception) -> None:
    """Raise where every endpoint would say the same; return where another one may do better."""
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        raise RecoveryError(failed(verb, what, error, "Set aws.profile or aws.credentials_file.")) from error
    response = getattr(error, "response", None)
    if response is None:
        return
    code = response["Error"].get("Code", "")
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in ELSEWHERE or status >= 500:
        return
    if code == "ConflictException":
        rule = str(response.get("resourceId") or "")
        raise RuleViolated(failed(verb, what, response["Error"].get("Message", code)), rule) from error
    if code in CREDENTIALS:
        raise RecoveryError(failed(verb, what, _short(error), "Check the credentials and their rights.")) from error
    raise Refused(failed(verb, what, _short(error), "Check the ARNs in the inventory.")) from error
