"""The control plane of routing controls (route53-recovery-control-config), homed in us-west-2 alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.aws.arc_names import ACCOUNT, cluster_arn, control_arn, panel_arn, rule_arn
from lab.aws.arc_rules import RULE_TYPES
from lab.aws.arc_state import (
    ArcError,
    ArcState,
    ArcStore,
    Cluster,
    ControlPanel,
    RoutingControl,
    SafetyRule,
    invalid,
    missing,
    paged,
)

Params = dict[str, Any]
HOME_REGION = "us-west-2"
DEFAULT_PANEL = "DefaultControlPanel"
DEPLOYED = {"Status": "DEPLOYED", "Owner": ACCOUNT}


class ArcConfigApi:
    """Operations by their names in the API, in snake case. What is created is DEPLOYED at once."""

    def __init__(self, store: ArcStore, health_checks_of: Callable[[str], list[str]]) -> None:
        self._store = store
        self._health_checks_of = health_checks_of

    def create_cluster(self, params: Params) -> Params:
        """CreateCluster, with its default control panel. The lab's endpoints serve one cluster."""
        name = params["ClusterName"]
        with self._store.write() as state:
            if state.clusters:
                raise ArcError("ServiceQuotaExceededException", "The lab serves one cluster", 402)
            cluster = Cluster(cluster_arn(name), name)
            state.clusters[cluster.arn] = cluster
            default = ControlPanel(panel_arn(name, DEFAULT_PANEL), DEFAULT_PANEL, cluster.arn, default=True)
            state.panels[default.arn] = default
            return {"Cluster": self._cluster(cluster)}

    def describe_cluster(self, params: Params) -> Params:
        """DescribeCluster: where the endpoints are. Nobody asks this on a recovery path."""
        with self._store.read() as state:
            return {"Cluster": self._cluster(_found(state.clusters, "Cluster", params["ClusterArn"]))}

    def list_clusters(self, params: Params) -> Params:
        """ListClusters."""
        with self._store.read() as state:
            return paged([self._cluster(one) for one in state.clusters.values()], params, "Clusters")

    def create_control_panel(self, params: Params) -> Params:
        """CreateControlPanel."""
        with self._store.write() as state:
            cluster = _found(state.clusters, "Cluster", params["ClusterArn"])
            arn = panel_arn(cluster.name, params["ControlPanelName"])
            _check_new(state.panels, arn)
            state.panels[arn] = ControlPanel(arn, params["ControlPanelName"], cluster.arn)
            return {"ControlPanel": _panel(state, state.panels[arn])}

    def describe_control_panel(self, params: Params) -> Params:
        """DescribeControlPanel."""
        with self._store.read() as state:
            return {"ControlPanel": _panel(state, _found(state.panels, "ControlPanel", params["ControlPanelArn"]))}

    def list_control_panels(self, params: Params) -> Params:
        """ListControlPanels."""
        wanted = params.get("ClusterArn")
        with self._store.read() as state:
            panels = [one for one in state.panels.values() if wanted in (None, one.cluster_arn)]
            return paged([_panel(state, one) for one in panels], params, "ControlPanels")

    def create_routing_control(self, params: Params) -> Params:
        """CreateRoutingControl: Off, as every new one is."""
        with self._store.write() as state:
            cluster = _found(state.clusters, "Cluster", params["ClusterArn"])
            panel = params.get("ControlPanelArn") or panel_arn(cluster.name, DEFAULT_PANEL)
            _found(state.panels, "ControlPanel", panel)
            arn = control_arn(panel, params["RoutingControlName"])
            _check_new(state.controls, arn)
            state.controls[arn] = RoutingControl(arn, params["RoutingControlName"], panel)
            return {"RoutingControl": _control(state.controls[arn])}

    def describe_routing_control(self, params: Params) -> Params:
        """DescribeRoutingControl: its name and panel, not its state, which is the data plane's."""
        with self._store.read() as state:
            return {"RoutingControl": _control(_found(state.controls, "RoutingControl", params["RoutingControlArn"]))}

    def list_routing_controls(self, params: Params) -> Params:
        """ListRoutingControls of one panel."""
        with self._store.read() as state:
            _found(state.panels, "ControlPanel", params["ControlPanelArn"])
            found = [one for one in state.controls.values() if one.panel_arn == params["ControlPanelArn"]]
            return paged([_control(one) for one in found], params, "RoutingControls")

    def list_associated_route53_health_checks(self, params: Params) -> Params:
        """ListAssociatedRoute53HealthChecks."""
        with self._store.read() as state:
            _found(state.controls, "RoutingControl", params["RoutingControlArn"])
        return paged(self._health_checks_of(params["RoutingControlArn"]), params, "HealthCheckIds")

    def create_safety_rule(self, params: Params) -> Params:
        """CreateSafetyRule: one assertion rule or one gating rule."""
        kinds = [kind for kind in ("AssertionRule", "GatingRule") if params.get(kind)]
        if len(kinds) != 1:
            raise invalid("Give either AssertionRule or GatingRule")
        given = params[kinds[0]]
        with self._store.write() as state:
            rule = _new_rule(state, kinds[0], given)
            _check_new(state.rules, rule.arn)
            state.rules[rule.arn] = rule
            return {kinds[0]: _rule(rule)}

    def describe_safety_rule(self, params: Params) -> Params:
        """DescribeSafetyRule."""
        with self._store.read() as state:
            rule = _found(state.rules, "SafetyRule", params["SafetyRuleArn"])
            return {_MEMBER[rule.kind]: _rule(rule)}

    def list_safety_rules(self, params: Params) -> Params:
        """ListSafetyRules of one panel."""
        with self._store.read() as state:
            _found(state.panels, "ControlPanel", params["ControlPanelArn"])
            found = [one for one in state.rules.values() if one.panel_arn == params["ControlPanelArn"]]
            return paged([{one.kind: _rule(one)} for one in found], params, "SafetyRules")

    def _cluster(self, cluster: Cluster) -> Params:
        endpoints = [{"Endpoint": one.url, "Region": one.region} for one in self._store.endpoints]
        named = {"ClusterArn": cluster.arn, "Name": cluster.name, "NetworkType": "IPV4"}
        return {**named, "ClusterEndpoints": endpoints, **DEPLOYED}


