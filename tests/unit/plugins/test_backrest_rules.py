"""Rules of backups that need no server: what is due, what stays, what is missing, what pgBackRest's words mean."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.backrest_archive import segment_end
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.backrest_backup import due
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.backrest_errors import (
    explain,
    newest_known,
    words,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.backrest_expire import Keep, Retention, keeps
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.backrest_gap import holes
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.backrest_verify import missing_segments
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import to_iso, utc_now

NOW = utc_now()


def backup(kind: str, days: float, error: bool = False, reference: tuple[str, ...] = ()) -> dict[str, Any]:
    """A backup that ended so many days ago."""
    moment = NOW - dt.timedelta(days=days)
    label = moment.strftime("%Y%m%d-%H%M%S") + "F"
    label += {"full": "", "diff": "_20260101-000000D", "incr": "_20260101-000000I"}[kind]
    return {"label": label, "type": kind, "started": to_iso(moment), "stopped": to_iso(moment), "error": error,
            "reference": list(reference)}  # fmt: skip


SCHEDULE = {"full": 7 * 86400.0, "diff": 86400.0, "incr": 3600.0}


@pytest.mark.parametrize(
    ("backups", "schedule", "kind"),
    [
        ([], SCHEDULE, "full"),
        ([], {"incr": 60.0}, "full"),
        ([backup("full", 8), backup("incr", 0.01)], SCHEDULE, "full"),
        ([backup("full", 2), backup("incr", 0.01)], SCHEDULE, "diff"),
        ([backup("full", 2), backup("diff", 0.5)], SCHEDULE, "incr"),
        ([backup("full", 2), backup("diff", 0.5), backup("incr", 0.01)], SCHEDULE, None),
        ([backup("full", 0.01)], SCHEDULE, None),
        ([backup("full", 0.5)], SCHEDULE, "incr"),
        ([backup("full", 20)], {"full": None, "incr": 3600.0}, "incr"),
        ([backup("full", 20)], {}, None),
    ],
)
def test_what_is_due(backups: list[dict[str, Any]], schedule: dict[str, float | None], kind: str | None) -> None:
    assert due(backups, schedule)[0] == kind


FIVE = [backup("full", days) for days in (40, 30, 20, 10, 1)]
DAMAGED = [backup("full", 40), backup("full", 20, error=True), backup("full", 1, error=True)]


@pytest.mark.parametrize(
    ("backups", "retention", "keep"),
    [
        # the window's beginning needs the one before it: 20 days are the three within, and the one of 30 days
        (FIVE, Retention(15, None, None, 1, ()), Keep(3, None, 3)),
        (FIVE, Retention(100, None, None, 1, ()), Keep(5, None, 5)),
        (FIVE, Retention(0, None, None, 1, ()), Keep(1, None, 1)),
        (FIVE, Retention(0, None, None, 3, ()), Keep(3, None, 3)),
        (FIVE, Retention(0, None, None, 1, (FIVE[1]["label"],)), Keep(4, None, 4)),
        # an incremental one that was proved keeps the full one that it stands on
        (FIVE, Retention(0, None, None, 1, (FIVE[1]["label"] + "_20260101-000000I",)), Keep(4, None, 4)),
        (FIVE, Retention(100, None, 5, 1, ()), Keep(5, None, 2)),
        # damaged ones do not count to the least that remains
        (DAMAGED, Retention(0, None, None, 1, ()), Keep(3, None, 3)),
        (
            [*FIVE[:1], backup("diff", 5), backup("diff", 3), backup("diff", 1)],
            Retention(9, 2, None, 1, ()),
            Keep(1, 2, 1),
        ),
    ],
)
def test_what_stays(backups: list[dict[str, Any]], retention: Retention, keep: Keep) -> None:
    assert keeps(backups, retention, NOW) == keep


def segment(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{number // 256:08X}{number % 256:08X}"


def span(first: int, last: int, timeline: int = 1) -> tuple[str, str, str]:
    return "15-1", segment(first, timeline), segment(last, timeline)


def needs(first: int, last: int) -> dict[str, Any]:
    return {"wal_start": segment(first), "wal_stop": segment(last)}


@pytest.mark.parametrize(
    ("ranges", "backups", "missing"),
    [
        ([span(1, 9)], [needs(1, 2)], []),
        ([span(1, 3), span(5, 9)], [needs(1, 2)], [segment(4)]),
        ([span(1, 254), span(257, 260)], [needs(1, 2)], [segment(255), segment(256)]),
        # between two backups, after expiry of the WAL there
        ([span(1, 3), span(7, 9)], [needs(1, 3), needs(7, 8)], []),
        ([span(1, 3), span(7, 9)], [needs(1, 2), needs(7, 8)], [segment(4), segment(5), segment(6)]),
        # a backup's own WAL, beyond all ranges
        ([span(4, 9)], [needs(3, 4)], [segment(3)]),
        ([span(1, 3)], [needs(3, 4)], [segment(4)]),
        # the old primary's last ones; and one that wrote on after the fork
        ([span(1, 5), span(8, 9, 2)], [needs(1, 2)], [segment(6), segment(7)]),
        ([span(1, 9), span(8, 9, 2)], [needs(1, 2)], []),
        ([span(1, 7), span(8, 9, 2)], [needs(1, 2)], []),
    ],
)
def test_which_segments_are_missing(
    ranges: list[tuple[str, str, str]], backups: list[dict[str, Any]], missing: list[str]
) -> None:
    assert missing_segments(ranges, backups) == missing


@pytest.mark.parametrize(
    ("lines", "begins", "told"),
    [
        ([(1, 1, 7), (2, 8, 9)], 2, False),
        ([(1, 1, 5), (2, 8, 9)], 2, True),
        ([(1, 1, 5), (2, 8, 9)], 8, False),  # a backup after the hole begins anew
        ([(1, 1, 5)], 2, False),
    ],
)
def test_a_hole_that_nobody_can_fill_is_told_until_there_is_a_backup_after_it(
    lines: list[tuple[int, int, int]], begins: int, told: bool
) -> None:
    timelines = [{"min": segment(first, line), "max": segment(last, line)} for line, first, last in lines]
    backups = [{"wal_start": segment(begins), "error": False}]
    entry = {"name": "east", "archives": [{"id": "15-1", "timelines": timelines}], "backups": backups}
    found = holes([entry])
    assert bool(found) is told
    assert not told or f"{segment(6)} to {segment(7)} are missing in east" in found[0]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR: [050]: unable to acquire lock on file '/tmp/x': Resource temporarily unavailable", "Locked"),
        ("[HostConnectError] unable to connect to '127.0.0.1:1': [111] Connection refused", "RepositoryUnreachable"),
        ("[CryptoError] unable to verify certificate presented by '127.0.0.1:1': [20]", "RepositoryUnreachable"),
        ("[ProtocolError] HTTP request failed with 403 (Forbidden):", "RepositoryRefused"),
        ("ERROR: [095]: unable to flush", "WrongCipherPass"),
        ("WARN: unable to check pg1: [DbConnectError] unable to connect to 'dbname='postgres''", "ServerUnreachable"),
        ("ERROR: [082]: WAL segment 000000010000000000000001 was not archived before the 60000ms", "SegmentMissing"),
        ("ERROR: [041]: unable to write '/x': [28] No space left on device", "NoRoom"),
        ("ERROR: [046]: unexpected control version = 1300 and catalog version = 202307071", "NewerServer"),
        ("HINT: has a stanza-create been performed?", "StanzaMissing"),
        ("ERROR: [026]: actual checksum 'a' does not match expected checksum 'b'", "Damaged"),
        ("ERROR: [051]: PostgreSQL version 15, system-id 1 do not match stanza version 15, system-id 2", "OtherSystem"),
        ("ERROR: [075]: no backup set found to restore", "NoBackup"),
        ("ERROR: [025]: something new", "BackrestFailed"),
    ],
)
def test_what_its_words_mean(said: str, kind: str) -> None:
    error = explain("do", "it", said)
    assert (type(error).__name__, error.facts["error_kind"]) == (kind, kind)
    assert str(error).startswith("Failed to do it: ")


def test_noise_and_headers_are_left_out() -> None:
    said = "ERROR: [102]: HTTP failed\n*** Path/Query ***:\nGET /x\nauthorization: <redacted>\n\x01\x02" + "y" * 9000
    assert words(said).startswith("HTTP failed; yyy") and len(words(said)) < 300


@pytest.mark.parametrize(
    ("version", "newest"),
    [("2.45", 15), ("2.48", 16), ("2.54.1", 17), ("2.57", 18), ("2.60", None), ("2.40", 14), ("", None)],
)
def test_which_postgresql_it_knows(version: str, newest: int | None) -> None:
    assert newest_known(version) == newest


def test_where_a_segment_ends() -> None:
    assert segment_end("0000000100000002000000FF", 16 * 1024 * 1024) == 3 << 32
