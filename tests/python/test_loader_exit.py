"""TiedLoader in processes that end, are interrupted, forked or killed in mid-epoch."""

import signal
import textwrap
import time
from pathlib import Path

import pytest
import ready_process

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="forks, and signals")


def run(code, *arguments):
    return ready_process.start("-c", textwrap.dedent(code), *arguments)


PRELUDE = """
    import os, sys, time, threading, warnings
    warnings.simplefilter("error")
    from tied_augment import TiedLoader, TwoView, View
    paths = [os.path.join(r, f) for r, _, fs in os.walk(sys.argv[1]) for f in sorted(fs)]
    class Paths:
        def __init__(self, n, seconds=0.0): self.n, self.seconds = n, seconds
        def __len__(self): return self.n
        def __getitem__(self, i):
            time.sleep(self.seconds)
            return paths[i % len(paths)], i
    from tied_augment.located import Located
    import tied_augment.loader.indexed as module
    def native(n, seconds=0.0):
        dataset = Paths(n)
        located = Located(lambda i: (i,), [paths[i % len(paths)] for i in range(n)])
        module.locate = lambda d: located
        return dataset
"""


def test_the_interpreter_ends_in_mid_epoch(image_folder):
    code = """
    keep = []
    for make in (native, Paths):
        keep.append(iter(TiedLoader(make(1 << 16), TwoView(View(64)), 512, prefetch=4)))
        keep.append(next(keep[-1]))
    print("end", flush=True)
    """
    process = run(PRELUDE + code, str(image_folder))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "end\n", "")


def test_the_interpreter_ends_while_a_daemon_thread_consumes(image_folder):
    code = """
    class Stream(Iterable):
        def __iter__(self):
            for i in range(1 << 16):
                time.sleep(0.005)
                yield paths[i % len(paths)], i

    def consume(loader, pause, began):
        for _ in range(3):
            for _ in loader:
                began.set()
                time.sleep(pause)
            print("an epoch's end", flush=True)

    waits = []
    for pause in (0, 0.01):
        for dataset in (native(1 << 12), Paths(1 << 12), Stream()):
            loader = TiedLoader(dataset, TwoView(View(64)), 8, threads=1)
            waits.append(threading.Event())
            arguments = (loader, pause, waits[-1])
            threading.Thread(target=consume, args=arguments, daemon=True).start()
    for began in waits:
        began.wait(20)
    print("end", flush=True)
    """
    process = run(PRELUDE + "    from collections.abc import Iterable\n" + code, str(image_folder))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "end\n", "")


def test_the_interpreter_ends_at_any_moment_of_a_daemon_thread(image_folder):
    """It may be at an epoch's begin, or within torch: ended there, it would abort the process."""
    code = """
    import random, signal
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of fork with threads

    def consume(loader, short):
        while True:
            for number, _ in enumerate(loader):
                if short and number == 1:
                    break

    for trial in range(10):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            for number in range(4):
                output = "float32" if number % 2 else "uint8"
                loader = TiedLoader(Paths(64), TwoView(View(8)), 4, threads=1, output=output)
                arguments = (loader, number < 2)
                threading.Thread(target=consume, args=arguments, daemon=True).start()
            time.sleep(random.Random(trial).random() * 0.2)
            sys.exit(0)
        print(os.waitpid(child, 0)[1], flush=True)
    """
    process = run(PRELUDE + code, str(image_folder))
    out, err = process.communicate(timeout=100)
    assert (process.returncode, set(out.split()), err) == (0, {"0"}, "")


def test_ctrl_c_while_waiting(image_folder):
    code = """
    for make, seconds in ((native, 0.0), (Paths, 0.0), (Paths, 0.2)):
        loader = TiedLoader(make(1 << 18, seconds), TwoView(View(8)), 1 << 17)
        iteration = iter(loader)
        print("waits", flush=True)
        try:
            next(iteration)
        except KeyboardInterrupt:
            print("interrupted", len(threading.enumerate()), flush=True)
    """
    process = run(PRELUDE + code, str(image_folder))
    for _ in range(3):
        assert process.stdout.readline() == "waits\n"
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted 1\n"
        # A second is what it takes at most; the machine may be busy with other things, too.
        assert time.monotonic() - began < 5
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_fork_before_and_after_the_start(image_folder):
    code = """
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of fork with threads
    for make in (native, Paths):
        loader = TiedLoader(make(64), TwoView(View(16)), 8)
        iteration = iter(loader)
        first = next(iteration)[1].tolist()
        child = os.fork()
        if child == 0:
            try:
                next(iteration)
            except RuntimeError as error:
                print("forked" in str(error), flush=True)
            print([t.tolist() for _, t in loader][0] == first, flush=True)
            del iteration
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(len(list(iteration)), flush=True)
    """
    process = run(PRELUDE + code, str(image_folder))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.split(), err) == (0, ["True", "True", "7"] * 2, "")


