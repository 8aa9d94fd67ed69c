"""The lab's AWS process put together: HTTP server, name server, health checkers over one state."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import dns.rdatatype
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from lab.aws.app import Application
from lab.aws.arc import RecoveryControl
from lab.aws.config import Config
from lab.aws.faults import Faults
from lab.aws.health import is_healthy
from lab.aws.health_api import HealthApi
from lab.aws.limits import RequestLimits
from lab.aws.monitor import Monitor
from lab.aws.record_api import RecordApi
from lab.aws.signature import Verifier
from lab.aws.store import Store
from lab.aws.wire import Route53Wire
from lab.aws.zone_api import ZoneApi
from lab.dns.answers import Answerer
from lab.dns.authority import Authority
from lab.dns.server import DnsServer

log = logging.getLogger(__name__)


class LabAws:
    """Runs in threads of this process; ports given as 0 are read back from ``port`` and ``dns_port``."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.faults = Faults()
        self.store = Store(config.state_file, self._insync_seconds)
        for zone in config.zones:
            self.store.ensure_zone(zone)
        self._verifier = Verifier(config.access_keys)
        arc_file = config.state_file.with_name(f"{config.state_file.stem}-arc.json")
        self.recovery = RecoveryControl(config.recovery, arc_file, self._verifier, self.faults, self._checks_of)
        self._answerer = Answerer(self.store.published_zones, self.check_is_healthy)
        self._monitor = Monitor(self.store, config.health_interval_scale, self._own_address)
        self._dns = DnsServer(config.dns_host, config.dns_port, Authority(self._answerer).respond)
        self._http = make_server(
            config.host, config.port, self._application(), threaded=True, request_handler=MotoRequestHandler
        )
        self._http_thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True, name="aws-http"
        )
        self.port = int(self._http.server_port)
        self.dns_port = self._dns.port

    @property
    def endpoint_url(self) -> str:
        """What a client takes as its endpoint URL."""
        return f"http://{self._config.host}:{self.port}"

    def start(self) -> None:
        """Begin to serve."""
        self._monitor.start()
        self._dns.start()
        self.recovery.start()
        self._http_thread.start()
        log.info("aws listening on %s, dns on %s:%d (udp, tcp)", self.endpoint_url, self._dns.host, self.dns_port)

    def stop(self) -> None:
        """Stop serving and free the ports; the state is in its file."""
        self._http.shutdown()
        self._http.server_close()
        self._dns.stop()
        self.recovery.stop()
        self._monitor.stop()

    def _application(self) -> Application:
        providers = (
            ZoneApi(self.store),
            RecordApi(self.store, self._answerer, lambda: self._config.processing_seconds),
            HealthApi(self.store, self._monitor, self.recovery.store.has_control),
        )
        limits = RequestLimits(self._config.throttle)
        return Application(
            verifier=self._verifier,
            faults=self.faults,
            route53=Route53Wire(providers, limits.admit),
            moto=DomainDispatcherApplication(create_backend_app),
            status=self._status,
            recovery=self.recovery,
        )

    def _insync_seconds(self) -> float:
        override = self.faults.of("route53").insync_seconds
        return self._config.insync_seconds if override is None else override

    def check_is_healthy(self, check_id: str) -> bool:
        """A health check's verdict, as DNS acts on it."""
        with self.store.read() as state:
            return is_healthy(state, check_id, self.recovery.store.is_on)

    def _checks_of(self, control_arn: str) -> list[str]:
        with self.store.read() as state:
            checks = state.health_checks.values()
            return [check.id for check in checks if check.config.get("RoutingControlArn") == control_arn]

    def _own_address(self, name: str) -> str | None:
        addresses = [rrset for rrset in self._answerer.answer(name, "A").answer if rrset.rdtype == dns.rdatatype.A]
        return addresses[-1][0].to_text() if addresses else None

    def _status(self) -> dict[str, Any]:
        """A summary for people and for the lab's own status command."""
        with self.store.read() as state:
            return {
                "time": time.time(),
                "zones": {zone.name: zone.id for zone in state.zones.values()},
                "pending_changes": [change.id for change in state.changes.values() if change.status == "PENDING"],
                "health_checks": {
                    check_id: is_healthy(state, check_id, self.recovery.store.is_on) for check_id in state.health_checks
                },
                "faults": self.faults.to_dict(),
                "recovery_endpoints": {one.region: one.url for one in self.recovery.store.endpoints},
                "dns": {"host": self._dns.host, "port": self.dns_port},
            }
