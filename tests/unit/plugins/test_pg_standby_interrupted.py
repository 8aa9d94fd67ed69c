"""pg_standby killed between any two of its steps: the same call again converges, and nothing is lost on the way."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.standby_support import Pair, make_pair
from tests.unit.servers import PostgresFactory

ROOT = Path(__file__).resolve().parents[3]
ACCEPTANCE = "discard the divergent writes of east"
#: argv: options as JSON, a function of the package, after which call of it the whole process group is killed
KILLED = """
import importlib, json, os, signal, sys
package = "ansible_collections.terragon.disaster_recovery.plugins.module_utils."
options, where, number = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
module_name, _, path = where.partition(":")
owner = importlib.import_module(package + module_name)
*parents, name = path.split(".")
for parent in parents:
    owner = getattr(owner, parent)
original, calls = getattr(owner, name), []
def counted(*arguments, **named):
    result = original(*arguments, **named)
    calls.append(1)
    if len(calls) == number:
        os.killpg(0, signal.SIGKILL)
    return result
setattr(owner, name, counted)
run = importlib.import_module(package + "standby").run
specification = importlib.import_module(package + "standby").SPECIFICATION.argument_spec
run({**{name: option.get("default") for name, option in specification.items()}, **options}, False)
"""
WRITE, MOVE = "standby_journal:Journal.write", "standby_files:move"


class Scene:
    """A pair that diverged, whose east can be put back as it was."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.template = pair.east.directory.with_name("as-it-returned")
        subprocess.run(["cp", "-a", str(pair.east.directory), str(self.template)], check=True)

    def restore(self) -> None:
        self.pair.east.stop()
        shutil.rmtree(self.pair.east.directory)
        subprocess.run(["cp", "-a", str(self.template), str(self.pair.east.directory)], check=True)

    def killed_after(self, where: str, number: int, **more: Any) -> None:
        """Run pg_standby in a process group of its own and see it killed."""
        options = self.pair.options(acceptance=ACCEPTANCE, **more)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, json.dumps(options), where, str(number)],
            env={"PYTHONPATH": str(ROOT / "collections"), "PATH": "/usr/bin:/bin"},
            cwd="/", capture_output=True, text=True, check=False, start_new_session=True,
        )  # fmt: skip
        assert done.returncode == -9, done.stderr


@pytest.fixture(scope="module")
def diverged(postgres_factory: PostgresFactory) -> Iterator[Scene]:
    pair = make_pair(postgres_factory)
    pair.diverge()
    yield Scene(pair)
    pair.end()


@pytest.fixture
def scene(diverged: Scene, capsys: pytest.CaptureFixture[str]) -> Scene:
    diverged.restore()
    diverged.pair.both = BothWays("main", capsys)
    return diverged


@pytest.mark.parametrize(
    ("where", "number", "method"),
    [
        ("standby_files:set_aside", 1, "rewind"),
        (WRITE, 1, "rewind"),
        (MOVE, 1, "rewind"),
        ("standby_files:take_out", 1, "rewind"),
        (WRITE, 2, "copy"),  # pg_rewind may have begun: what it worked on is not trusted
        ("standby_program:LongProgram.run", 2, "copy"),
        (WRITE, 3, "rewind"),
        ("standby_files:put_back", 1, "rewind"),
        ("standby_settings:StandbySettings.write", 1, "rewind"),
        (MOVE, 2, "rewind"),
    ],
)
def test_a_rewind_that_was_killed(scene: Scene, where: str, number: int, method: str) -> None:
    pair = scene.pair
    own = pair.own_files("log/yesterday.log")
    scene.killed_after(where, number)
    predicted = pair.call(check=True, acceptance=ACCEPTANCE)
    assert predicted["changed"] and not predicted.get("failed"), predicted
    done = pair.call(acceptance=ACCEPTANCE)
    assert (done.get("method"), done["changed"]) == (method, True), done
    assert pair.own_files("log/yesterday.log") == own
    pair.streams_after_start()
    assert [name for name in pair.left_over() if not name.startswith("data.kept-")] == []
    assert len(done["kept"]) == (method == "copy")


@pytest.mark.parametrize(
    ("where", "number"),
    [
        (WRITE, 1),
        ("standby_program:LongProgram.run", 1),
        (WRITE, 2),
        ("standby_files:put_back", 1),
        (MOVE, 1),
        (MOVE, 2),
    ],
)
def test_a_copy_that_was_killed(scene: Scene, where: str, number: int) -> None:
    pair, inode = scene.pair, scene.pair.east.data.stat().st_ino
    own = pair.own_files()
    scene.killed_after(where, number, method="copy")
    done = pair.call(acceptance=ACCEPTANCE, method="copy")
    assert (done.get("method"), done["changed"], len(done["kept"])) == ("copy", True, 1), done
    assert Path(done["kept"][0]["path"]).stat().st_ino == inode
    assert pair.own_files() == own
    pair.streams_after_start()
    assert pair.left_over() == ["data.kept-INC-7"]


def test_two_interruptions_in_a_row(scene: Scene) -> None:
    """The copy that replaces a broken rewind is killed, too, while no data directory is at its path."""
    pair = scene.pair
    scene.killed_after(WRITE, 2)
    scene.killed_after("standby_program:LongProgram.run", 1)
    assert not pair.east.data.exists()
    done = pair.call(acceptance=ACCEPTANCE)
    assert (done["method"], len(done["kept"])) == ("copy", 1), done
    pair.streams_after_start()


@pytest.mark.parametrize("runs", [True, False])
def test_a_cluster_that_served_while_it_was_copied_beside_is_not_swapped_away(scene: Scene, runs: bool) -> None:
    """Somebody went back to the region meanwhile: its guard opened it. What it wrote then was never saved."""
    pair, inode = scene.pair, scene.pair.east.data.stat().st_ino
    scene.killed_after(WRITE, 2, method="copy")
    pair.east.start()
    if not runs:
        pair.east.stop("fast")
    refused = pair.call(acceptance=ACCEPTANCE, method="copy")
    assert refused.get("failed") and "it has been started since the work began" in refused["msg"], refused
    assert pair.east.data.stat().st_ino == inode and not pair.is_standby()
    assert pair.left_over() == []
