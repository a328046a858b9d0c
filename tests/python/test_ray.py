"""Views in Ray Data, on a cluster of two nodes: the pixels do not depend on it."""

import importlib
import io
import os
import pickle
import sys
import time
import uuid

import numpy as np
import pandas as pd
import pytest
import torch
from loader_sets import VIEWS, Items, paths_of
from PIL import Image

# Read when Ray is imported, and by the nodes' processes.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = uuid.uuid4().hex  # else Ray writes one into the home folder
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # else it warns

import ray
from ray.cluster_utils import Cluster
from ray.data import ActorPoolStrategy

import tied_augment
from tied_augment import DecodeError, TiedLoader, View, Views
from tied_augment.ray import Augment, TorchBatches

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(120),
    # Ray's own: sockets and files that it leaves open, and what it calls by old names.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

COUNT = 48
NODE = {"num_cpus": 2, "object_store_memory": 100 << 20}


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    cluster.add_node(**NODE)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def rows(image_folder):
    """Rows whose index is not their position."""
    files = []
    for path in paths_of(image_folder):
        with open(path, "rb") as file:
            files.append(file.read())
    return [
        {"bytes": files[row % len(files)], "label": row % 3, "index": 1000 - 7 * row}
        for row in range(COUNT)
    ]


def expected(rows, epoch=0, seed=0, views=VIEWS):
    """The views of each row, by index."""
    images, indices = ([row[name] for row in rows] for name in ("bytes", "index"))
    pixels = views.batch(images, indices, epoch, seed)
    return {index: pixels[:, number] for number, index in enumerate(indices)}


def assert_views(found, wanted):
    """That there are the views of all rows, of none twice, and that they are right."""
    assert sorted(row["index"] for row in found) == sorted(wanted)
    for row in found:
        for number, view in enumerate(wanted[row["index"]], 1):
            assert (row[f"view{number}"] != view).sum() == 0


def rows_of(batch):
    return [dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True)]


def with_node(batch):
    node = ray.get_runtime_context().get_node_id()
    return batch | {"node": np.array([node] * len(batch["index"]))}


slow = pytest.mark.slow  # Ray takes seconds to start processes, which import torch


@pytest.mark.parametrize("form", ["tasks", pytest.param("actors", marks=slow)])
@pytest.mark.parametrize("blocks", [4, 16])
def test_pixels_follow_from_seed_epoch_and_index(cluster, rows, form, blocks):
    ds = ray.data.from_items(rows, override_num_blocks=blocks)
    if form == "tasks":
        ds = ds.map_batches(Augment(VIEWS, seed=5, epoch=3), batch_size=4)
    else:
        arguments = {"views": VIEWS, "seed": 5, "epoch": 3}
        pool = ActorPoolStrategy(size=4)
        ds = ds.map_batches(Augment, fn_constructor_kwargs=arguments, batch_size=4, compute=pool)
    found = ds.map_batches(with_node, batch_size=None).take_all()
    assert found[0].keys() == {"index", "label", "view1", "view2", "node"}
    assert {row["index"]: row["label"] for row in found} == {
        row["index"]: row["label"] for row in rows
    }
    assert_views(found, expected(rows, 3, 5))
    if (form, blocks) == ("actors", 16):
        assert len({row["node"] for row in found}) == 2


@slow
def test_a_node_that_dies_changes_nothing(cluster, rows):
    """Its tasks are made again elsewhere, and so are its blocks that were not yet taken."""
    node = cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    many = [row | {"index": 5000 + number} for number, row in enumerate(rows * 6)]
    ds = ray.data.from_items(many, override_num_blocks=72)
    ds = ds.map_batches(Augment(VIEWS, seed=1), batch_size=4).map_batches(slowly, batch_size=4)
    found, nodes = [], set()
    for number, batch in enumerate(ds.iter_batches(batch_size=4, prefetch_batches=0)):
        found += rows_of(batch)
        nodes |= set(batch["node"].tolist())
        if number == 4:
            cluster.remove_node(node, allow_graceful=False)
    assert len(nodes) > 1
    assert_views(found, expected(many, 0, 1))


def slowly(batch):
    time.sleep(0.1)
    return with_node(batch)


def test_each_execution_is_the_next_epoch(cluster, rows):
    ds = ray.data.from_items(rows, override_num_blocks=4).map_batches(Augment(VIEWS))
    for epoch in range(3):
        assert_views(list(ds.iter_rows()), expected(rows, epoch))
    fixed = ray.data.from_items(rows).map_batches(Augment(VIEWS, epoch=7))
    for _ in range(2):
        assert_views(list(fixed.iter_rows()), expected(rows, 7))


@slow
def test_splits_share_an_epoch(cluster, rows):
    ds = ray.data.from_items(rows, override_num_blocks=8).map_batches(Augment(VIEWS))
    splits = ds.streaming_split(2, equal=True)
    parts = ray.get([two_epochs.remote(split) for split in splits])
    for epoch in range(2):
        indices = [index for part in parts for index in part[epoch][1].tolist()]
        images = torch.cat([part[epoch][0] for part in parts], 1)
        wanted = expected(rows, epoch)
        assert sorted(indices) == sorted(wanted)
        for number, index in enumerate(indices):
            assert (images[:, number].numpy() != wanted[index]).sum() == 0


