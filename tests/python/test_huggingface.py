"""Hugging Face data sets: which bytes are taken, who reads them, and what is refused."""

import pickle

import datasets
import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from loader_sets import VIEWS, assert_same, epoch_of, expected, paths_of
from torch.utils.data import DataLoader

from tied_augment import TiedDataset, TiedLoader, View

pytestmark = pytest.mark.integration

FEATURES = Features({"image": Image(), "label": ClassLabel(names=list("abc")), "w": Value("int32")})


@pytest.fixture(scope="module")
def files(image_folder):
    contents = []
    for path in paths_of(image_folder):
        with open(path, "rb") as file:
            contents.append(file.read())
    return contents


def table(files, **changes):
    columns = {
        "image": [{"bytes": file, "path": None} for file in files],
        "label": [number % 3 for number in range(len(files))],
        "w": [10 * number for number in range(len(files))],
    }
    return Dataset.from_dict(columns | changes, features=FEATURES)


@pytest.fixture(scope="module")
def parquet(files, tmp_path_factory):
    """A file with several row groups, which become several chunks in memory."""
    folder = tmp_path_factory.mktemp("parquet")
    table(files).to_parquet(folder / "train.parquet", batch_size=5)
    return folder


def load(parquet, **options):
    return datasets.load_dataset(
        "parquet",
        data_files=str(parquet / "train.parquet"),
        split="train",
        cache_dir=str(parquet / "cache"),
        **options,
    )


def chosen(ds):
    """The data set in the forms that it may have: of one and several chunks, sliced, shuffled."""
    yield "whole", ds, range(len(ds))
    yield "slice", ds.select(range(3, len(ds) - 1)), range(3, len(ds) - 1)
    order = np.random.default_rng(0).permutation(len(ds)).tolist()
    yield "mapped", ds.select(order), order
    yield "twice", ds.select(order).select([4, 2, 2]), [order[4], order[2], order[2]]
    yield "joined", datasets.concatenate_datasets([ds, ds.select([1])]), [*range(len(ds)), 1]


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "parquet"])
def test_the_core_reads_arrows_memory(files, parquet, memory):
    ds = table(files) if memory else load(parquet)
    for name, form, rows in chosen(ds):
        loader = TiedLoader(form, VIEWS, batch_size=4, seed=5)
        assert "natively" in repr(loader) or "read by the core" in repr(loader), repr(loader)
        mine = [files[row] for row in rows]
        want = expected(mine, range(len(mine)), 0, 5)
        images = torch.cat([images for images, _ in loader], dim=1)
        assert (images != want).sum() == 0, name
        loader.set_epoch(0)
        targets = torch.cat([targets for _, targets in loader])
        assert targets.tolist() == [row % 3 for row in rows], name


def test_more_columns_than_two(files):
    loader = TiedLoader(table(files), VIEWS, 5, columns=("image", "w", "label"))
    _, w, label = next(iter(loader))
    assert w.tolist() == [0, 10, 20, 30, 40]
    assert label.tolist() == [0, 1, 2, 0, 1]


def test_large_binary_null_labels_and_strings(files):
    ds = table(files, label=[None, *([1] * (len(files) - 1))])
    schema = ds.data.schema
    position = schema.get_field_index("image")
    import pyarrow as pa

    large = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
    wide = ds.data.table.cast(schema.set(position, pa.field("image", large)).remove_metadata())
    wide = Dataset(wide).cast_column("image", Image())
    loader = TiedLoader(
        wide, VIEWS, 3, columns=("image", "label"), collate_fn=lambda items: [i[1] for i in items]
    )
    assert next(iter(loader)) == [None, 1, 1]


def test_a_dataset_of_paths(image_folder):
    paths = paths_of(image_folder)
    ds = table([b""] * len(paths), image=[{"bytes": None, "path": path} for path in paths])
    got = epoch_of(TiedLoader(ds, VIEWS, batch_size=4))
    pairs = [(path, number % 3) for number, path in enumerate(paths)]
    assert_same(got, epoch_of(TiedLoader(pairs, VIEWS, batch_size=4)))