_MEMBER = {"ASSERTION": "AssertionRule", "GATING": "GatingRule"}


def _found(among: dict[str, Any], kind: str, arn: str) -> Any:
    if arn not in among:
        raise missing(kind, arn)
    return among[arn]


def _check_new(among: dict[str, Any], arn: str) -> None:
    if arn in among:
        raise ArcError("ConflictException", f"{among[arn].name} exists already: {arn}", 409)


def _new_rule(state: ArcState, member: str, given: Params) -> SafetyRule:
    kind = "ASSERTION" if member == "AssertionRule" else "GATING"
    controls = given["AssertedControls"] if kind == "ASSERTION" else given["GatingControls"]
    targets = given.get("TargetControls") or []
    config, panel = given["RuleConfig"], _found(state.panels, "ControlPanel", given["ControlPanelArn"])
    for arn in [*controls, *targets]:
        if _found(state.controls, "RoutingControl", arn).panel_arn != panel.arn:
            raise invalid(f"Routing control {arn} is of another control panel")
    if config["Type"] not in RULE_TYPES:
        raise invalid(f"Type must be one of {', '.join(RULE_TYPES)}")
    if config["Type"] == "ATLEAST" and not 0 < config["Threshold"] <= len(controls):
        raise invalid(f"Threshold must be between 1 and the number of controls, {len(controls)}")
    if not controls or (kind == "GATING" and not targets) or given["WaitPeriodMs"] < 0:
        raise invalid("A rule needs routing controls, and a wait period of 0 ms or more")
    return SafetyRule(
        arn=rule_arn(panel.arn, given["Name"]),
        name=given["Name"],
        panel_arn=panel.arn,
        kind=kind,
        type=config["Type"],
        threshold=config["Threshold"],
        inverted=config["Inverted"],
        wait_ms=given["WaitPeriodMs"],
        controls=list(controls),
        targets=list(targets),
    )


def _panel(state: ArcState, panel: ControlPanel) -> Params:
    return {
        "ControlPanelArn": panel.arn,
        "ClusterArn": panel.cluster_arn,
        "Name": panel.name,
        "DefaultControlPanel": panel.default,
        "RoutingControlCount": sum(one.panel_arn == panel.arn for one in state.controls.values()),
        **DEPLOYED,
    }


def _control(control: RoutingControl) -> Params:
    return {
        "RoutingControlArn": control.arn,
        "ControlPanelArn": control.panel_arn,
        "Name": control.name,
        **DEPLOYED,
    }


def _rule(rule: SafetyRule) -> Params:
    controls = (
        {"AssertedControls": rule.controls}
        if rule.kind == "ASSERTION"
        else {"GatingControls": rule.controls, "TargetControls": rule.targets}
    )
    return {
        "SafetyRuleArn": rule.arn,
        "ControlPanelArn": rule.panel_arn,
        "Name": rule.name,
        "WaitPeriodMs": rule.wait_ms,
        "RuleConfig": {"Type": rule.type, "Threshold": rule.threshold, "Inverted": rule.inverted},
        **controls,
        **DEPLOYED,
    }