@ray.remote(num_cpus=0)
def two_epochs(split):
    """The images and indices of each epoch."""
    batches = TorchBatches(split, batch_size=8, targets="index")
    epochs = [list(batches) for _ in range(2)]
    return [
        (torch.cat([images for images, _ in epoch], 1), torch.cat([index for _, index in epoch]))
        for epoch in epochs
    ]


FORMS = {
    "two views": VIEWS,
    "one view": View(32),
    "Views of one": Views(View(32)),
    "several sizes": Views(View(32), View(16), View(16)),
}


@pytest.fixture
def in_order(cluster):
    """Ray gives blocks as they come, unless it is told not to."""
    options = ray.data.DataContext.get_current().execution_options
    options.preserve_order = True
    yield
    options.preserve_order = False


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["cluster", "here"])
def test_batches_are_those_of_tied_loader(in_order, rows, form, place):
    views = FORMS[form]
    numbered = [row | {"index": number} for number, row in enumerate(rows[:22])]
    ds = ray.data.from_items(numbered, override_num_blocks=5)
    augment = Augment(views, seed=2, epoch=1)
    if place == "cluster":
        names = "view" if form == "one view" else None
        batches = TorchBatches(ds.map_batches(augment), batch_size=5, names=names)
    else:
        batches = TorchBatches(ds, batch_size=5, augment=augment)
    items = Items([(row["bytes"], row["label"]) for row in numbered])
    loader = TiedLoader(items, views, batch_size=5, seed=2)
    loader.set_epoch(1)
    compared = 0
    for (images, targets), (wanted, wanted_targets) in zip(batches, loader, strict=True):
        assert type(images) is type(wanted)
        for image, want in zip(images, wanted, strict=True):
            assert torch.equal(image, want)
        assert torch.equal(targets, wanted_targets)
        assert targets.dtype == wanted_targets.dtype
        compared += 1
    assert compared == 5


@slow
def test_the_hash_of_parquets_rows_is_an_index(cluster, rows, tmp_path):
    frame = pd.DataFrame({name: [row[name] for row in rows] for name in ("bytes", "label")})
    frame.to_parquet(tmp_path / "train.parquet")
    augment = Augment(VIEWS, index="row_hash")
    found = []
    for blocks in (1, 12):
        ds = ray.data.read_parquet(str(tmp_path), include_row_hash=True, override_num_blocks=blocks)
        made = ds.map_batches(augment, batch_size=5).take_all()
        found.append({row["row_hash"]: row["view1"].tobytes() for row in made})
    assert len(found[0]) == COUNT
    assert found[0] == found[1]


def test_paths_are_read_by_the_nodes(cluster, image_folder):
    paths = paths_of(image_folder)
    ds = ray.data.from_items([{"path": path, "index": n} for n, path in enumerate(paths)])
    wanted = VIEWS.batch(paths, range(len(paths)))
    made = ds.map_batches(Augment(VIEWS, image="path", epoch=0)).take_all()
    assert made[0].keys() == {"index", "view1", "view2"}
    assert_views(made, {index: wanted[:, index] for index in range(len(paths))})


@pytest.mark.parametrize("cpus", [0.5, 1, 2])
@pytest.mark.parametrize("form", ["tasks", pytest.param("actors", marks=slow)])
def test_threads_are_the_cpus_that_ray_gives(cluster, cpus, form):
    count = CountThreads(VIEWS) if form == "tasks" else CountThreads
    arguments = {} if form == "tasks" else {"fn_constructor_args": [VIEWS]}
    ds = ray.data.range(1).map_batches(count, num_cpus=cpus, **arguments)
    assert ds.take_all() == [{"threads": max(1, int(cpus))}]


class CountThreads(Augment):
    def __call__(self, batch):
        return {"threads": np.array([tied_augment.ray._threads()])}


def test_a_bad_file_is_named_in_rays_error(cluster, rows):
    broken = rows[3]["bytes"][:-200]
    ds = ray.data.from_items([*rows[:3], rows[3] | {"bytes": broken}], override_num_blocks=1)
    message = r"row 3 of the batch, index 979, column 'bytes': .*truncated"
    with pytest.raises(ray.exceptions.RayTaskError, match=message):
        ds.map_batches(Augment(VIEWS)).take_all()


def a_batch(rows, **changes):
    batch = {name: np.array([row[name] for row in rows[:4]]) for name in ("label", "index")}
    images = np.empty(4, object)
    images[:] = [row["bytes"] for row in rows[:4]]
    return {"bytes": images, **batch, **changes}


