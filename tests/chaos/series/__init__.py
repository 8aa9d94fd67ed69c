"""The same fault or move again and again in one lab, with real processes: what the clients and the observer saw.

    python -m tests.chaos.series --fault partition --runs 10
    python -m tests.chaos.series --fault switchover --runs 10

Every run breaks the active region, fails over by the operator's playbook, heals, and makes the returned region a
standby again, so that the next run breaks the other region.
"""
