"""tied-augment pack, unpack and verify: the files come back, and nothing broken goes unnoticed."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest
from commands import error_of
from loader_sets import add_sparse_member
from packed_sets import UNREADABLE, digests, jpeg, pack_folder, write_good, write_mixed

from tied_augment import PackedDataset
from tied_augment.cli import main
from tied_augment.packed import packing, unpack
from tied_augment.packed.shard import ShardWriter


def run(*argv):
    return main([str(part) for part in argv])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    root = tmp_path_factory.mktemp("mixed") / "source"
    return root, write_mixed(root)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("good") / "source"
    write_good(root)
    return root


@pytest.fixture
def small(monkeypatch):
    """Shards of a few samples."""
    whole = packing.pack_data_set

    def pack_data_set(paths, folder, shard_bytes, threads, progress):
        return whole(paths, folder, shard_bytes // 100, threads, progress)

    monkeypatch.setattr("tied_augment.cli.pack.pack_data_set", pack_data_set)


def test_a_mixed_folder_comes_back_byte_for_byte(mixed, tmp_path, capsys, small):
    source, names = mixed
    out = pack_folder(source, tmp_path / "packed", "--shard-size", 2)
    text = capsys.readouterr().out
    assert "14 files in " in text
    assert "1 file (arithmetic coding)" in text
    assert "left out, not images by their names: 1 file\n" in text
    assert "3 images can't be decoded" in text
    for name in UNREADABLE:
        assert f"{name}: " in text
    assert len(PackedDataset(out)._archives) > 2
    assert run("verify", out) == 0
    assert "14 files as packed" in capsys.readouterr().out
    assert run("unpack", out, tmp_path / "back") == 0
    want = digests(source)
    del want["9/notes.txt"]
    assert digests(tmp_path / "back") == want
    assert len(want) == len(names)
    assert (tmp_path / "back" / "empty class").is_dir()


def test_the_index_says_which_files_are_packed(mixed, tmp_path):
    source, names = mixed
    out = pack_folder(source, tmp_path / "packed")
    index = json.loads((out / "shard-00000.json").read_bytes())
    packed = dict(zip(index["names"], index["packed"], strict=True))
    for name, data in names.items():
        is_jpeg = data[:2] == b"\xff\xd8" and os.path.basename(name) not in {
            *UNREADABLE,
            "arithmetic.jpg",
        }
        assert packed[name] == is_jpeg, name
    with tarfile.open(out / "shard-00000.tar") as tar:
        members = tar.getmembers()
        assert len(members) == 2 * len(names)
        offsets = [member.offset_data for member in members[::2]]
        assert offsets == index["offsets"]
        for member, is_packed, name in zip(
            members[::2], index["packed"], index["names"], strict=True
        ):
            data = tar.extractfile(member).read()
            assert (unpack(data) if is_packed else data) == names[name]


def test_splits_are_packed_by_themselves(tmp_path, capsys):
    for split in ("train", "val"):
        write_good(tmp_path / "source" / split, 6 if split == "train" else 3)
    out = pack_folder(tmp_path / "source", tmp_path / "packed")
    capsys.readouterr()
    inside = tmp_path / "source" / "packed"
    assert f"{inside} is within" in error_of(capsys, "pack", tmp_path / "source", inside)
    assert len(PackedDataset(out / "train")) == 6
    assert len(PackedDataset(out / "val")) == 3
    assert run("verify", out) == 0
    assert run("unpack", out, tmp_path / "back") == 0
    assert digests(tmp_path / "back") == digests(tmp_path / "source")


def test_threads_and_interruptions_do_not_change_a_byte(good, tmp_path, small):
    one = pack_folder(good, tmp_path / "one", "--shard-size", 4, "--threads", 1)
    want = digests(one)
    assert len(want) > 8
    assert digests(pack_folder(good, tmp_path / "two", "--shard-size", 4, "-j", 3)) == want
    # A shard without its index, and remains of unfinished files, as of a process that was killed.
    (one / "packed.json").rename(one / "packing.json")
    (one / "shard-00002.json").unlink()
    (one / "shard-00002.tar").write_bytes(b"half a shard")
    (one / "shard-00003.json").unlink()
    (one / "shard-00002.json.part").write_bytes(b"{")
    (one / "shard-00007.tar.part").write_bytes(b"part")
    pack_folder(good, one, "--shard-size", 4)
    assert digests(one) == want


def test_a_killed_process_can_be_run_again(tmp_path):
    for number in range(150):
        path = tmp_path / "source" / f"class{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg((250, 250), number, quality=98))
    out = tmp_path / "packed"
    program = [sys.executable, "-m", "tied_augment", "pack", tmp_path / "source", out]
    program += ["--shard-size", "1", "--threads", "1"]
    process = subprocess.Popen(list(map(str, program)), stdout=subprocess.DEVNULL)
    while not (out / "shard-00001.json").exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "packed.json").exists()
    with pytest.raises(FileNotFoundError, match="is not complete: run the tied-augment pack"):
        PackedDataset(out)
    kept = (out / "shard-00000.tar").stat().st_mtime_ns
    pack_folder(tmp_path / "source", out, "--shard-size", 1)
    assert (out / "shard-00000.tar").stat().st_mtime_ns == kept
    assert not list(out.glob("*.part"))
    assert not (out / "packing.json").exists()
    assert digests(out) == digests(
        pack_folder(tmp_path / "source", tmp_path / "other", "--shard-size", 1)
    )


@pytest.mark.parametrize("at", [1, 9, 30])
def test_a_full_disk_is_said_and_packing_goes_on_later(good, tmp_path, capsys, small, at):
    member, count = ShardWriter._member, 0

    def fills_the_disk(writer, name, content):
        nonlocal count
        count += 1
        if count == at:
            raise OSError(28, "No space left on device")
        return member(writer, name, content)

    out = tmp_path / "packed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShardWriter, "_member", fills_the_disk)
        says = error_of(capsys, "pack", good, out, "--shard-size", 4)
        assert f"no space left for {out}: make room and run the same command again" in says
    assert not list(out.glob("*.part"))
    pack_folder(good, out, "--shard-size", 4)
    assert digests(out) == digests(pack_folder(good, tmp_path / "other", "--shard-size", 4))


def test_what_is_no_data_set_is_refused(tmp_path, capsys):
    out = tmp_path / "packed"
    assert f"there is no {tmp_path / 'nothing'}" in error_of(
        capsys, "pack", tmp_path / "nothing", out
    )
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "1.jpg").write_bytes(jpeg((9, 9)))
    assert "has no class folders, such as cat/1.jpg" in error_of(capsys, "pack", flat, out)
    (flat / "class").mkdir()
    assert "has no images: none ends in" in error_of(capsys, "pack", flat, out)
    assert "is within" in error_of(capsys, "pack", flat, flat / "packed")
    assert "a folder is packed by itself" in error_of(capsys, "pack", flat, flat / "1.jpg", out)
    (flat / "file").write_text("")
    assert "is not an image by its name" in error_of(capsys, "pack", flat / "file", out)
    os.mkfifo(flat / "class" / "pipe.jpg")
    assert "pipe.jpg is not a regular file" in error_of(capsys, "pack", flat, out)
    assert not out.exists()
    for option in ("--shard-size", "--threads", "-j"):
        assert f"{option} must be from 1 to" in error_of(capsys, "pack", flat, out, option, 0)
    assert "-j must be from 1 to" in error_of(capsys, "verify", flat, "-j", 0)


def test_lists_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["a/1.jpg", "b/1.jpg", "b/with space.jpg"]
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg((20, 30), number))
    (tmp_path / "list.txt").write_text("a/1.jpg\t7\nb/1.jpg\t0\r\n\nb/with space.jpg\t3\n")
    dataset = PackedDataset(pack_folder("list.txt", "labelled"))
    assert (dataset.names, dataset.targets, dataset.classes) == (names, [7, 0, 3], [])
    (tmp_path / "bare.txt").write_text("".join(f"{tmp_path / name}\n" for name in names))
    dataset = PackedDataset(pack_folder("bare.txt", "bare"))
    assert (dataset.names, dataset.targets) == (names, [-1, -1, -1])
    assert run("pack", *names, "files") == 0
    assert PackedDataset("files").names == names
    assert run("unpack", "files", "back") == 0
    assert (tmp_path / "back" / "b" / "with space.jpg").read_bytes() == jpeg((20, 30), 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.jpg\nnone.jpg\n", "line 2: there is no file 'none.jpg'; a line is a path, and after"),
        ("a.jpg 3\n", "line 1: there is no file 'a.jpg 3'"),
        ("a.jpg\tcat\n", "line 1: 'cat' is not a target from 0 up"),
        ("a.jpg\t-5\n", "line 1: '-5' is not a target"),
        ("a.jpg\t1\na.jpg\n", "some lines have a target and some have none"),
        ("a.jpg\na.jpg\n", "there are two samples 'a.jpg'"),
        ("\n", "has no images"),
    ],
)
def test_wrong_lists(tmp_path, capsys, text, says):
    (tmp_path / "a.jpg").write_bytes(jpeg((9, 9)))
    (tmp_path / "list.txt").write_text(text)
    assert says in error_of(capsys, "pack", tmp_path / "list.txt", tmp_path / "packed")


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def test_tar_files(tmp_path, capsys):
    with tarfile.open(tmp_path / "folders.tar", "w") as tar:
        for number, name in enumerate(["./cat/1.jpg", "./ant/1.jpg", "./cat/2.png", "./readme"]):
            add(tar, name, jpeg((20, 30), number))
    dataset = PackedDataset(pack_folder(tmp_path / "folders.tar", tmp_path / "one"))
    assert "left out, not images by their names: 1 file\n" in capsys.readouterr().out
    assert dataset.classes == ["ant", "cat"]
    assert list(zip(dataset.names, dataset.targets, strict=True)) == [
        ("cat/1.jpg", 1),
        ("ant/1.jpg", 0),
        ("cat/2.png", 1),
    ]
    # WebDataset's layout, in two archives. A packed shard is one, too.
    for part in range(2):
        with tarfile.open(tmp_path / f"{part}.tar", "w") as tar:
            for number in range(3):
                add(tar, f"{number}.jpg", jpeg((20, 30), number))
                add(tar, f"{number}.cls", str(10 * part + number).encode())
    out = tmp_path / "two"
    assert run("pack", tmp_path / "0.tar", tmp_path / "1.tar", out) == 0
    assert PackedDataset(out).targets == [0, 1, 2, 10, 11, 12]
    assert PackedDataset(out).names[3] == "1/0.jpg"
    # Archives of one class each, as ImageNet's.
    for name in ("n02", "n01"):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            add(tar, f"{name}_1.JPEG", jpeg((20, 30)))
    assert run("pack", tmp_path / "n02.tar", tmp_path / "n01.tar", tmp_path / "three") == 0
    dataset = PackedDataset(tmp_path / "three")
    assert (dataset.classes, dataset.targets) == (["n01", "n02"], [1, 0])


def test_tar_files_that_are_not_packed(tmp_path, capsys):
    with tarfile.open(tmp_path / "zipped.tar.gz", "w:gz") as tar:
        add(tar, "cat/1.jpg", jpeg((20, 30)))
    with tarfile.open(tmp_path / "climbs.tar", "w") as tar:
        add(tar, "../cat/1.jpg", jpeg((20, 30)))
    with tarfile.open(tmp_path / "half.tar", "w") as tar:
        add(tar, "1.jpg", jpeg((20, 30)))
        add(tar, "1.cls", b"3")
        add(tar, "2.jpg", jpeg((20, 30)))
    with tarfile.open(tmp_path / "sparse.tar", "w") as tar:
        add_sparse_member(tar, "cat/1.jpg", jpeg((20, 30)), 5000)
    for name, says in {
        "zipped.tar.gz": "decompress it first",
        "climbs.tar": "'../cat/1.jpg' is not that of a file within a folder",
        "half.tar": "2.jpg has no .cls",
        "sparse.tar": "sparse.tar, cat/1.jpg: sparse members are not read",
    }.items():
        assert says in error_of(capsys, "pack", tmp_path / name, tmp_path / "packed")


def flip_a_bit(out, packed):
    """Change a sample that is packed, or stored as it was. Returns its shard and its name."""
    for path in sorted(out.glob("shard*.json")):
        index = json.loads(path.read_bytes())
        if packed in index["packed"]:
            break
    position = index["packed"].index(packed)
    shard = path.with_suffix(".tar")
    data = bytearray(shard.read_bytes())
    data[index["offsets"][position] + index["lengths"][position] // 2] ^= 1
    shard.write_bytes(data)
    return shard, index["names"][position]


@pytest.mark.parametrize("packed", [0, 1])
def test_verify_and_unpack_name_what_is_broken(good, tmp_path, capsys, small, packed):
    out = pack_folder(good, tmp_path / "packed", "--shard-size", 4)
    shard, name = flip_a_bit(out, packed)
    cause = "cannot decode packed image: " if packed else "its SHA-256 is not that of the index"
    want = digests(good)
    del want[name]
    capsys.readouterr()
    for argv in (["verify", out], ["unpack", out, tmp_path / "back"]):
        assert run(*argv) == 1
        says = capsys.readouterr().err
        assert says.count("\n") == 2
        assert f"broken: {shard}, {name}: {cause}" in says
        assert f"1 of 24 files of {out} are broken: copy the shards" in says
    assert digests(tmp_path / "back") == want


def test_verify_goes_on_after_a_shard_that_cannot_be_read(good, tmp_path, capsys, small):
    out = pack_folder(good, tmp_path / "packed", "--shard-size", 4)
    path = out / "shard-00001.tar"
    os.truncate(path, path.stat().st_size - 1)
    (out / "shard-00003.tar").unlink()
    capsys.readouterr()
    assert run("verify", out) == 1
    says = capsys.readouterr().err
    assert f"broken: {path} is truncated" in says
    assert f"broken: {out / 'shard-00003.tar'} is missing" in says
    with pytest.raises(ValueError, match=r"is truncated: it has .* copy it anew"):
        PackedDataset(out)


def test_unpack_writes_into_empty_folders_only(good, tmp_path, capsys):
    out = pack_folder(good, tmp_path / "packed")
    capsys.readouterr()
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("")
    assert f"{other} is not empty: file is not of {out}; give" in error_of(
        capsys, "unpack", out, other
    )
    assert "is not a packed data set: it has no packed.json" in error_of(capsys, "verify", tmp_path)
    assert "is not a packed data set" in error_of(capsys, "unpack", good, tmp_path / "back")
