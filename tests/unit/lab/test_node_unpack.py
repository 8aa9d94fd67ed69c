"""Unpacking without ``filter="data"`` is as strict as with it, for Pythons that lack it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from lab.node.unpack import checked, extract_member


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.uid = kind, link, mode, 12345
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("../outside"),
        member("app/../../outside"),
        member("down/file"),
        member("link", tarfile.SYMTYPE, "../outside"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("hard", tarfile.LNKTYPE, "../outside"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda one: f"{one.name} {one.linkname}",
)
def test_what_leads_outside_is_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "down").symlink_to(tmp_path)
    with pytest.raises(tarfile.TarError):
        checked(bad, root)
    if hasattr(tarfile, "data_filter"):  # the library says the same
        with pytest.raises(tarfile.TarError):
            tarfile.data_filter(bad, str(root))


def test_what_stays_inside_is_unpacked_as_the_callers_own_and_with_no_more_rights_than_needed(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(member("/app", tarfile.DIRTYPE, mode=0o777))
        archive.addfile(member("app/run", mode=0o4777))
        archive.addfile(member("app/link", tarfile.SYMTYPE, "run"))
        archive.addfile(member("hard", tarfile.LNKTYPE, "app/run", mode=0o4777))
    for way in ("own", "library"):
        data.seek(0)
        root = tmp_path / way
        root.mkdir()
        with tarfile.open(fileobj=data) as archive:
            for one in archive:
                if way == "own":
                    archive.extract(checked(one, root), root)
                else:
                    extract_member(archive, one, root)
        assert (root / "app/run").stat().st_mode & 0o7777 == 0o755
        assert (root / "app/run").stat().st_uid == (root / "app").stat().st_uid == root.stat().st_uid
        assert (root / "app/link").readlink() == Path("run")
        assert (root / "hard").samefile(root / "app/run")
