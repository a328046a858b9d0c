"""Data sets that timm reads by other libraries, through the launcher: which loader they get."""

import gc
import io
import tarfile
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Image
from timm_launch import BY_TASK, launch
from torchvision.datasets import ImageFolder

CLASSES = list("abcd")


@pytest.fixture
def samples(train_folder):
    return [(Path(path).read_bytes(), target) for path, target in ImageFolder(train_folder).samples]


def test_hugging_face_is_read_natively(samples, tmp_path):
    columns = {
        "image": [{"bytes": content, "path": None} for content, _ in samples],
        "label": [target for _, target in samples],
    }
    features = Features({"image": Image(), "label": ClassLabel(names=CLASSES)})
    (tmp_path / "set").mkdir()
    for split in ("train", "validation"):
        Dataset.from_dict(columns, features=features).to_parquet(
            tmp_path / "set" / f"{split}.parquet"
        )
    run = launch(BY_TASK, tmp_path / "cache", tmp_path, "--dataset", f"hfds/{tmp_path / 'set'}")
    assert "Tied-Augment: native loader, 1 threads" in run.text
    assert "read natively" in run.text
    assert len(run.steps) == len(samples) // 8


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io:pytest.PytestWarning")
def test_webdataset_goes_through_timm(samples, tmp_path):
    with tarfile.open(tmp_path / "train-0.tar", "w") as tar:
        for number, (content, target) in enumerate(samples):
            for ending, part in (("jpg", content), ("cls", str(target).encode())):
                info = tarfile.TarInfo(f"{number}.{ending}")
                info.size = len(part)
                tar.addfile(info, io.BytesIO(part))
    split = f"train-{{0..0}}.tar|{len(samples)}"
    options = ["--dataset", "wds/", "--train-split", split, "--val-split", split]
    run = launch(BY_TASK, tmp_path, tmp_path, *options)
    assert (
        "Tied-Augment: timm's loader, since only Python can read the images of this "
        "IterableImageDataset" in run.text
    )
    assert len(run.steps) == len(samples) // 8
    gc.collect()  # the library never closes its files, which would fail the next test