def test_bytes_beside_paths_are_read_by_python(files, image_folder):
    images = [{"bytes": file, "path": None} for file in files]
    images[2] = {"bytes": None, "path": paths_of(image_folder)[2]}
    loader = TiedLoader(table(files, image=images), VIEWS, batch_size=4)
    assert "both bytes and paths" in repr(loader)
    assert_same(epoch_of(loader), epoch_of(TiedLoader(table(files), VIEWS, batch_size=4)))


def test_tied_dataset_in_workers(files):
    dataset = TiedDataset(table(files).shuffle(seed=1), VIEWS, seed=3)
    dataset.set_epoch(2)
    batches = list(DataLoader(dataset, 4, num_workers=2, multiprocessing_context="spawn"))
    images = torch.cat([torch.stack(views) for views, _ in batches], dim=1)
    mine = [bytes(dataset.dataset[index][0]) for index in range(len(files))]
    assert mine != files
    assert sorted(mine) == sorted(files)
    assert (images != expected(mine, range(len(mine)), 2, 3)).sum() == 0
    assert len(pickle.loads(pickle.dumps(dataset))) == len(files)


@pytest.mark.parametrize("features", [None, "w"], ids=["target", "features"])
def test_timms_data_set_of_hugging_face(files, tmp_path, features):
    from timm.data import ImageDataset
    from timm.data.readers.reader_hfds import ReaderHfds

    (tmp_path / "set").mkdir()
    table(files).to_parquet(tmp_path / "set" / "train.parquet", batch_size=5)
    reader = ReaderHfds(
        str(tmp_path / "set"),
        root=str(tmp_path / "cache"),
        split="train",
        additional_features=features,
    )
    timms = ImageDataset(None, reader=reader, additional_features=features)
    assert len(timms) == len(files)
    loader = TiedLoader(timms, VIEWS, batch_size=4, shuffle=True, seed=5)
    assert "read natively" in repr(loader)
    order = list(loader.sampler)
    batches = list(loader)
    images = torch.cat([batch[0] for batch in batches], dim=1)
    assert (images != expected(files, order, 0, 5)).sum() == 0
    rest = [torch.cat(parts).tolist() for parts in list(zip(*batches, strict=True))[1:]]
    want = [list(timms[index][1:]) for index in order]
    assert rest == [list(parts) for parts in zip(*want, strict=True)]
    assert rest[0] == [index % 3 for index in order]
    by_python = TiedDataset(timms, VIEWS, seed=5)
    by_python.set_epoch(0)
    assert torch.equal(
        by_python[3][0][0], torch.from_numpy(VIEWS.batch(files, range(len(files)), 0, 5))[0, 3]
    )


def test_streams(files, parquet):
    stream = load(parquet, streaming=True)
    for columns in (None, ("image", "label")):
        got = epoch_of(TiedLoader(stream, VIEWS, batch_size=4, columns=columns))
        assert_same(got, epoch_of(TiedLoader(table(files), VIEWS, batch_size=4)))


def test_a_shuffled_stream_is_shuffled_anew(parquet, monkeypatch):
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)  # of 5 s an epoch
    stream = load(parquet, streaming=True).shuffle(seed=0, buffer_size=100)
    loader = TiedLoader(stream, VIEWS, batch_size=100, columns=("image", "w"))
    (first,), (second,) = ([targets for _, targets in loader] for _ in range(2))
    assert first.tolist() != second.tolist()
    assert sorted(first.tolist()) == sorted(second.tolist())


def test_a_split_stream_is_not_split_again(files, parquet):
    from datasets.distributed import split_dataset_by_node

    parts = []
    for rank in range(2):
        mine = split_dataset_by_node(load(parquet, streaming=True), rank, 2)
        loader = TiedLoader(
            mine, VIEWS, batch_size=3, columns=("image", "w"), rank=rank, world_size=2
        )
        parts += [number for _, w in loader for number in w.tolist()]
    assert sorted(parts) == [10 * number for number in range(len(files))]


def test_dicts_of_any_data_set(image_folder):
    paths = paths_of(image_folder)
    dicts = [{"pixels": path, "kind": number} for number, path in enumerate(paths)]
    loader = TiedLoader(dicts, VIEWS, batch_size=4, columns=("pixels", "kind"))
    pairs = [(path, number) for number, path in enumerate(paths)]
    assert_same(epoch_of(loader), epoch_of(TiedLoader(pairs, VIEWS, batch_size=4)))


