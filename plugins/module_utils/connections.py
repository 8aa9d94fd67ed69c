# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connection options shared by the modules, one specification each; doc fragment `connections` mirrors them.

No option holds a secret: PostgreSQL passwords come from a libpq passfile, AWS keys from the
environment or a profile in a credentials file, Kubernetes tokens from a kubeconfig.

PRIVATE to the collection.
"""

from __future__ import annotations

import copy
import typing as t

_AWS: dict[str, t.Any] = {
    "endpoint_url": {"type": "str"},
    "region": {"type": "str", "default": "us-east-1"},
    "profile": {"type": "str"},
    "credentials_file": {"type": "path"},
    "timeout": {"type": "float", "default": 5.0},
}

_STORE: dict[str, t.Any] = {
    **_AWS,
    "name": {"type": "str", "required": True},
    "bucket": {"type": "str", "required": True},
    "prefix": {"type": "str", "default": ""},
}

_POSTGRES: dict[str, t.Any] = {
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 5432},
    "database": {"type": "str", "default": "postgres"},
    "user": {"type": "str", "required": True},
    "passfile": {"type": "path"},
    "sslmode": {"type": "str", "default": "prefer"},
    "connect_timeout": {"type": "int", "default": 3},
}

_KUBERNETES: dict[str, t.Any] = {
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
    "timeout": {"type": "float", "default": 10.0},
}

_LEASE: dict[str, t.Any] = {
    "key": {"type": "str", "required": True, "no_log": False},  # of an object
    "ttl_seconds": {"type": "float", "default": 30.0},
    "clock_allowance_seconds": {"type": "float", "default": 2.0},
    "stores": {"type": "list", "elements": "dict", "required": True, "options": _STORE},
}

_RECORD: dict[str, t.Any] = {
    "incident": {"type": "str", "required": True},
    "mode": {"type": "str", "choices": ["incident", "drill"], "default": "incident"},
    "phase": {
        "type": "str",
        "choices": ["detect", "assess", "isolate", "recover", "validate", "close"],
        "required": True,
    },
    "step": {"type": "str"},
    "token": {"type": "int", "no_log": False},  # a fencing token is a number, not a secret
    "directory": {"type": "path", "required": True},
    "store": {"type": "dict", "options": _STORE},
    "lease": {"type": "dict", "options": _LEASE},
}


def _option(spec: dict[str, t.Any], required: bool) -> dict[str, t.Any]:
    return {"type": "dict", "required": required, "options": copy.deepcopy(spec)}


def aws_option(required: bool = False) -> dict[str, t.Any]:
    """Option spec of an AWS API connection."""
    return _option(_AWS, required)


def store_option(required: bool = False) -> dict[str, t.Any]:
    """Option spec of one S3 bucket."""
    return _option(_STORE, required)


def postgres_option(required: bool = True) -> dict[str, t.Any]:
    """Option spec of one PostgreSQL connection."""
    return _option(_POSTGRES, required)


def kubernetes_option(required: bool = True) -> dict[str, t.Any]:
    """Option spec of one Kubernetes API connection."""
    return _option(_KUBERNETES, required)


def lease_option(required: bool = True) -> dict[str, t.Any]:
    """Option spec of a region lease and the witness stores that keep it."""
    return _option(_LEASE, required)


def record_option() -> dict[str, t.Any]:
    """Option spec of `record`: where the step's events go. The action plugin acts on it, on the controller."""
    return _option(_RECORD, False)
