"""The controllers of a cluster: each watches the store and brings the objects it cares for towards their spec."""

from __future__ import annotations

from .runner import Controllers

__all__ = ["Controllers"]