def test_an_image_that_is_missing_names_its_index(files):
    images = [{"bytes": file, "path": None} for file in files]
    images[3] = None
    ds = table(files, image=images)
    for kind in (TiedLoader(ds, VIEWS, 4), DataLoader(TiedDataset(ds, VIEWS), 4)):
        with pytest.raises(OSError, match=r"^index 3: the image is missing"):
            epoch_of(kind)
    assert epoch_of(TiedLoader(ds, VIEWS, 4, on_error="skip"))[0][1].tolist() == [0, 1, 2, 4 % 3]


def test_a_broken_image_names_its_index_and_is_skipped(files, caplog):
    images = [{"bytes": file, "path": None} for file in files]
    images[3] = {"bytes": b"no image", "path": None}
    ds = table(files, image=images)
    with pytest.raises(OSError, match="index 3"):
        epoch_of(TiedLoader(ds, VIEWS, batch_size=4))
    loader = TiedLoader(ds, VIEWS, batch_size=4, on_error="skip")
    assert epoch_of(loader)[0][1].tolist() == [0, 1, 2, 4 % 3]
    assert loader.skipped == 1


@pytest.mark.parametrize(
    ("change", "columns", "message"),
    [
        (lambda ds: ds.with_transform(lambda batch: batch), None, r"give dataset.reset_format\(\)"),
        (lambda ds: ds.with_format("numpy"), None, r"give dataset.with_format\(None\)"),
        (lambda ds: ds.rename_column("label", "kind"), ("image", "label"), "no column 'label'"),
        (lambda ds: ds, ("label", "image"), "'label' has no images but ClassLabel"),
        (lambda ds: ds.remove_columns("label"), None, "'image' \\(Image\\), 'w' \\(Value\\)"),
        (lambda ds: ds.add_column("other", [1] * len(ds)), ("w",), "name the image's column first"),
        (lambda ds: ds.cast_column("image", Image(mode="L")), None, "not of Image\\(mode='L'\\)"),
    ],
)
@pytest.mark.parametrize("kind", [TiedLoader, TiedDataset])
def test_what_is_refused(files, kind, change, columns, message):
    with pytest.raises(ValueError, match=message):
        kind(change(table(files)), VIEWS, columns=columns)


def test_columns_that_are_not_names(files, image_folder):
    with pytest.raises(TypeError, match="columns must be names such as"):
        TiedLoader(table(files), VIEWS, columns="image")
    with pytest.raises(ValueError, match="columns= has no meaning for a folder"):
        TiedLoader(image_folder, VIEWS, columns=("image", "label"))
    with pytest.raises(TypeError, match=r"name the keys, as columns=\('image', 'label'\)"):
        TiedLoader([{"image": b"", "label": 1}], VIEWS)
    with pytest.raises(TypeError, match="items that are dicts, got tuple"):
        epoch_of(TiedLoader([(b"", 1)], VIEWS, columns=("image", "label")))


def test_a_stream_that_has_been_mapped_does_not_know_its_columns(files):
    stream = table(files).to_iterable_dataset().map(lambda row: row)
    assert stream.features is None
    with pytest.raises(ValueError, match=r"does not know its columns: give dataset.cast\(features"):
        TiedLoader(stream, VIEWS)


def test_chunks_without_rows_and_images_without_targets(files):
    ds = datasets.concatenate_datasets([table(files), table(files).select([])])
    loader = TiedLoader(ds, VIEWS, batch_size=4, columns=("image",), seed=5)
    images = torch.cat([images for (images,) in loader], dim=1)
    assert (images != expected(files, range(len(files)), 0, 5)).sum() == 0


def test_a_dataset_dict_names_its_splits(files):
    splits = datasets.DatasetDict({"train": table(files)})
    with pytest.raises(TypeError, match="a dict of 'train': give one of its values"):
        TiedLoader(splits, VIEWS)


def test_with_transform(files):
    """The library's own way: the views of a batch, keyed by nothing, as any transform's."""
    view = View(16)

    def augment(batch):
        batch["pixels"] = [view(image["bytes"]) for image in batch.pop("image")]
        return batch

    ds = table(files).cast_column("image", Image(decode=False)).with_transform(augment)
    batch = next(iter(DataLoader(ds, batch_size=4)))
    assert batch["pixels"].shape == (4, 3, 16, 16)
    assert batch["pixels"].dtype == torch.uint8
