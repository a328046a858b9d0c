"""TiedLoader: threads begin and end when they should, and nothing is left after them."""

import contextlib
import gc
import os
import threading
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset, TiedLoader, TwoView, View, build_info

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")

VIEWS = TwoView(View(16))


class Slow:
    """A data set whose code takes its time."""

    def __init__(self, samples, seconds=0.0):
        self.samples = samples
        self.seconds = seconds

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return self.samples[index]


EXITING = 4  # PF_EXITING in Linux: such a thread can be joined, but is listed a little longer


def own_threads():
    rust = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
            flags = int(rest.split()[6])
            if name.startswith("tied-loader") and not flags & EXITING:
                rust.append(name)
    return rust + [t.name for t in threading.enumerate() if t.name == "tied-fetch"]


def assert_running(rust, python):
    """Threads take their names after they have begun."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        names = own_threads()
        if (len(names) - names.count("tied-fetch"), names.count("tied-fetch")) == (rust, python):
            return
        time.sleep(0.005)
    pytest.fail(f"not {rust} + {python} threads: {own_threads()}")


def handles():
    return len(os.listdir("/proc/self/fd"))


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def sources(folder):
    dataset = ImageFolder(folder)
    return [dataset, Slow(dataset.samples)]


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    gc.collect()
    assert own_threads() == []


def test_threads_begin_with_the_iteration_and_end_with_it(image_folder):
    for source in sources(image_folder):
        loader = TiedLoader(source, VIEWS, 4, threads=3)
        assert own_threads() == []
        iteration = iter(loader)
        assert_running(3, 0 if isinstance(source, ImageFolder) else 1)
        assert len(list(iteration)) == 3
        assert own_threads() == []
        with pytest.raises(StopIteration):
            next(iteration)


def consumer_that_throws(loader):
    for _ in loader:
        raise KeyError


def test_break_exceptions_and_garbage(image_folder):
    for source in sources(image_folder):
        loader = TiedLoader(source, VIEWS, 2, threads=2)
        for _ in loader:
            break
        assert own_threads() == []
        with pytest.raises(KeyError):
            consumer_that_throws(loader)
        assert own_threads() == []
        iterations = [iter(loader) for _ in range(3)]
        assert_running(6, 0 if isinstance(source, ImageFolder) else 3)
        iterations[0].close()
        assert_running(4, 0 if isinstance(source, ImageFolder) else 2)
        cycle = [iterations]
        cycle.append(cycle)
        del iterations, cycle
        gc.collect()
        assert own_threads() == []


class SlowStream(Slow, IterableDataset):
    def __iter__(self):
        return (self[index] for index in range(len(self)))


@pytest.mark.parametrize("kind", [Slow, SlowStream])
def test_a_slow_data_set_is_asked_no_more_once_closed(image_folder, kind):
    samples = ImageFolder(image_folder).samples * 20
    iteration = iter(TiedLoader(kind(samples, 0.05), VIEWS, len(samples)))
    assert "tied-fetch" in own_threads()
    iteration.close()
    assert own_threads() == []


def test_a_failing_sample_ends_the_threads(image_folder):
    dataset = ImageFolder(image_folder)
    dataset.samples[7] = ("/nowhere.jpg", 0)
    for source in (dataset, Slow(dataset.samples)):
        iteration = iter(TiedLoader(source, VIEWS, 4))
        next(iteration)
        with pytest.raises(FileNotFoundError, match="nowhere"):
            next(iteration)
        assert own_threads() == []
        with pytest.raises(StopIteration):
            next(iteration)


def test_many_at_once(image_folder):
    loaders = [TiedLoader(s, VIEWS, 5, seed=i) for i in range(4) for s in sources(image_folder)]
    rounds = list(zip(*loaders, *loaders, strict=True))
    assert len(rounds) == 3
    for number, (images, _) in enumerate(TiedLoader(loaders[0].dataset, VIEWS, 5)):
        assert torch.equal(rounds[number][0][0], images)
        assert torch.equal(rounds[number][1][0], images)


def test_slow_consumers_get_no_more_than_prefetch(image_folder):
    read = []

    class Noting(Slow):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    loader = TiedLoader(Noting(ImageFolder(image_folder).samples), VIEWS, 2, prefetch=2)
    iteration = iter(loader)
    deadline = time.monotonic() + 10
    while len(read) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert read == [0, 1, 2, 3]
    next(iteration)
    iteration.close()
    assert len(read) <= 6


def test_stats_say_who_waits(image_folder):
    loader = TiedLoader(Slow(ImageFolder(image_folder).samples, 0.01), VIEWS, 4)
    assert loader.stats()["images"] == 0
    list(loader)
    slow_data = loader.stats()
    assert slow_data["images"] == 12
    assert slow_data["data_seconds"] > slow_data["consumer_seconds"]
    loader = TiedLoader(ImageFolder(image_folder), VIEWS, 4)
    for _ in loader:
        time.sleep(0.1)
    slow_consumer = loader.stats()
    assert slow_consumer["consumer_seconds"] > slow_consumer["data_seconds"]
    assert slow_consumer["ready"] == 0
    assert slow_consumer["images_per_second"] <= 12 / 0.3
    assert 0 < slow_consumer["busy"] < 1


def epochs_leave_nothing(folder, count):
    loaders = [TiedLoader(source, VIEWS, 4, threads=2, shuffle=True) for source in sources(folder)]
    after_some = None
    for epoch in range(count):
        for loader in loaders:
            for _ in loader:
                pass
        if epoch == count // 5:
            gc.collect()
            after_some = resident(), handles()
    gc.collect()
    assert own_threads() == []
    assert handles() == after_some[1]
    assert resident() - after_some[0] < 8 << 20


def test_hundreds_of_epochs_leave_nothing(image_folder):
    epochs_leave_nothing(image_folder, 250)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_epochs_leave_nothing(image_folder):
    epochs_leave_nothing(image_folder, 5000)


def test_files_that_vanish_change_and_grow_short_while_running(tmp_path, image_folder):
    for path, _ in ImageFolder(image_folder).samples:
        (tmp_path / "c").mkdir(exist_ok=True)
        (tmp_path / "c" / Path(path).name).write_bytes(Path(path).read_bytes())
    dataset = ImageFolder(tmp_path)
    paths = [Path(path) for path, _ in dataset.samples]
    content = [path.read_bytes() for path in paths]
    stop = threading.Event()

    def disturb():
        number = 0
        while not stop.is_set():
            number += 1
            path = paths[number % 12]
            if number % 3 == 0:
                path.unlink(missing_ok=True)
            elif number % 3 == 1:
                path.write_bytes(content[number % 12][: 20 * (number % 30)])
            else:
                path.write_bytes(content[(number + 5) % 12])
            time.sleep(0.0005)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        skipping = TiedLoader(dataset, VIEWS, 4, on_error="skip", threads=2)
        raising = TiedLoader(dataset, VIEWS, 4, on_error="raise", threads=2)
        for _ in range(30):
            try:
                assert sum(len(targets) for _, targets in skipping) == 12
            except RuntimeError as error:  # all 12 files may be bad at one time
                assert "in a row" in str(error)  # noqa: PT017
            with contextlib.suppress(OSError):
                list(raising)
            assert own_threads() == []
    finally:
        stop.set()
        thread.join()
    assert skipping.skipped > 0


def test_threads_are_shared_with_the_processes_of_torchrun(image_folder, monkeypatch):
    cores = build_info()["threads"]
    for processes, threads in (("1", cores), (str(cores), 1), (str(4 * cores), 1), ("", cores)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert TiedLoader(ImageFolder(image_folder), VIEWS).threads == threads


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_torchs_workers_may_be_forked_meanwhile(image_folder):
    dataset = ImageFolder(image_folder)
    iteration = iter(TiedLoader(dataset, VIEWS, 4))
    first = next(iteration)[0]
    other = TiedDataset(dataset, VIEWS)
    other.set_epoch(0)
    for (one, two), _ in DataLoader(other, 4, num_workers=1, multiprocessing_context="fork"):
        assert torch.equal(torch.stack([one, two]), first)
        break
    assert len(list(iteration)) == 2
