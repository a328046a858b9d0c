"""Runs of train.py files through the launcher, in this process, for the tests of it."""

import contextlib
import csv
import io
import logging
import os
import runpy
import socket
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import ready_process
import torch

from tied_augment.timm.launcher import run_script

SCRIPTS = Path(__file__).parents[1] / "timm_train"
BY_TASK = SCRIPTS / "by_task.py"
BY_CRITERION = SCRIPTS / "by_criterion.py"
# timm's own, if the user names any: see docs/timm.md.
REAL = [Path(path) for path in os.environ.get("TIMM_TRAIN_SCRIPT", "").split(os.pathsep) if path]
ALL = [BY_TASK, BY_CRITERION, *REAL]


@dataclass
class Run:
    """The output folder and the printed text of a run."""

    folder: Path
    text: str

    @property
    def steps(self):
        """The log lines of training steps."""
        return [line for line in self.text.splitlines() if line.startswith("Train: ")]

    @property
    def summary(self):
        """The rows of summary.csv, numbers as numbers."""
        with open(self.folder / "summary.csv") as file:
            return [
                {key: float(value) for key, value in row.items()} for row in csv.DictReader(file)
            ]

    def checkpoint(self, name="last.pth.tar"):
        return torch.load(self.folder / name, weights_only=False)


def base_options(data, out):
    """For a run of seconds on a CPU: a tiny model, images of 32 pixels, 4 classes."""
    return (
        f"--data-dir {data} --model test_resnet --img-size 32 --num-classes 4 -b 8 --device cpu "
        f"--workers 0 --epochs 1 --log-interval 1 --output {out} --experiment run"
    ).split()


def rewritten(script, folder, *changes):
    """A copy of `script` in `folder`, where each change is an old text and the new one."""
    text = script.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "shared.py").write_text((SCRIPTS / "shared.py").read_text())
    copy = folder / "train.py"
    copy.write_text(text)
    return copy


def run_alone(script, argv):
    """``python script *argv``."""
    sys.argv = [str(script), *argv]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


def launch(script, data, out, *options, tied=True, run=run_script):
    """Run `script` as ``tied-augment train`` does, and put back what that changes."""
    argv, path, modules = sys.argv, list(sys.path), set(sys.modules)
    handlers, level = list(logging.root.handlers), logging.root.level
    logging.root.handlers.clear()
    text = io.StringIO()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the models are so small that more threads wait for each other
    try:
        with (
            contextlib.redirect_stdout(text),
            contextlib.redirect_stderr(text),
            warnings.catch_warnings(),
        ):
            # Warnings of timm and torch about each other; ours are still errors.
            for package in ("timm", "torch"):
                warnings.filterwarnings("ignore", module=rf"{package}(\.|$)")
            # timm's ImageDataset leaves closing its files to the garbage collector.
            warnings.filterwarnings("ignore", category=ResourceWarning)
            flag = ["--tied-augment"] if tied else []
            run(Path(script), [*base_options(data, out), *flag, *options])
    finally:
        torch.set_num_threads(threads)
        sys.argv, sys.path[:] = argv, path
        for name in {"shared", "tied_augment_train_script"} & (set(sys.modules) - modules):
            del sys.modules[name]
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    return Run(Path(out) / "run", text.getvalue())


def on_two_processes(script, data, out, *options):
    """Run `script` with --tied-augment on two processes with gloo, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1"}
    settings |= {"MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    command = ["-m", "tied_augment", "train", script, *base_options(data, out), "--tied-augment"]
    processes = []
    for rank in range(2):
        changed = settings | {"RANK": rank, "LOCAL_RANK": rank}
        environment = os.environ | {name: str(value) for name, value in changed.items()}
        processes.append(ready_process.start(*command, *options, env=environment, ready="timm"))
    texts = [process.communicate(timeout=110)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], [text[-3000:] for text in texts]
    return Run(Path(out) / "run", "".join(texts))
