#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backrest_config
short_description: Write the configuration of pgBackRest, with its secrets, and tell nobody what they are
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Writes C(pgbackrest.conf) from data, mode 0600, owned by PostgreSQL's user, all or nothing.
  - Cipher passes and keys are read from files on the host. They are no option, no argument of a program, in no log, no
    result and no diff.
  - Repositories are S3 buckets, encrypted with AES-256-CBC, with certificates verified.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Says what would change.
  diff_mode:
    support: full
    description: Shows the file with C((secret)) in place of secrets.
options:
  path:
    description: The file.
    type: path
    default: /etc/pgbackrest/pgbackrest.conf
  owner:
    description: User that PostgreSQL and pgBackRest run as.
    type: str
    default: postgres
  stanza:
    description: Name of the cluster in the repositories, the same in every region.
    type: str
    default: main
  data_directory:
    description: The cluster's data directory.
    type: path
    required: true
  postgres_port:
    description: Port of the server.
    type: int
    default: 5432
  repositories:
    description: The repositories, the region's own first.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of it, the same in every region.
        type: str
        required: true
      bucket:
        description: Name of the bucket.
        type: str
        required: true
      region:
        description: AWS region that requests are signed for.
        type: str
        default: us-east-1
      endpoint_url:
        description: URL of the API, where it is not AWS's own. pgBackRest speaks C(https) only.
        type: str
      prefix:
        description: What all keys begin with.
        type: str
        default: pgbackrest
      profile:
        description: Profile in O(repositories[].credentials_file).
        type: str
        default: default
      credentials_file:
        description: AWS shared credentials file on the host, mode 0600.
        type: path
      key_type:
        description: V(shared) takes keys from O(repositories[].credentials_file), V(auto) the role of the machine.
        type: str
        choices: [shared, auto, web-id]
        default: shared
      ca_file:
        description: Certificates that the store's is verified with; the system's when left out.
        type: path
      uri_style:
        description: Whether the bucket is in the host name or in the path.
        type: str
        choices: [host, path]
        default: host
      cipher_pass_file:
        description:
          - File on the host, mode 0600, that holds the cipher pass, 20 characters or more. A repository keeps the pass
            that it was created with, so that another one is refused.
        type: path
        required: true
  retention_full_days:
    description: Days that backups are kept when somebody runs C(pgbackrest expire) by hand.
    type: int
    required: true
  compress_type:
    description: Compression. C(gz) is no choice, because a restore takes about twice as long with it.
    type: str
    choices: [zst, lz4]
    default: zst
  process_max:
    description: Processes of a backup or an archive push; half of the cores when left out, clients need the rest.
    type: int
  archive_async:
    description: Whether WAL is pushed ahead, by several processes.
    type: bool
    default: true
  archive_seconds:
    description: Seconds after which C(archive_command) gives up; PostgreSQL tries again.
    type: int
    default: 60
  io_seconds:
    description:
      - Seconds to wait for one answer of a store. Each is asked several times; while one is away, WAL reaches the other
        one that much later.
    type: int
    default: 10
  spool_path:
    description: Directory for the state of the asynchronous push; made where it is missing, as the next two.
    type: path
    default: /var/spool/pgbackrest
  lock_path:
    description: Directory for locks.
    type: path
    default: /tmp/pgbackrest
  log_path:
    description: Directory for logs.
    type: path
    default: /var/log/pgbackrest
  options:
    description: Further options of pgBackRest's section C(global). One that would hold a secret is refused.
    type: dict
    default: {}
notes:
  - C(expire-auto) is off. M(terragon.disaster_recovery.pg_backrest) expires, and knows which backups have to stay.
seealso:
  - module: terragon.disaster_recovery.pg_backrest
"""

EXAMPLES = r"""
- name: Configure pgBackRest with a repository in each region
  terragon.disaster_recovery.pg_backrest_config:
    data_directory: /var/lib/postgresql/15/main
    repositories:
      - name: us-east-1
        bucket: terragon-pgbackrest-us-east-1
        region: us-east-1
        key_type: auto
        cipher_pass_file: /etc/pgbackrest/cipher-pass
      - name: us-west-2
        bucket: terragon-pgbackrest-us-west-2
        region: us-west-2
        key_type: auto
        cipher_pass_file: /etc/pgbackrest/cipher-pass
    retention_full_days: 30
  become: true
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
repositories:
  description: Names of the repositories in the order of their numbers.
  returned: success
  type: list
  elements: str
evidence:
  description: What the ledger keeps as proof, without contents.
  returned: success
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.backrest_config import SPECIFICATION, run
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
