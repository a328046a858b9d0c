"""Commands on a disk that is full: the error says so, and no file is left that looks whole."""

import pytest
import torch
from commands import error_of

from tied_augment.timm import plain_checkpoint

FULL = "No space left on device"


@pytest.fixture
def full(disk_of):
    """A disk that takes 64 KiB."""
    return disk_of("64k")


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "split.pth"
    state = {"bn.aux_bn.0.weight": torch.zeros(3), "weight": torch.zeros(1 << 16)}
    torch.save({"state_dict": state}, path)
    return path


def test_pack(image_folder, full, capsys):
    (full / "fill").write_bytes(bytes(60 << 10))
    said = error_of(capsys, "pack", image_folder, full / "packed")
    assert f"no space left for {full / 'packed'}: make room and run the same command" in said
    assert not list(full.rglob("*.tar"))


def test_demo(full, capsys):
    said = error_of(capsys, "demo", "--out", full / "demo", "--seeds", 1)
    assert f"can't write {full / 'demo'}: {FULL}; choose another --out" in said


def test_preview(image_folder, full, capsys):
    said = error_of(capsys, "preview", image_folder, "--out", full / "views.png")
    assert f"can't write {full / 'views.png'}: {FULL}; choose another --out" in said


def test_checkpoint(checkpoint, full, capsys):
    out = full / "plain.pth"
    out.write_bytes(b"an older one")
    with pytest.raises(OSError, match=FULL) as caught:
        plain_checkpoint(checkpoint, out)
    assert caught.value.filename == str(out)
    assert f"{out}: {FULL}" in error_of(capsys, "plain", checkpoint, out)
    assert [path.name for path in full.iterdir()] == ["plain.pth"]
    assert out.read_bytes() == b"an older one"
