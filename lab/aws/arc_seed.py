"""What the lab's Application Recovery Controller holds when it begins."""

from __future__ import annotations

from lab.aws.arc_config import RecoveryConfig
from lab.aws.arc_config_api import ArcConfigApi
from lab.aws.arc_names import cluster_arn, control_arn, panel_arn
from lab.aws.arc_state import ArcStore


def seed(config: RecoveryConfig, store: ArcStore, api: ArcConfigApi) -> None:
    """Create, through the API's own operations, what a new state lacks."""
    if config.cluster is None:
        return
    with store.read() as state:
        if state.clusters:
            return
    cluster = cluster_arn(config.cluster)
    api.create_cluster({"ClusterName": config.cluster})
    for panel in config.panels:
        arn = panel_arn(config.cluster, panel.name)
        api.create_control_panel({"ClusterArn": cluster, "ControlPanelName": panel.name})
        for name in panel.controls:
            api.create_routing_control({"ClusterArn": cluster, "ControlPanelArn": arn, "RoutingControlName": name})
        with store.write() as state:
            for name in panel.on:
                state.controls[control_arn(arn, name)].on = True
        for rule in panel.assertions:
            api.create_safety_rule(
                {
                    "AssertionRule": {
                        "Name": rule.name,
                        "ControlPanelArn": arn,
                        "AssertedControls": [control_arn(arn, name) for name in rule.controls],
                        "RuleConfig": {"Type": "ATLEAST", "Threshold": rule.threshold, "Inverted": False},
                        "WaitPeriodMs": rule.wait_ms,
                    }
                }
            )
