"""TiedLoader in two real processes on gloo: by itself, under Accelerate, under Lightning."""

import importlib.util
import os
import socket
import textwrap

import pytest
import ready_process

pytestmark = pytest.mark.integration

PROCESSES = 2

needs_frameworks = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("accelerate", "lightning"))),
    reason="the frameworks are dependencies of development only",
)

PRELUDE = """
import os, sys, warnings
import torch
from torch.utils.data import RandomSampler
from torchvision.datasets import ImageFolder
from tied_augment import TiedLoader, TwoView, View

class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(images.samples)
    def __len__(self):
        return len(images.samples)

torch.set_num_threads(1)
images = ImageFolder(sys.argv[1])
images.samples = [(path, index) for index, (path, _) in enumerate(images.samples)][:11]
views = TwoView(View(16))
"""

# torch's gloo thread may abort in the interpreter's finalization, so a process ends without it.
ENDING = """
sys.stdout.flush()
os._exit(0)
"""


def outputs_of(code, *arguments):
    """What each of two processes, started as by torchrun, prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(PROCESSES):
        environment = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": PROCESSES,
            "LOCAL_WORLD_SIZE": PROCESSES,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "TORCHELASTIC_RUN_ID": "test",
            "TORCHELASTIC_RESTART_COUNT": 0,
            "GROUP_RANK": 0,
        }
        script = PRELUDE + textwrap.dedent(code) + ENDING
        env = os.environ | {name: str(value) for name, value in environment.items()}
        processes.append(ready_process.start("-c", script, *arguments, env=env))
    outputs = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES, outputs
    return [out for out, _ in outputs]


def epochs_of(output):
    """The targets of each line: an epoch's."""
    lines = [line for line in output.splitlines() if line.startswith("epoch: ")]
    return [[int(target) for target in line.split()[1:]] for line in lines]


def assert_shared(zero, one, shuffled):
    """Two ranks' epochs of 11 samples: disjoint but for the one that fills the last step."""
    assert len(zero) == len(one) == 2
    for first, second in zip(zero, one, strict=True):
        assert len(first) == len(second) == 6
        assert set(first) | set(second) == set(range(11))
    assert (zero[0] != zero[1]) == shuffled


def test_by_itself(image_folder):
    code = """
    loaders = {
        "shuffled": TiedLoader(images, views, 2, shuffle=True),
        "random": TiedLoader(images, views, 2, sampler=RandomSampler(images)),
        "stream": TiedLoader(Stream(), views, 2),
    }
    torch.manual_seed(int(os.environ["RANK"]))  # ranks may draw differently
    torch.distributed.init_process_group("gloo")
    for name, loader in loaders.items():
        print(loader)
        for _ in range(2):
            targets = [int(target) for _, targets in loader for target in targets]
            assert len(loader) == 3
            print("epoch:", *targets)
    torch.distributed.destroy_process_group()
    """
    outputs = outputs_of(code, image_folder)
    zero, one = map(epochs_of, outputs)
    for number, shuffled in enumerate((True, True, False)):
        part = slice(2 * number, 2 * number + 2)
        assert_shared(zero[part], one[part], shuffled)
    for rank, output in enumerate(outputs):
        assert output.count(f"rank {rank} of 2: 1 of every 2 samples") == 3


@needs_frameworks
def test_under_accelerate(image_folder):
    code = """
    from accelerate import Accelerator
    loader = TiedLoader(images, views, 2, shuffle=True)
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    prepared = accelerator.prepare(loader)
    assert prepared is loader
    for _ in range(2):
        print("epoch:", *(int(target) for _, targets in prepared for target in targets))
    accelerator.end_training()
    """
    assert_shared(*map(epochs_of, outputs_of(code, image_folder)), shuffled=True)


LIGHTNING = """
import lightning
warnings.simplefilter("ignore")

class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen, self.told = [], []
    def training_step(self, batch, index):
        images, targets = batch
        self.seen += targets.tolist()
        return self.layer(images.float().mean().view(1, 1)).sum()
    def on_train_batch_end(self, outputs, batch, index):
        if self.trainer.global_step == 2:
            self.trainer.save_checkpoint(checkpoint)
    def on_train_epoch_end(self):
        print("epoch:", *self.seen, flush=True)
        self.told.append(loader.sampler.epoch)
        self.seen.clear()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

def trainer():
    return lightning.Trainer(
        accelerator="cpu", strategy="ddp", devices=2, max_epochs=2, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=sys.argv[2],
    )

checkpoint = os.path.join(sys.argv[2], "cut.ckpt")
loader = TiedLoader(images, views, 2, shuffle=True)
module = Module()
"""


@needs_frameworks
def test_under_lightning(image_folder, tmp_path):
    code = """
trainer().fit(module, loader)
assert module.told == [0, 1], module.told
"""
    outputs = outputs_of(LIGHTNING + code, image_folder, tmp_path)
    assert_shared(*map(epochs_of, outputs), shuffled=True)


@needs_frameworks
def test_lightning_goes_on_in_mid_epoch(image_folder, tmp_path):
    """Lightning saves the loader of rank 0 only."""
    code = """
trainer().fit(module, loader)
loader = TiedLoader(images, views, 2, shuffle=True)
trainer().fit(Module(), loader, ckpt_path=checkpoint)
"""
    for output in outputs_of(LIGHTNING + code, image_folder, tmp_path):
        first, second, rest, again = epochs_of(output)
        assert (rest, again) == (first[4:], second)
