"""tied-augment unpack goes on where it was interrupted, and takes no half file for a whole one."""

import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest
from commands import error_of
from packed_sets import digests, jpeg, pack_folder, write_good, write_mixed

from tied_augment.cli import main
from tied_augment.packed import unpacking


def run(*argv):
    return main([str(part) for part in argv])


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder of 24 images and the packed one."""
    root = tmp_path_factory.mktemp("good")
    write_good(root / "source")
    return root / "source", pack_folder(root / "source", root / "packed")


def times(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_only_what_is_missing_is_written(good, tmp_path, capsys):
    source, packed = good
    back = tmp_path / "back"
    capsys.readouterr()
    assert run("unpack", packed, back) == 0
    assert "24 files written to" in capsys.readouterr().out
    before = times(back)
    missing = sorted(before)[::5]
    for path in missing:
        path.unlink()
    # What a process that was killed leaves: an unfinished file, and a name that it had taken.
    (back / "unpacking-123.part").write_bytes(b"half")
    missing[0].touch()
    assert run("unpack", packed, back) == 0
    out = capsys.readouterr().out
    assert f"{len(missing)} files written to" in out
    assert f"{24 - len(missing)} files were there already" in out
    assert digests(back) == digests(source)
    after = times(back)
    assert {path for path in before if after[path] == before[path]} == {*before} - {*missing}


def test_mixed_folders_and_splits_go_on(tmp_path):
    write_mixed(tmp_path / "source" / "train")
    (tmp_path / "source" / "train" / "9" / "notes.txt").unlink()
    write_good(tmp_path / "source" / "val", 3)
    out = pack_folder(tmp_path / "source", tmp_path / "packed")
    for removed in ([], ["train/9/a.png", "train/ünï cödé/empty.jpg"], ["val/class0/0.jpg"]):
        for name in removed:
            (tmp_path / "back" / name).unlink()
        assert run("unpack", out, tmp_path / "back") == 0
        assert digests(tmp_path / "back") == digests(tmp_path / "source")


def test_a_killed_process_can_be_run_again(tmp_path):
    for number in range(120):
        path = tmp_path / "source" / f"class{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg((250, 250), number, quality=98))
    packed, back = pack_folder(tmp_path / "source", tmp_path / "packed"), tmp_path / "back"
    program = [sys.executable, "-m", "tied_augment", "unpack", packed, back, "--threads", "1"]
    process = subprocess.Popen(list(map(str, program)), stdout=subprocess.DEVNULL)
    while not list(back.rglob("*.jpg"))[3:]:
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    want = digests(tmp_path / "source")
    kept = {path: when for path, when in times(back).items() if path.stat().st_size}
    for path in kept:
        if path.suffix == ".jpg":
            assert digests(path.parent)[path.name] == want[os.path.relpath(path, back)]
    assert run("unpack", packed, back) == 0
    assert digests(back) == want
    after = times(back)
    assert all(after[path] == when for path, when in kept.items() if path.suffix == ".jpg")


def test_a_full_disk_leaves_no_half_file(good, tmp_path, capsys, monkeypatch):
    source, packed = good
    replace, count = os.replace, 0

    def fills_the_disk(part, path):
        nonlocal count
        count += 1
        if count == 7:
            raise OSError(28, "No space left on device")
        replace(part, path)

    monkeypatch.setattr(unpacking.os, "replace", fills_the_disk)
    back = tmp_path / "back"
    capsys.readouterr()
    assert "No space left on device" in error_of(capsys, "unpack", packed, back, "-j", 1)
    want = digests(source)
    whole = {name: sha for name, sha in digests(back).items() if (back / name).stat().st_size}
    assert whole.items() <= want.items()
    assert run("unpack", packed, back) == 0
    assert digests(back) == want


def test_other_files_are_not_written_over(good, tmp_path, capsys):
    _, packed = good
    back = tmp_path / "back"
    assert run("unpack", packed, back) == 0
    path = min(back.rglob("*.jpg"))
    half = path.read_bytes()[:-10]
    path.write_bytes(half)
    capsys.readouterr()
    assert f"{path} is there and is another file: remove it" in error_of(
        capsys, "unpack", packed, back
    )
    assert path.read_bytes() == half
    path.unlink()
    (back / "class0" / "notes.txt").write_text("mine")
    assert "is not empty: class0/notes.txt is not of" in error_of(capsys, "unpack", packed, back)


def test_two_processes_do_not_unpack_into_one_folder(good, tmp_path, capsys):
    _, packed = good
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        capsys.readouterr()
        assert f"another process is unpacking into {tmp_path}: let it end" in error_of(
            capsys, "unpack", packed, tmp_path
        )
    finally:
        os.close(folder)
    assert run("unpack", packed, tmp_path) == 0
