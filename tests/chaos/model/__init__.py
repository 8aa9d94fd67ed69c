"""Regions, witness and operators in virtual time: the collection's own code under seeded faults.

Real: module_utils' lease*, object_store, guard_* (but files, processes and pipes), fencing*, promotion*, heartbeat*.
Modelled: S3's answers, network, PostgreSQL, service manager, names, clients, and the playbooks' order of modules.
docs/development.md, "Chaos", says what is checked, what is not in it, and which faults are too much by design.

    python -m tests.chaos.model --seed 1 --count 1000     # a thousand schedules
    python -m tests.chaos.model --seed 42 --trace         # exactly that one, with its timeline
"""