def test_two_processes_share_an_epoch(image_folder, tmp_path):
    code = """
    import torch.distributed as dist
    from torch.utils.data.distributed import DistributedSampler
    rank = int(sys.argv[2])
    dist.init_process_group("gloo", f"file://{sys.argv[3]}/store", rank=rank, world_size=2)
    for make in (native, Paths):
        dataset = make(50)
        loader = TiedLoader(dataset, TwoView(View(16)), 8, sampler=DistributedSampler(dataset))
        for epoch in range(2):
            loader.set_epoch(epoch)
            print(*(i for _, targets in loader for i in targets.tolist()), flush=True)
    dist.destroy_process_group()
    """
    ranks = [run(PRELUDE + code, str(image_folder), str(rank), str(tmp_path)) for rank in range(2)]
    outs = [process.communicate(timeout=100) for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], outs
    epochs = [
        [set(map(int, line.split())) for line in lines]
        for lines in zip(*(out.splitlines() for out, _ in outs), strict=True)
    ]
    assert len(epochs) == 4
    for first, second in epochs:
        assert not first & second
        assert first | second == set(range(50))
    assert epochs[0] == epochs[2] != epochs[1]


def test_a_killed_consumer_leaves_no_process(image_folder):
    code = """
    loader = TiedLoader(native(1 << 16), TwoView(View(64)), 64)
    iteration = iter(loader)
    next(iteration)
    print("runs", flush=True)
    time.sleep(60)
    """
    process = run(PRELUDE + code, str(image_folder))
    assert process.stdout.readline() == "runs\n"
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    process.communicate()


@pytest.mark.parametrize("handled", [False, True])
def test_sigterm_while_waiting(image_folder, handled):
    """As a cluster's scheduler sends it. A handler of Python's own gets to run."""
    code = """
    import signal
    if sys.argv[2] == "True":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    iterations = [iter(TiedLoader(make(1 << 18, 0.2), TwoView(View(8)), 1 << 17))
                  for make in (native, Paths)]
    print("waits", flush=True)
    next(iterations[1])
    """
    process = run(PRELUDE + code, str(image_folder), str(handled))
    assert process.stdout.readline() == "waits\n"
    time.sleep(0.3)
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (7 if handled else -signal.SIGTERM, "", "")


def test_os_exit_in_mid_epoch(image_folder):
    code = """
    keep = [iter(TiedLoader(make(1 << 16), TwoView(View(64)), 64)) for make in (native, Paths)]
    batches = [next(iteration) for iteration in keep]
    os._exit(7)
    """
    process = run(PRELUDE + code, str(image_folder))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (7, "", "")


def test_exec_in_mid_epoch(image_folder):
    """The new program has no thread of the loader's, and no file that it had open."""
    code = """
    keep = [iter(TiedLoader(make(1 << 16), TwoView(View(64)), 64)) for make in (native, Paths)]
    batches = [next(iteration) for iteration in keep]
    new = (
        "import os; links = [os.readlink(f'/proc/self/fd/{n}') for n in range(200)"
        " if os.path.exists(f'/proc/self/fd/{n}')];"
        "print(len(os.listdir('/proc/self/task')), [link for link in links if '.jpg' in link])"
    )
    os.execv(sys.executable, [sys.executable, "-c", new])
    """
    process = run(PRELUDE + code, str(image_folder))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "1 []\n", "")


def test_spawn_in_mid_epoch(image_folder):
    """A loader goes to a spawned process as it is: both make the epoch that comes next."""
    code = """
    import multiprocessing
    from torchvision.datasets import ImageFolder
    loader = TiedLoader(ImageFolder(sys.argv[1]), TwoView(View(16)), 4, shuffle=True)
    iteration = iter(loader)
    first = next(iteration)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(list, (loader,))
    rest = list(iteration)
    here = list(loader)
    same = [(a == b).all().item() for one in zip(there, here) for a, b in zip(*one)]
    print(same == [True] * 6, len(rest))
    """
    process = run(PRELUDE + code, str(image_folder))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "True 2\n", "")
