"""tied-augment pack into a folder that is not empty: what goes on, and what is refused."""

import errno
import fcntl
import json

import pytest
from commands import error_of
from packed_sets import changed, digests, jpeg, pack_folder, write_good

from tied_augment.cli import main
from tied_augment.packed import packing


def run(*argv):
    return main([str(part) for part in argv])


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("good") / "source"
    write_good(root)
    return root


def test_a_complete_set_is_not_packed_again(good, tmp_path, capsys):
    out = pack_folder(good, tmp_path / "packed")
    before = {path: path.stat().st_mtime_ns for path in out.glob("shard*")}
    capsys.readouterr()
    pack_folder(good, out)
    assert "nothing was left to pack" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.glob("shard*")} == before


def test_another_source_is_refused(good, tmp_path, capsys):
    out = pack_folder(good, tmp_path / "packed")
    write_good(tmp_path / "source", 3)
    capsys.readouterr()
    source = tmp_path / "source"
    assert f"packed from {good}, not {source}: empty {out}" in error_of(capsys, "pack", source, out)
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("")
    assert f"{other} is not empty" in error_of(capsys, "pack", good, other)
    assert "is a packed data set already" in error_of(capsys, "pack", out, tmp_path / "again")


def test_a_changed_source_is_refused(tmp_path, capsys):
    write_good(tmp_path / "source", 4)
    out = pack_folder(tmp_path / "source", tmp_path / "packed")
    (tmp_path / "source" / "class0" / "new.jpg").write_bytes(jpeg((9, 9)))
    capsys.readouterr()
    assert "which has changed since: empty" in error_of(capsys, "pack", tmp_path / "source", out)


def test_two_processes_do_not_pack_into_one_folder(good, tmp_path, capsys, monkeypatch):
    def also(*_):
        assert "another process is packing into" in error_of(
            capsys, "pack", good, tmp_path / "packed"
        )
        raise KeyboardInterrupt

    monkeypatch.setattr(packing, "_pack", also)
    assert run("pack", good, tmp_path / "packed") == 130


@pytest.mark.parametrize("name", ["packing.json", "packed.json"])
def test_a_broken_note_of_what_was_packed_is_refused(good, tmp_path, capsys, name):
    out = tmp_path / "packed"
    out.mkdir()
    for content in (b"", b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000):
        (out / name).write_bytes(content)
        says = f"{out / name} is broken: empty {out} and pack anew"
        assert says in error_of(capsys, "pack", good, out), content
    assert [path.name for path in out.iterdir()] == [name]


def test_a_folder_of_another_release_is_refused(good, tmp_path, capsys):
    """It may pack to other bytes."""
    out = pack_folder(good, tmp_path / "packed")
    changed(out / "packed.json", release="0.0.1")
    capsys.readouterr()
    says = error_of(capsys, "pack", good, out)
    assert f"{out} was packed by tied-augment 0.0.1, this is " in says
    assert f": empty {out}, or give another folder" in says


@pytest.mark.parametrize("column", ["names", "labels"])
def test_shards_of_other_samples_are_refused(good, tmp_path, capsys, column):
    out = pack_folder(good, tmp_path / "packed")
    (out / "packed.json").rename(out / "packing.json")
    path = out / "shard-00000.json"
    values = json.loads(path.read_bytes())[column]
    changed(path, **{column: [values[-1], *values[1:]]})
    capsys.readouterr()
    says = f"{out / 'shard-00000.tar'} has other samples: empty {out} and pack anew"
    assert says in error_of(capsys, "pack", good, out)


def test_a_file_system_that_does_not_lock_is_packed_to(good, tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    out = pack_folder(good, tmp_path / "packed")
    assert run("unpack", out, tmp_path / "back") == 0
    assert digests(tmp_path / "back") == digests(good)
