"""The pipelines of the library webdataset under TiedLoader: what is taken, split and refused."""

import functools
import gc
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset as wds
from loader_sets import VIEWS, assert_same, epoch_of, expected, paths_of
from torch.utils.data import IterableDataset

from tied_augment import TarShards, TiedDataset, TiedLoader

# The library never closes its files. They are collected before the next test, which would fail.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <_io:pytest.PytestWarning"),
]


@pytest.fixture(scope="module")
def few_objects():
    """Makes collecting quick."""
    gc.freeze()


@pytest.fixture(autouse=True)
def no_files_left(few_objects):
    yield
    gc.collect()


COUNT = 12


def write(path, samples):
    with tarfile.open(path, "w") as tar:
        for key, files in samples:
            for ending, content in files.items():
                info = tarfile.TarInfo(f"{key}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="module")
def files(image_folder):
    return [Path(path).read_bytes() for path in paths_of(image_folder)[:COUNT]]


def content_of(files, number):
    """The files of a sample, by their endings."""
    numbers = io.BytesIO()
    np.save(numbers, np.full(3, number, np.float32))
    meta = {"label": 10 * number, "box": {"x": [number, 1]}, "tag": "t"}
    return {
        "JPG": files[number],
        "cls": f"{number}\n".encode(),
        "json": json.dumps(meta).encode(),
        "txt": f"text {number}".encode(),
        "npy": numbers.getvalue(),
    }


@pytest.fixture(scope="module")
def folder(files, tmp_path_factory):
    """Four shards of three samples; the targets are 0 to 11."""
    folder = tmp_path_factory.mktemp("wds")
    for shard in range(4):
        numbers = range(3 * shard, 3 * shard + 3)
        samples = [(f"d.1/{number:04}", content_of(files, number)) for number in numbers]
        write(folder / f"train-{shard}.tar", samples)
    return folder


@pytest.fixture
def urls(folder):
    return str(folder / "train-{0..3}.tar")


def pipeline(urls, **options):
    return wds.WebDataset(urls, shardshuffle=False, **options)


def targets_of(loader):
    return [target for batch in loader for target in batch[-1].tolist()]


def pair(sample):
    return sample["jpg"], int(sample["cls"])


FORMS = {
    "undecoded": (lambda data: data, None),
    "named": (lambda data: data, ("jpg", "cls")),
    "alternatives": (lambda data: data, ("png;jpg;webp", "class;cls")),
    "decoded otherwise": (lambda data: data.decode(), None),
    "tuples": (lambda data: data.decode().to_tuple("jpg", "cls"), None),
    "own function": (lambda data: data.map(pair), None),
    "pillow": (lambda data: data.decode("pil"), None),
    "pillow tuples": (lambda data: data.decode("pil").to_tuple("jpg;png", "cls"), None),
    "arrays": (lambda data: data.decode("rgb8"), None),
    "processes": (lambda data: wds.WebLoader(data, batch_size=None, num_workers=1), None),
    "mixed": (lambda data: wds.RandomMix([data]), None),
    "in turn": (lambda data: wds.RoundRobin([data]), None),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_pipelines(files, urls, form):
    made, columns = FORMS[form]
    loader = TiedLoader(made(pipeline(urls)), VIEWS, batch_size=5, seed=3, columns=columns)
    batches = epoch_of(loader)
    assert (
        torch.cat([images for images, _ in batches], 1) != expected(files, range(COUNT), 0, 3)
    ).sum() == 0
    assert [target for _, targets in batches for target in targets.tolist()] == list(range(COUNT))
    assert batches[0][1].dtype == torch.int64


def test_the_same_as_tar_shards(folder, urls):
    shards = TarShards([folder / f"train-{shard}.tar" for shard in range(4)])
    assert_same(
        epoch_of(TiedLoader(pipeline(urls), VIEWS, 4)), epoch_of(TiedLoader(shards, VIEWS, 4))
    )


def test_further_columns(files, urls):
    columns = ("jpg", "json.label", "json.box.x", "txt", "npy", "__key__", "json", "jpg")
    batch = next(iter(TiedLoader(pipeline(urls), VIEWS, 2, columns=columns)))
    _, label, x, text, numbers, keys, meta, image = batch
    assert label.tolist() == [0, 10]
    assert [part.tolist() for part in x] == [[0, 1], [1, 1]]
    assert list(text) == ["text 0", "text 1"]
    assert numbers.tolist() == [[0.0] * 3, [1.0] * 3]
    assert list(keys) == ["d.1/0000", "d.1/0001"]
    assert meta["label"].tolist() == [0, 10]
    assert list(image) == files[:2]


def test_a_pickle_is_left_as_it_is(files, tmp_path):
    write(tmp_path / "a.tar", [("a", {"jpg": files[0], "pkl": b"cos\nsystem\n(S'false'\ntR."})])
    loader = TiedLoader(pipeline(str(tmp_path / "a.tar")), VIEWS, 1, columns=("jpg", "pkl"))
    assert next(iter(loader))[1] == [b"cos\nsystem\n(S'false'\ntR."]


def test_pipes(folder):
    loader = TiedLoader(pipeline(f"pipe:cat {folder}/train-1.tar {folder}/none || true"), VIEWS, 3)
    assert targets_of(loader) == [3, 4, 5]


def as_rank(monkeypatch, rank, ranks):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(ranks))


@pytest.mark.parametrize(
    "splitter",
    [wds.split_by_node, functools.partial(wds.split_by_node, group=None)],
    ids=["function", "partial"],
)
def test_a_pipeline_that_splits_by_rank_is_not_split_again(urls, monkeypatch, splitter):
    parts = []
    for rank in range(2):
        as_rank(monkeypatch, rank, 2)
        loader = TiedLoader(
            pipeline(urls, nodesplitter=splitter), VIEWS, 3, rank=rank, world_size=2
        )
        assert f"rank {rank} of 2, split by WebDataset" in repr(loader)
        parts.append(targets_of(loader))
    assert parts == [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]]
    with pytest.raises(ValueError, match=r"splits the data by itself, as rank 1 of 2"):
        TiedLoader(pipeline(urls, nodesplitter=splitter), VIEWS, 3, rank=0, world_size=3)


