"""TiedLoader: files that can't be read, and data sets whose own code fails."""

import io
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from loader_sets import VIEWS, Items, Stream, epoch_of, expected, paths_of
from PIL import Image
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset, TiedLoader


@pytest.mark.parametrize("native", [True, False])
def test_bad_files_are_skipped_as_in_timm(image_folder, tmp_path, caplog, native):
    folder = tmp_path / "images"
    shutil.copytree(image_folder, folder)
    paths = paths_of(folder)
    Path(paths[2]).write_bytes(b"no image")
    Path(paths[3]).write_bytes(Path(paths[3]).read_bytes()[:200])
    dataset = ImageFolder(folder)
    Path(paths[11]).unlink()
    source = dataset if native else Items(dataset.samples)
    loader = TiedLoader(source, VIEWS, 6, on_error="skip")
    with caplog.at_level(logging.WARNING, "tied_augment.loader"):
        batches = epoch_of(loader)
    taken = [0, 1, 4, 4, 4, 5, 6, 7, 8, 9, 10, 0]
    for number, (images, targets) in enumerate(batches):
        indices = taken[6 * number : 6 * number + 6]
        assert torch.equal(images, expected(paths, indices))
        assert targets.tolist() == [dataset.targets[index] for index in indices]
    warnings = [record.getMessage() for record in caplog.records]
    assert loader.skipped == loader.stats()["skipped"] == len(warnings) == 4
    for path, count in ((paths[2], 1), (paths[3], 2), (paths[11], 1)):
        assert sum(path in warning for warning in warnings) == count
    with pytest.raises(OSError, match=re.escape(Path(paths[2]).name)):
        list(TiedLoader(source, VIEWS, 6))
    assert loader.skipped == 4


def test_errors_of_a_data_sets_own_code(image_folder):
    path = paths_of(image_folder)[0]
    items = [(path, 0), OSError("lost"), OSError("lost"), (path, 3)]
    loader = TiedLoader(Items(items), VIEWS, 4, on_error="skip")
    [(images, targets)] = epoch_of(loader)
    assert targets.tolist() == [0, 3, 3, 3]
    assert torch.equal(images, expected([path] * 4, [0, 3, 3, 3]))
    assert loader.skipped == 3
    for error in (KeyError("defect"), ValueError("defect")):
        broken = TiedLoader(Items([(path, 0), error]), VIEWS, 1, on_error="skip")
        iteration = iter(broken)
        assert next(iteration)[1].tolist() == [0]
        with pytest.raises(type(error), match="defect"):
            next(iteration)
    with pytest.raises(TypeError, match="tuple"):
        list(TiedLoader(Items([path]), VIEWS))
    with pytest.raises(TypeError, match="got dict"):
        list(TiedLoader(Items([({}, 1)]), VIEWS))


@pytest.mark.parametrize("native", [True, False])
def test_too_many_bad_files_in_a_row(image_folder, native):
    dataset = ImageFolder(image_folder)
    dataset.samples = [(f"/nowhere/{i}.jpg", 0) for i in range(30)] + dataset.samples
    source = dataset if native else Items(dataset.samples)
    loader = TiedLoader(source, VIEWS, 4, on_error="skip", sampler=[11, 12])
    assert len(epoch_of(loader)) == 1
    assert loader.skipped == 19 + 18
    loader = TiedLoader(source, VIEWS, 4, on_error="skip", sampler=[10])
    with pytest.raises(RuntimeError, match=r"20 samples in a row .* number 29"):
        list(loader)


