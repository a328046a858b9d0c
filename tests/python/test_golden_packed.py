"""Packed files of earlier releases are read: what docs/packed-format.md promises.

The files in tests/golden/packed are never written again. `generate_packed.py` says what they are.
"""

import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tied_augment import DecodeError, PackedDataset, TiedLoader, TwoView, View, decode
from tied_augment.cli import main
from tied_augment.packed import unpack

FOLDER = Path(__file__).parents[1] / "golden" / "packed"
SHA256 = json.loads((FOLDER / "packed.json").read_text())
SET = FOLDER / "set"


def pillows(jpeg):
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB"))


def test_there_are_files_of_all_kinds():
    assert len(SHA256) >= 24
    assert {path.stem for path in FOLDER.glob("*.packed")} == {*SHA256, "version-0"}
    assert {(FOLDER / f"{name}.packed").read_bytes()[7] for name in SHA256} == {1}


@pytest.mark.parametrize("name", SHA256)
def test_images_give_the_file_and_its_pixels(name):
    packed = (FOLDER / f"{name}.packed").read_bytes()
    jpeg = unpack(packed)
    assert hashlib.sha256(jpeg).hexdigest() == SHA256[name]
    assert (decode(packed) == pillows(jpeg)).all()
    two = TwoView(View(16, scale=(0.05, 1.0)))
    for epoch in range(4):
        views = zip(*(two(data, index=0, epoch=epoch) for data in (packed, jpeg)), strict=True)
        assert all((ours == theirs).all() for ours, theirs in views)


def test_a_data_set_gives_its_files(tmp_path):
    dataset = PackedDataset(SET)
    assert dataset.names == ["ant/1.jpg", "ant/2.png", "cat/ünï.JPEG", "cat/deep/gray.jpg"]
    assert (dataset.classes, dataset.targets) == (["ant", "cat", "empty"], [0, 0, 1, 1])
    index = json.loads((SET / "shard-00000.json").read_text())
    files = [dataset.original(number) for number in range(len(dataset))]
    assert [hashlib.sha256(file).hexdigest() for file in files] == index["sha256"]
    two = TwoView(View(16))
    [(batch, _)] = list(TiedLoader(dataset, two, 4, shuffle=False))
    assert (batch.numpy() == two.batch(files, range(4)).reshape(batch.shape)).all()
    assert main(["verify", str(SET)]) == 0
    assert main(["unpack", str(SET), str(tmp_path)]) == 0
    for name, file in zip(dataset.names, files, strict=True):
        assert (tmp_path / name).read_bytes() == file


def test_version_0_is_refused_with_the_remedy(tmp_path):
    packed = (FOLDER / "version-0.packed").read_bytes()
    for function in (decode, unpack):
        with pytest.raises(DecodeError, match=r"version 0 of the format.*: unpack it with that"):
            function(packed)
    # Indices of version 0 did not say so.
    out = shutil.copytree(SET, tmp_path / "set")
    for name in ("shard-00000.json", "packed.json"):
        index = json.loads((out / name).read_text())
        del index["version"]
        (out / name).write_text(json.dumps(index))
        with pytest.raises(ValueError, match=rf"{name} has version 0 of the format, which only"):
            PackedDataset(out)