def test_called_by_hand(rows):
    batch = a_batch(rows)
    given = dict(batch)
    made = Augment(VIEWS, seed=3, epoch=2)(batch)
    assert batch.keys() == given.keys()
    wanted = expected(rows[:4], 2, 3)
    assert_views(rows_of(made), wanted)
    twin = pickle.loads(pickle.dumps(Augment(VIEWS, seed=3, epoch=2)))
    assert all((twin(batch)[name] == column).all() for name, column in made.items())
    empty = Augment(VIEWS)({name: column[:0] for name, column in batch.items()})
    assert empty["view2"].shape == (0, 3, 32, 32)


def test_a_batch_in_another_format_is_refused(rows):
    with pytest.raises(TypeError, match=r"a dict of numpy arrays, .*leave out batch_format"):
        Augment(VIEWS)(pd.DataFrame(rows))


def test_a_call_by_hand_does_not_start_ray(rows, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: pytest.fail("this starts Ray"))
    batch = {"bytes": np.array([rows[0]["bytes"]], object), "index": np.array([0])}
    Augment(View(32), epoch=0)(batch)


def test_arrays_and_files_that_end_in_zeros(rows, photos):
    black = io.BytesIO()
    Image.new("RGB", (40, 40)).save(black, "BMP")
    assert black.getvalue().endswith(b"\0\0\0")
    images = np.empty(3, object)
    images[:] = [photos[0], photos[1], black.getvalue()]
    made = Augment(VIEWS)({"bytes": images, "index": np.arange(3)})
    assert (made["view2"] != VIEWS.batch(list(images), range(3))[1]).sum() == 0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"index": None}, ValueError, r"no column 'index' among .*: give Augment\(index=\.\.\.\)"),
        ({"bytes": None}, ValueError, r"no column 'bytes' among .*: give Augment\(image=\.\.\.\)"),
        ({"view2": np.arange(4)}, ValueError, "there is a column 'view2' already"),
        ({"index": np.arange(4.0)}, TypeError, "'index' must be of integers from 0 up, got float"),
        ({"index": -np.arange(4)}, TypeError, "'index' must be of integers from 0 up, got int64"),
        ({"index": np.array(list("abcd"))}, TypeError, "'index' must be of integers"),
        ({"bytes": np.array([b"a\0"] * 4)}, TypeError, "drops zeros at the end"),
        ({"bytes": np.arange(4)}, TypeError, "row 0 of the batch, index 1000, column 'bytes': exp"),
        ({"bytes": np.array([b"no"] * 4, object)}, DecodeError, "index 1000, column 'bytes': not"),
        ({"bytes": np.array(["no.jpg"] * 4)}, OSError, "column 'bytes': no.jpg: cannot read"),
    ],
)
def test_what_batches_are_refused(rows, changes, error, message):
    batch = a_batch(rows, **changes)
    batch = {name: column for name, column in batch.items() if column is not None}
    with pytest.raises(error, match=message):
        Augment(VIEWS)(batch)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"views": [View(32)]}, TypeError, "views must be a TwoView, Views or a View, got list"),
        ({"views": VIEWS, "names": ["a"]}, ValueError, "names must be 2 different names"),
        ({"views": VIEWS, "names": ["a", "a"]}, ValueError, "names must be 2 different names"),
        ({"views": VIEWS, "names": ["a", "b", "b"]}, ValueError, "names must be 2 different names"),
        ({"views": VIEWS, "names": "ab"}, TypeError, "names must be names of columns"),
        ({"views": VIEWS, "image": 3}, TypeError, "image must be the name of a column"),
        ({"views": VIEWS, "epoch": -1}, ValueError, "epoch must be from 0"),
        ({"views": VIEWS, "threads": 0}, ValueError, "threads must be from 1"),
    ],
)
def test_what_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Augment(**arguments)


def test_what_torch_batches_refuses(cluster, rows):
    ds = ray.data.from_items(rows[:4])
    with pytest.raises(ValueError, match=r"give Augment\(epoch=\.\.\.\)"):
        TorchBatches(ds, augment=Augment(VIEWS))
    with pytest.raises(TypeError, match="data must be a Dataset or a DataIterator, got list"):
        TorchBatches(rows)
    with pytest.raises(TypeError, match="augment must be an Augment, got "):
        TorchBatches(ds, augment=VIEWS)
    with pytest.raises(ValueError, match="names= of the views are those of augment: leave it out"):
        TorchBatches(ds, augment=Augment(VIEWS, epoch=0), names=["a", "b"])
    with pytest.raises(TypeError, match="a collate_fn of its own"):
        TorchBatches(ds, collate_fn=list)
    with pytest.raises(ValueError, match="no column 'view1' or 'view' among"):
        list(TorchBatches(ds))
    made = ds.map_batches(Augment(VIEWS, names=["a", "b"]))
    with pytest.raises(ValueError, match="no column 'kind' among"):
        list(TorchBatches(made, names=["a", "b"], targets="kind"))
    named = made.add_column("kind", lambda frame: "cat")
    with pytest.raises(ValueError, match="column 'kind' of targets= is not of numbers"):
        list(TorchBatches(named, names=["a", "b"], targets="kind"))


def test_without_ray_the_import_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "tied_augment.ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'tied-augment\[ray\]'"):
        importlib.import_module("tied_augment.ray")
