# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the shared options in module_utils/connections.py; validate-modules holds the two together."""

from __future__ import annotations


class ModuleDocFragment:
    """One fragment a shared option: `connections.aws` documents the option `aws`, and so on."""

    # The texts are plain literals, repeated where options are nested: ansible-test reads them without running them.
    DOCUMENTATION = """
options: {}
"""

    AWS = """
options:
  aws:
    description: How to reach the AWS API. Keys never appear here.
    type: dict
    suboptions:
      endpoint_url:
        description: URL of the API, where it is not AWS's own.
        type: str
      region:
        description: AWS region that requests are signed for.
        type: str
        default: us-east-1
      profile:
        description: Profile that holds the credentials; the environment's when left out.
        type: str
      credentials_file:
        description: AWS shared credentials file to read the profile from, in place of the environment's.
        type: path
      timeout:
        description: Seconds to wait for one answer.
        type: float
        default: 5.0
"""

    POSTGRES = """
options:
  postgres:
    description: How to reach the PostgreSQL server. The password comes from a libpq passfile and never appears here.
    type: dict
    required: true
    suboptions:
      host:
        description: Host name, address, or directory of the Unix socket.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        default: 5432
      database:
        description: Database to connect to.
        type: str
        default: postgres
      user:
        description: Role to connect as.
        type: str
        required: true
      passfile:
        description: File in the C(.pgpass) format that holds the password.
        type: path
      sslmode:
        description: As libpq's C(sslmode).
        type: str
        default: prefer
      connect_timeout:
        description: Seconds to wait for a connection.
        type: int
        default: 3
"""

    KUBERNETES = """
options:
  kubernetes:
    description: How to reach the Kubernetes API.
    type: dict
    required: true
    suboptions:
      kubeconfig:
        description: Kubeconfig file; the client's own default when left out.
        type: path
      context:
        description: Context in the kubeconfig; its current one when left out.
        type: str
      timeout:
        description: Seconds to wait for one answer.
        type: float
        default: 10.0
"""

    LEASE = """
options:
  lease:
    description: The lease that lets one region's PostgreSQL accept writes, and the witness stores that keep it.
    type: dict
    required: true
    suboptions:
      key:
        description: Key of the lease object, the same in every store.
        type: str
        required: true
      ttl_seconds:
        description: Seconds a renewal lasts. The guard fences its database before they end.
        type: float
        default: 30.0
      clock_allowance_seconds:
        description: Seconds added to the TTL before a silent holder counts as stopped, for clocks of other rates.
        type: float
        default: 2.0
      stores:
        description: One witness store in no region that can fail over, or three of which a majority decides.
        type: list
        elements: dict
        required: true
        suboptions:
          name:
            description: Name of the store in messages and evidence.
            type: str
            required: true
          bucket:
            description: Name of the bucket.
            type: str
            required: true
          prefix:
            description: What all keys begin with.
            type: str
            default: ''

          endpoint_url:
            description: URL of the API, where it is not AWS's own.
            type: str
          region:
            description: AWS region that requests are signed for.
            type: str
            default: us-east-1
          profile:
            description: Profile that holds the credentials; the environment's when left out.
            type: str
          credentials_file:
            description: AWS shared credentials file to read the profile from, in place of the environment's.
            type: path
          timeout:
            description: Seconds to wait for one answer.
            type: float
            default: 5.0
"""

    RECORD = """
options:
  record:
    description:
      - Where the step's intent and outcome are recorded. The action plugin acts on it, on the controller;
        without it, and in check mode, nothing is recorded.
      - Meant for C(module_defaults) of the play, group C(terragon.disaster_recovery.recorded).
    type: dict
    suboptions:
      incident:
        description: Identifier of the incident or drill.
        type: str
        required: true
      mode:
        description: Whether this is an incident or a drill.
        type: str
        choices: [incident, drill]
        default: incident
      phase:
        description: Phase of the run that the step belongs to.
        type: str
        required: true
        choices: [detect, assess, isolate, recover, validate, close]
      step:
        description: Name of the step; the module's name when left out.
        type: str
      token:
        description: Fencing token of the incident's lease.
        type: int
      directory:
        description: Local directory that holds the ledgers.
        type: path
        required: true
      store:
        description: Bucket, outside the failed region, that holds the ledgers. Its conditional writes order the events.
        type: dict
        suboptions:
          name:
            description: Name of the store in messages and evidence.
            type: str
            required: true
          bucket:
            description: Name of the bucket.
            type: str
            required: true
          prefix:
            description: What all keys begin with.
            type: str
            default: ''

          endpoint_url:
            description: URL of the API, where it is not AWS's own.
            type: str
          region:
            description: AWS region that requests are signed for.
            type: str
            default: us-east-1
          profile:
            description: Profile that holds the credentials; the environment's when left out.
            type: str
          credentials_file:
            description: AWS shared credentials file to read the profile from, in place of the environment's.
            type: path
          timeout:
            description: Seconds to wait for one answer.
            type: float
            default: 5.0
      lease:
        description:
          - The incident's lease, as M(terragon.disaster_recovery.incident_lease) took it. With it, a step that changes
            something begins only while this run holds the lease with O(record.token).
          - The controller reads the lease before each such step, and renews it when half of its time has passed.
        type: dict
        suboptions:
          key:
            description: Key of the lease object, the same in every store.
            type: str
            required: true
          ttl_seconds:
            description: Seconds a renewal lasts.
            type: float
            default: 30.0
          clock_allowance_seconds:
            description: Seconds added to the TTL before a silent holder counts as stopped, for clocks of other rates.
            type: float
            default: 2.0
          stores:
            description: The witness stores that keep it, one or three.
            type: list
            elements: dict
            required: true
            suboptions:
              name:
                description: Name of the store in messages and evidence.
                type: str
                required: true
              bucket:
                description: Name of the bucket.
                type: str
                required: true
              prefix:
                description: What all keys begin with.
                type: str
                default: ''
              endpoint_url:
                description: URL of the API, where it is not AWS's own.
                type: str
              region:
                description: AWS region that requests are signed for.
                type: str
                default: us-east-1
              profile:
                description: Profile that holds the credentials; the environment's when left out.
                type: str
              credentials_file:
                description: AWS shared credentials file to read the profile from, in place of the environment's.
                type: path
              timeout:
                description: Seconds to wait for one answer.
                type: float
                default: 5.0
"""
