"""Data sets that timm reads by other libraries, through the launcher: which loader they get."""

import gc
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image
from loader_sets import write_tar
from timm.data import IterableImageDataset, create_dataset
from timm_launch import BY_TASK, launch
from torch.utils.data import IterableDataset
from torchvision.datasets import ImageFolder

from tied_augment import decode
from tied_augment.timm import create_loader
from tied_augment.timm.native import why_not
from tied_augment.timm.wds import undecoded

CLASSES = list("abcd")


@pytest.fixture
def samples(train_folder):
    return [(Path(path).read_bytes(), target) for path, target in ImageFolder(train_folder).samples]


@pytest.fixture
def parquet(samples, tmp_path):
    """The folder of a Hugging Face data set."""
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
    return tmp_path / "set"


def test_hugging_face_is_read_natively(samples, parquet, tmp_path):
    run = launch(BY_TASK, tmp_path / "cache", tmp_path, "--dataset", f"hfds/{parquet}")
    assert "Tied-Augment: native loader, 1 threads" in run.text
    assert "read natively" in run.text
    assert len(run.steps) == len(samples) // 8


def test_a_hugging_face_stream_goes_through_timm(samples, parquet):
    options = {"split": "train", "is_training": True, "num_samples": len(samples)}
    dataset = create_dataset(f"hfids/{parquet}", root=None, **options)
    args = Namespace(tied_loader="native", tied_aa2=None, tied_clean_first=False)
    assert why_not(args, dataset, {}) == "timm's ReaderHfids decodes the images itself"


@pytest.fixture
def webdataset_closes_late():
    yield
    gc.collect()  # the library never closes its files, which would fail the next test


late = pytest.mark.usefixtures("webdataset_closes_late")
quiet = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning",
    "ignore:Exception ignored in. <_io:pytest.PytestWarning",
)


@late
@quiet
def test_webdataset_is_read_natively(samples, tmp_path):
    write_tar(tmp_path / "train-0.tar", samples)
    split = f"train-{{0..0}}.tar|{len(samples)}"
    options = ["--dataset", "wds/", "--train-split", split, "--val-split", split]
    run = launch(BY_TASK, tmp_path, tmp_path, *options)
    assert "Tied-Augment: native loader, 1 threads" in run.text
    assert len(run.steps) == -(-len(samples) // 8)


def wds(folder, samples, shards=3, json_target=False, **options):
    for shard in range(shards):
        write_tar(folder / f"t-{shard}.tar", samples[shard::shards], json_target)
    split = f"t-{{0..{shards - 1}}}.tar|{len(samples)}"
    settings = {"split": split, "is_training": True, "batch_size": 4, "seed": 5} | options
    return create_dataset("wds/", root=str(folder), **settings)


@late
@quiet
@pytest.mark.parametrize("json_target", [False, True])
def test_webdataset_has_timms_samples_in_timms_order(samples, tmp_path, json_target):
    options = {"target_key": "a"} if json_target else {}
    dataset = wds(tmp_path, samples, json_target=json_target, **options)
    want = [(np.asarray(image), target) for image, target in dataset]
    stream = undecoded(wds(tmp_path, samples, json_target=json_target, **options))
    got = list(stream)
    assert len(stream) == len(got) == len(want) == -(-len(samples) // 4) * 4
    for (content, target), (image, wanted) in zip(got, want, strict=True):
        assert np.array_equal(decode(content), image)
        assert target == wanted
    assert len({target for _, target in got}) > 1
    assert [target for _, target in got] != sorted(target for _, target in got)
    assert got[0].name.startswith(str(tmp_path / "t-"))


@late
@quiet
def test_webdataset_has_an_order_for_each_epoch(samples, tmp_path):
    """So that a run can go on in any epoch."""
    streams = [undecoded(wds(tmp_path, samples)) for _ in range(2)]
    orders = []
    for epoch in range(3):
        streams[0].set_epoch(epoch)
        assert streams[0].epoch == epoch
        orders.append(list(streams[0]))
    assert orders[0] != orders[1] != orders[2] != orders[0]
    streams[1].set_epoch(2)
    assert list(streams[1]) == orders[2]


@late
@quiet
def test_webdataset_in_create_loader(samples, tmp_path, caplog):
    """Its batches are those of its samples; an image that can't be decoded is skipped."""
    bad = [*samples[:-1], (samples[-1][0][:50], 0)]
    options = {"use_prefetcher": False, "num_workers": 1, "interpolation": "bilinear"}
    loader = create_loader(wds(tmp_path, bad), 16, 4, True, **options)
    given = Given(list(undecoded(wds(tmp_path, bad))))
    want = list(create_loader(given, 16, 4, True, **options))
    got = list(loader)
    assert len(got) == len(loader) == len(want)
    for (images, targets), (wanted, wanted_targets) in zip(got, want, strict=True):
        assert np.array_equal(images, wanted)
        assert np.array_equal(targets, wanted_targets)
    number, shard = divmod(len(bad) - 1, 3)
    assert f"t-{shard}.tar, {number:03}.jpg: " in caplog.text


class Given(IterableDataset):
    splits_by_rank = True
    transform = None

    def __init__(self, given):
        self.given = given

    def __iter__(self):
        return iter(self.given)

    def __len__(self):
        return len(self.given)


@late
@quiet
def test_a_webdataset_that_is_not_timms_own_is_not_bypassed(samples, tmp_path):
    class Own(IterableImageDataset):
        def __iter__(self):
            return super().__iter__()

    assert undecoded(Given([])) == "only Python can read the images of this Given"
    dataset = wds(tmp_path, samples)
    own = Own("", reader=dataset.reader)
    assert undecoded(own) == "only Python can read the images of this Own"
    own = IterableImageDataset("", reader=[])
    assert undecoded(own) == "timm's list decodes the images itself"
    with pytest.raises(ValueError, match="input_img_mode='L'"):
        undecoded(wds(tmp_path, samples, input_img_mode="L"))
