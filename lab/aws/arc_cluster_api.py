"""The data plane of routing controls (route53-recovery-cluster): read and set their states."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lab.aws.arc_names import ACCOUNT
from lab.aws.arc_rules import check
from lab.aws.arc_state import ArcError, ArcState, ArcStore, RoutingControl, invalid, missing, paged

Params = dict[str, Any]
#: the quota of one UpdateRoutingControlStates
MAX_ENTRIES = 10
STATES = {"On": True, "Off": False}


class ArcClusterApi:
    """Operations by their names in the API, in snake case; ``admit`` may refuse one that changes something."""

    def __init__(self, store: ArcStore, admit: Callable[[], None]) -> None:
        self._store = store
        self._admit = admit

    def list_routing_controls(self, params: Params) -> Params:
        """ListRoutingControls with their states, of one panel or of all."""
        panel = params.get("ControlPanelArn")
        with self._store.read() as state:
            if panel is not None and panel not in state.panels:
                raise missing("ControlPanel", panel)
            found = [one for one in state.controls.values() if panel in (None, one.panel_arn)]
            return paged([_told(state, one) for one in found], params, "RoutingControls")

    def get_routing_control_state(self, params: Params) -> Params:
        """GetRoutingControlState."""
        with self._store.read() as state:
            told = _told(state, _control(state, params["RoutingControlArn"]))
            return {key: told[key] for key in ("RoutingControlArn", "RoutingControlName", "RoutingControlState")}

    def update_routing_control_state(self, params: Params) -> Params:
        """UpdateRoutingControlState."""
        return self._update([params], params.get("SafetyRulesToOverride") or [])

    def update_routing_control_states(self, params: Params) -> Params:
        """UpdateRoutingControlStates: all of them or none."""
        entries = params["UpdateRoutingControlStateEntries"]
        if len(entries) > MAX_ENTRIES:
            message = f"A request may update {MAX_ENTRIES} routing controls at most"
            quota = {"limitCode": "routingControlsPerUpdate", "serviceCode": "route53-recovery-cluster"}
            raise ArcError("ServiceLimitExceededException", message, 400, **quota)
        return self._update(entries, params.get("SafetyRulesToOverride") or [])

    def _update(self, entries: list[Params], overridden: list[str]) -> Params:
        self._admit()
        wanted = {entry["RoutingControlArn"]: STATES.get(entry["RoutingControlState"]) for entry in entries}
        settled = {arn: on for arn, on in wanted.items() if on is not None}
        if len(settled) != len(entries):
            raise invalid("A request names each routing control once, with the state On or Off")
        with self._store.write() as state:
            for arn in settled:
                _control(state, arn)
            for arn in overridden:
                if arn not in state.rules:
                    raise missing("SafetyRule", arn)
            now = time.time()
            check(state, settled, overridden, now)
            for arn, on in settled.items():
                control = state.controls[arn]
                if control.on != on:
                    control.on, control.changed = on, now
        return {}


def _control(state: ArcState, arn: str) -> RoutingControl:
    if arn not in state.controls:
        raise missing("RoutingControl", arn)
    return state.controls[arn]


def _told(state: ArcState, control: RoutingControl) -> Params:
    return {
        "RoutingControlArn": control.arn,
        "RoutingControlName": control.name,
        "RoutingControlState": "On" if control.on else "Off",
        "ControlPanelArn": control.panel_arn,
        "ControlPanelName": state.panels[control.panel_arn].name,
        "Owner": ACCOUNT,
    }