def test_bad_samples_of_a_stream(image_folder):
    paths = paths_of(image_folder)[:5]
    samples = [(paths[0], 0), (b"no image", 1), (b"no image", 2), (paths[3], 3), (b"", 4)]
    loader = TiedLoader(Stream(samples), VIEWS, 5, on_error="skip")
    [(images, targets)] = epoch_of(loader)
    assert targets.tolist() == [0, 3, 3, 3, 0]
    assert torch.equal(images, expected(paths, [0, 3, 3, 3, 0]))
    with pytest.raises(OSError, match="index 1: not an image"):
        list(TiedLoader(Stream(samples), VIEWS, 5))
    many = Stream([(path, i) for i, path in enumerate(paths)])
    assert len(epoch_of(TiedLoader(many, VIEWS, 2))) == 3
    assert len(epoch_of(TiedLoader(many, VIEWS, 2, drop_last=True))) == 2
    assert epoch_of(TiedLoader(Stream([]), VIEWS, 2)) == []
    with pytest.raises(TypeError):
        len(TiedLoader(many, VIEWS, 2))


def test_replacements_in_a_stream_keep_their_own_index_and_target(image_folder, caplog):
    path = paths_of(image_folder)[0]
    samples = [(b"bad", 0), (path, 1), (path, 2), (b"bad", 3)]
    loader = TiedLoader(Stream(samples), VIEWS, 4, on_error="skip")
    with caplog.at_level(logging.WARNING, "tied_augment.loader"):
        [(images, targets)] = epoch_of(loader)
    assert targets.tolist() == [1, 1, 2, 1]
    assert torch.equal(images, expected([path] * 4, [1, 1, 2, 1]))
    skipped = [record.args[0] for record in caplog.records]
    assert skipped == [0, 3, 0]  # the last replaced number 3


def bad(count):
    return [(b"no image", -1)] * count


@pytest.mark.parametrize("prefetch", [1, 3])
def test_batches_of_bad_samples_only_are_left_out_of_a_stream(image_folder, caplog, prefetch):
    good = [(path, number) for number, path in enumerate(paths_of(image_folder))]
    samples = [*bad(4), *good[4:7], *bad(5), good[0], *bad(5)]
    for size, wanted in ((1, [[4], [5], [6], [0]]), (2, [[4, 5], [6, 6], [0, 0]])):
        caplog.clear()
        loader = TiedLoader(Stream(samples), VIEWS, size, on_error="skip", prefetch=prefetch)
        with caplog.at_level(logging.WARNING, "tied_augment.loader"):
            batches = epoch_of(loader)
        assert [targets.tolist() for _, targets in batches] == wanted
        assert len(caplog.records) == loader.skipped == 14
        assert loader.stats()["images"] == sum(map(len, wanted))
    loader = TiedLoader(Stream([*good[:2], *bad(3)]), VIEWS, 2, on_error="skip", drop_last=True)
    assert [targets.tolist() for _, targets in epoch_of(loader)] == [[0, 1]]
    assert epoch_of(TiedLoader(Stream(bad(19)), VIEWS, 4, on_error="skip")) == []


@pytest.mark.parametrize("size", [1, 3, 7, 32])
def test_too_many_bad_samples_of_a_stream_in_a_row(image_folder, size):
    good = [(paths_of(image_folder)[0], 0)] * size
    loader = TiedLoader(Stream([*good, *bad(19), *good]), VIEWS, size, on_error="skip")
    assert len(epoch_of(loader)) >= 2
    many = TiedLoader(Stream([*good, *bad(19 + size)]), VIEWS, size, on_error="skip")
    iteration = iter(many)
    next(iteration)
    last = size + 19
    with pytest.raises(RuntimeError, match=rf"20 samples in a row .* number {last}$"):
        next(iteration)
    assert many.skipped == 20
    with pytest.raises(OSError, match=f"index {size}: not an image"):
        list(TiedLoader(Stream([*good, *bad(2)]), VIEWS, size))


