"""A run for torchrun, which dies in mid-epoch and is restarted (`test_elastic_run`).

Usage: elastic_run.py FOLDER SAVED DYING

It trains for two epochs on FOLDER. Rank 0 saves after every second step what the loader's state
is and which samples have been trained on. In epoch 1 the process on host ``b`` gets SIGKILL if
DYING is ``worker``, that and its torchrun if it is ``host``, neither if it is ``none``.
"""

import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torchvision.datasets import ImageFolder

from tied_augment import TiedLoader, TwoView, View

EPOCHS = 2
DIES_AFTER = 5  # steps of epoch 1, of which the last is not saved


def die(dying):
    if dying == "host":
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def save(path, checkpoint):
    torch.save(checkpoint, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def main(folder, saved, dying):
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    loader = TiedLoader(
        ImageFolder(folder), TwoView(View(8)), 2, shuffle=True, seed=7, return_index=True
    )
    trained, worlds = [[] for _ in range(EPOCHS)], []
    if saved.exists():
        checkpoint = torch.load(saved)
        loader.load_state_dict(checkpoint["loader"])
        trained, worlds = checkpoint["trained"], checkpoint["worlds"]
    worlds = [*worlds, dist.get_world_size()]
    first_start = len(worlds) == 1
    while (epoch := loader.state_dict()["epoch"]) < EPOCHS:
        for step, (_, _, indices) in enumerate(loader, 1):
            parts = [torch.empty(0)] * dist.get_world_size()
            dist.all_gather_object(parts, indices)
            trained[epoch] += [part.tolist() for part in parts]
            if dist.get_rank() == 0 and step % 2 == 0:
                state = loader.state_dict()
                save(saved, {"loader": state, "trained": trained, "worlds": worlds})
            dist.barrier()
            last = first_start and epoch == 1 and step == DIES_AFTER
            if last and os.environ["HOST"] == "b" and dying != "none":
                die(dying)
    if dist.get_rank() == 0:
        save(saved, {"loader": loader.state_dict(), "trained": trained, "worlds": worlds})
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