def test_a_pipeline_that_gives_everything_is_split(urls):
    parts = []
    for rank in range(2):
        data = pipeline(urls, nodesplitter=None)
        parts.append(targets_of(TiedLoader(data, VIEWS, 3, rank=rank, world_size=2)))
    assert parts == [list(range(0, 12, 2)), list(range(1, 12, 2))]


def test_a_pipeline_says_that_it_splits(urls):
    data = pipeline(urls, nodesplitter=lambda shards: list(shards)[1::2])
    data.splits_by_rank = True
    loader = TiedLoader(data.shuffle(0), VIEWS, 3)
    assert "split by" in repr(loader)
    assert targets_of(loader) == [3, 4, 5, 9, 10, 11]


def test_several_processes_need_a_splitter(urls, monkeypatch):
    as_rank(monkeypatch, 0, 2)
    with pytest.raises(ValueError, match="explicit nodesplitter"):
        epoch_of(TiedLoader(pipeline(urls), VIEWS, 3, rank=0, world_size=2))


def shuffled(urls, seed=7):
    data = wds.WebDataset(urls, shardshuffle=4, detshuffle=True, seed=seed)
    return data.compose(wds.detshuffle(5, 5, seed=seed))


def test_a_deterministic_shuffle_follows_the_epoch(urls):
    loader = TiedLoader(shuffled(urls), VIEWS, batch_size=5, seed=1)
    orders = [targets_of(loader) for _ in range(3)]
    assert all(sorted(order) == list(range(COUNT)) for order in orders)
    assert len(set(map(tuple, orders))) == 3
    other = TiedLoader(shuffled(urls), VIEWS, batch_size=5, seed=1)
    other.set_epoch(2)
    assert targets_of(other) == orders[2]


def test_an_epoch_is_resumed(urls):
    loader = TiedLoader(shuffled(urls), VIEWS, batch_size=2, seed=1)
    epoch_of(loader)
    whole = epoch_of(loader)
    loader.set_epoch(1)
    iterator = iter(loader)
    for _ in range(2):
        next(iterator)
    other = TiedLoader(shuffled(urls), VIEWS, batch_size=2, seed=1)
    other.load_state_dict(loader.state_dict())
    assert_same(epoch_of(other), whole[2:])


def test_drawn_shards(urls):
    data = wds.WebDataset(urls, shardshuffle=False, resampled=True).with_epoch(9)
    loader = TiedLoader(data, VIEWS, batch_size=4)
    assert "split by" in repr(loader)
    assert len(loader) == 3
    assert len(targets_of(loader)) == 9


def test_lengths(urls):
    with pytest.raises(TypeError, match="no len"):
        len(TiedLoader(pipeline(urls), VIEWS, 5))
    assert len(TiedLoader(pipeline(urls).with_length(COUNT, silent=True), VIEWS, 5)) == 3
    loader = TiedLoader(pipeline(urls).with_epoch(20), VIEWS, 5)
    assert len(loader) == 4
    assert targets_of(loader) == [*range(COUNT), *range(8)]


def bad(files, path, **changes):
    """A shard of three samples, of which the second has other files."""
    samples = [content_of(files, number) for number in range(3)]
    samples[1] |= changes
    samples[1] = {ending: content for ending, content in samples[1].items() if content is not None}
    write(path, [(f"{number}", sample) for number, sample in enumerate(samples)])
    return str(path)


