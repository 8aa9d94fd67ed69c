"""Names of things in the lab's Application Recovery Controller: ARNs in the form of the real ones."""

from __future__ import annotations

import hashlib

ACCOUNT = "123456789012"
PREFIX = f"arn:aws:route53-recovery-control::{ACCOUNT}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def cluster_arn(cluster: str) -> str:
    """The ARN of a cluster; the same name has the same ARN, so that who configures the lab knows it."""
    text = _digest(cluster)
    return f"{PREFIX}:cluster/{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def panel_arn(cluster: str, panel: str) -> str:
    """The ARN of a control panel of that cluster."""
    return f"{PREFIX}:controlpanel/{_digest(cluster, panel)[:32]}"


def control_arn(panel: str, control: str) -> str:
    """The ARN of a routing control by its panel's ARN and its own name."""
    return f"{panel}/routingcontrol/{_digest(panel, control)[:16]}"


def rule_arn(panel: str, rule: str) -> str:
    """The ARN of a safety rule by its panel's ARN and its own name."""
    return f"{panel}/safetyrule/{_digest(panel, rule)[:16]}"