def test_batches_left_out_are_passed_over_by_a_resumed_stream(image_folder):
    good = [(path, number) for number, path in enumerate(paths_of(image_folder))]
    samples = [*good[:2], *bad(4), *good[2:4], *good[4:5]]
    whole = epoch_of(TiedLoader(Stream(samples), VIEWS, 2, on_error="skip"))
    assert len(whole) == 3
    for done in range(4):
        loader = TiedLoader(Stream(samples), VIEWS, 2, on_error="skip")
        iteration = iter(loader)
        for _ in range(done):
            next(iteration)
        state = loader.state_dict()
        assert state["batches"] == [0, 1, 4, 5][done]
        resumed = TiedLoader(Stream(samples), VIEWS, 2, on_error="skip")
        resumed.load_state_dict(state)
        assert [targets.tolist() for _, targets in resumed] == [t.tolist() for _, t in whole[done:]]


def stop(*_):
    raise StopIteration


def test_stop_iteration_of_users_code_is_no_end_of_the_epoch(image_folder):
    path = paths_of(image_folder)[0]
    items = Items([(path, 0), StopIteration(), (path, 2)])
    for loader in (TiedLoader(items, VIEWS), TiedLoader(items, VIEWS, 2, collate_fn=stop)):
        with pytest.raises(RuntimeError, match="raised StopIteration"):
            list(loader)


def test_targets_that_cannot_be_repeated_are_refused(image_folder):
    path = paths_of(image_folder)[0]
    with pytest.raises(TypeError, match="repeat_targets needs targets of numbers, got 'cat'"):
        list(TiedLoader(Items([(path, "cat")]), VIEWS, repeat_targets=True))


def cut_image(path):
    """A PIL image whose file is cut: Pillow finds out when the pixels are needed."""
    return Image.open(io.BytesIO(Path(path).read_bytes()[:-400]))


@pytest.mark.parametrize(
    ("make", "kind"), [(TiedLoader, Items), (TiedLoader, Stream), (TiedDataset, Items)]
)
def test_images_that_pillow_reads_late(image_folder, caplog, make, kind):
    paths = paths_of(image_folder)

    def items():
        opened = [Image.open(io.BytesIO(Path(path).read_bytes())) for path in paths[:2]]
        several = [opened[0], cut_image(paths[3]), opened[1]]
        return kind([(image, number) for number, image in enumerate(several)])

    def targets(on_error):
        if make is TiedLoader:
            [(_, targets)] = TiedLoader(items(), VIEWS, 3, on_error=on_error)
            return targets.tolist()
        return [target for _, target in TiedDataset(items(), VIEWS, on_error=on_error)]

    with pytest.raises(OSError, match=r"index 1: image file is truncated"):
        targets("raise")
    assert targets("skip") == [0, 2, 2]
    [message] = [record.getMessage() for record in caplog.records]
    assert message.startswith("Skipped sample 1: index 1: image file is truncated")


def test_a_late_image_that_replaces_another_is_skipped_too(image_folder):
    paths = paths_of(image_folder)
    items = [(path, number) for number, path in enumerate(paths[:5])]
    items[2], items[3] = (b"no image", 2), (cut_image(paths[3]), 3)
    loader = TiedLoader(Items(items), VIEWS, 1, sampler=[2], on_error="skip")
    [(_, targets)] = epoch_of(loader)
    assert targets.tolist() == [4]
    assert loader.skipped == 2


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "index 2: expected the bytes .* got NoneType"),
        (np.zeros((3, 8, 8), np.uint8), r"index 2: an array must be .*looks like \(3, H, W\)"),
        (np.zeros((8, 8, 3)), "index 2: an array must be .* of float64"),
        (torch.zeros(3, 8, 8), "index 2: expected the bytes .* got a torch tensor"),
    ],
)
@pytest.mark.parametrize("kind", [Items, Stream])
def test_a_wrong_item_is_named(image_folder, kind, image, message):
    items = [(path, number) for number, path in enumerate(paths_of(image_folder)[:4])]
    items[2] = (image, 2)
    with pytest.raises(TypeError, match=message):
        list(TiedLoader(kind(items), VIEWS, 4))
    items[2] = ("", 2)
    with pytest.raises(ValueError, match="index 2: a sample's path is empty"):
        list(TiedLoader(Items(items), VIEWS, 4))