@pytest.mark.parametrize(
    ("changes", "columns", "error", "message"),
    [
        ({"JPG": b"no image"}, None, OSError, r"a.tar, 1\.jpg: .*"),
        ({"JPG": None}, None, ValueError, r"a.tar, 1 has no image among 'cls', 'json'"),
        ({"JPG": None}, ("jpg",), ValueError, r"a.tar, 1 has no 'jpg' .*lambda sample: 'jpg' in"),
        ({"png": b""}, None, ValueError, r"a.tar, 1 has several images among 'jpg', 'cls'"),
        ({"cls": b"cat"}, None, ValueError, r"a.tar, 1.cls is b'cat': invalid literal"),
        ({"cls": None}, None, ValueError, r"a.tar, 1 has no 'cls' among 'jpg', 'json'"),
        ({"json": b"{"}, ("jpg", "json"), ValueError, r"a.tar, 1.json is b'{': Expecting"),
        ({"json": b"{}"}, ("jpg", "json.label"), ValueError, r"1.json has no field 'label'"),
    ],
)
def test_errors_name_shard_and_key(files, tmp_path, changes, columns, error, message):
    data = pipeline(bad(files, tmp_path / "a.tar", **changes))
    with pytest.raises(error, match=message):
        epoch_of(TiedLoader(data, VIEWS, 3, columns=columns))


@pytest.mark.parametrize("stream", [pipeline, TarShards])
def test_a_bad_image_is_skipped_by_name(files, tmp_path, caplog, stream):
    path = bad(files, tmp_path / "a.tar", JPG=b"no image")
    loader = TiedLoader(stream(path), VIEWS, 3, on_error="skip")
    assert targets_of(loader) == [0, 2, 2]
    assert loader.skipped == 1
    assert f"Skipped sample 1: {path}, 1" in caplog.text


def test_a_cut_shard_is_an_error_with_its_name(folder, tmp_path):
    content = (folder / "train-0.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(content[:1000])
    with pytest.raises(tarfile.ReadError, match=r"cut\.tar"):
        epoch_of(TiedLoader(pipeline(str(tmp_path / "cut.tar")), VIEWS, 3))


@pytest.mark.parametrize(
    ("form", "columns", "message"),
    [
        (lambda data: data.to_tuple("jpg", "cls"), None, "as a file's bytes, b'0.n': leave out"),
        (lambda data: data.decode("rgb"), None, r"0.jpg is decoded to a ndarray of float32"),
        (lambda data: data.decode("torchrgb"), None, r"decoded to a Tensor of torch.float32"),
        (lambda data: data.decode("torchrgb8"), None, r"decoded to a Tensor of torch.uint8"),
        (lambda data: data.batched(2), None, r"leave out .batched\(\)"),
        (lambda data: data.listed(2), None, r"leave out .batched\(\)"),
        (lambda data: data.decode("rgb8").to_tuple("jpg", "cls").batched(1), None, "batched"),
        (lambda data: data.to_tuple("jpg", "cls"), ("jpg", "cls"), "leave out columns="),
        (lambda data: data.map(lambda sample: sample["jpg"]), None, "gives bytes, not samples"),
    ],
)
def test_pipelines_that_are_refused(urls, form, columns, message):
    with pytest.raises(TypeError, match=message):
        epoch_of(TiedLoader(form(pipeline(urls)), VIEWS, 3, columns=columns))


def test_a_tied_dataset_needs_indices(urls):
    with pytest.raises(TypeError, match="give it to TiedLoader"):
        TiedDataset(pipeline(urls), VIEWS)


class Dicts(IterableDataset):
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


class Bare:
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


@pytest.mark.parametrize("kind", [Dicts, Bare])
def test_columns_of_any_stream_of_dicts(files, kind):
    dicts = [{"pixels": file, "kind": number} for number, file in enumerate(files)]
    stream = kind(dicts)
    loader = TiedLoader(stream, VIEWS, 4, columns=("pixels", "kind"))
    pairs = [(file, number) for number, file in enumerate(files)]
    assert_same(epoch_of(loader), epoch_of(TiedLoader(pairs, VIEWS, 4)))
    stream.splits_by_rank = True
    assert "split by" in repr(TiedLoader(stream, VIEWS, 4, columns=("pixels", "kind")))
    with pytest.raises(ValueError, match="no column 'label' among 'pixels', 'kind'"):
        epoch_of(TiedLoader(stream, VIEWS, 4, columns=("pixels", "label")))
    with pytest.raises(TypeError, match="items that are dicts, got tuple"):
        epoch_of(TiedLoader(kind(pairs), VIEWS, 4, columns=("pixels", "label")))
