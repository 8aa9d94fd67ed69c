"""The lab's secrets: new for each lab, in files of mode 0600 below ``private/``, never in argv or state.json."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.catalogue import REGIONS, SERVICES, Service
from lab.layout import Lab, write_json, write_text

#: database roles; `postgres` is the superuser, and owners of the services' databases come from the catalogue
ROLES = ("postgres", "replicator", "dr_guard", "dr_operator", "dr_observer", "dr_backup")
#: AWS profiles: who may do what is in lab/configs.py
PROFILES = ("orchestrator", "guard", "witness", "store", "backup", *REGIONS)
#: who may talk to a region's Kubernetes API
KUBERNETES_USERS = {
    "orchestrator": ("orchestrator", ["system:masters"]),
    "node": ("system:node:{region}", ["system:nodes"]),
    "loadbalancer": ("loadbalancer", ["system:masters"]),
}


@dataclass(frozen=True)
class AccessKey:
    """An AWS access key."""

    id: str
    secret: str


@dataclass(frozen=True)
class Keys:
    """Every secret of one lab."""

    database: dict[str, str]
    aws: dict[str, AccessKey]
    #: region, then user of the API
    tokens: dict[str, dict[str, str]]
    #: what the physical backups are encrypted with
    cipher_pass: str = ""

    def __repr__(self) -> str:
        return "Keys(...)"

    @classmethod
    def generate(cls, services: Iterable[Service] = SERVICES) -> Keys:
        """New secrets, for the owners of these services' databases too."""
        roles = [*ROLES, *(service.database_role for service in services)]
        return cls(
            database={role: secrets.token_urlsafe(24) for role in roles},
            aws={profile: AccessKey(_access_key_id(), secrets.token_urlsafe(30)) for profile in PROFILES},
            tokens={region: {user: secrets.token_urlsafe(24) for user in KUBERNETES_USERS} for region in REGIONS},
            cipher_pass=secrets.token_urlsafe(48),
        )

    @classmethod
    def load(cls, lab: Lab) -> Keys:
        """The secrets of a lab that was started."""
        data = json.loads((lab.private / "keys.json").read_text())
        keys = {profile: AccessKey(**key) for profile, key in data["aws"].items()}
        return cls(data["database"], keys, data["tokens"], data.get("cipher_pass", ""))

    def save(self, lab: Lab) -> None:
        """Write them in every form that a program wants: own, libpq's, AWS's, kubectl's."""
        lab.private.mkdir(mode=0o700, parents=True, exist_ok=True)
        lab.private.chmod(0o700)
        write_json(lab.private / "keys.json", asdict(self))
        write_text(lab.passfile, self.passfile([role for role in self.database if role != "replicator"]))
        write_text(lab.credentials, self.credentials(PROFILES))
        for region in REGIONS:
            if region not in lab.kubeconfigs:
                for user in KUBERNETES_USERS:
                    write_json(_kubeconfig_path(lab, region, user), self._kubeconfig(lab, region, user))

    def passfile(self, roles: list[str]) -> str:
        """A libpq passfile; any host, because a role has the same password in both regions."""
        return "".join(f"*:*:*:{role}:{self.database[role]}\n" for role in roles)

    def credentials(self, profiles: tuple[str, ...]) -> str:
        """An AWS shared credentials file."""
        return "\n".join(
            f"[{profile}]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n"
            for profile, key in self.aws.items()
            if profile in profiles
        )

    def kubernetes_tokens(self, region: str) -> dict[str, dict[str, object]]:
        """The emulator's table of tokens."""
        return {
            self.tokens[region][user]: {"user": name.format(region=region), "groups": groups}
            for user, (name, groups) in KUBERNETES_USERS.items()
        }

    def _kubeconfig(self, lab: Lab, region: str, user: str) -> dict[str, object]:
        """A kubeconfig (JSON is YAML) with one context named after the region."""
        address = lab.reach("kubernetes", region, None if user == "orchestrator" else region)
        server = f"http://{address}:{lab.port('kubernetes')}"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": region, "cluster": {"server": server}}],
            "users": [{"name": user, "user": {"token": self.tokens[region][user]}}],
            "contexts": [{"name": region, "context": {"cluster": region, "user": user}}],
            "current-context": region,
        }


def component_kubeconfig(lab: Lab, region: str, user: str) -> Path:
    """The kubeconfig of a component; a cluster of the user's own has only the user's."""
    return lab.kubeconfig(region) if region in lab.kubeconfigs else _kubeconfig_path(lab, region, user)


def _kubeconfig_path(lab: Lab, region: str, user: str) -> Path:
    return lab.kubeconfig(region) if user == "orchestrator" else lab.private / f"kubeconfig-{region}-{user}"


def _access_key_id() -> str:
    return "AKIA" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(16))
