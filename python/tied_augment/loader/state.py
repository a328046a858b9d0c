"""What `TiedLoader.state_dict` holds, and what is refused of it."""

from __future__ import annotations

from typing import Any

import torch

from tied_augment.loader.iteration import Progress

__all__ = ["checked", "refuse_other_world_size", "state_of"]

_VERSION = 3


def state_of(
    progress: Progress,
    sampler_epoch: int | None,
    random: dict[str, torch.Tensor],
    seed: int,
    world_size: int,
    order_of_rank: int | None,
) -> dict[str, Any]:
    """The state of a loader after the batches that `progress` counts.

    Args:
        progress: of the epoch.
        sampler_epoch: what the samplers were told before it.
        random: all that they drew from.
        seed: the loader's.
        world_size: how many processes share the data: each may go on from the state of any.
        order_of_rank: the only rank whose order `progress` knows; None if it is that of all.
    """
    return {
        "version": _VERSION,
        "epoch": progress.epoch,
        "batches": progress.batches,
        "order": progress.order,
        "sampler_epoch": sampler_epoch,
        "random": random,
        "seed": seed,
        "world_size": world_size,
        "order_of_rank": order_of_rank,
    }


def checked(state: Any, seed: int) -> dict[str, Any]:
    """A copy of `state`.

    Raises:
        ValueError: it is of another kind, or of a loader with another seed.
    """
    if not isinstance(state, dict) or state.get("version") != _VERSION:
        raise ValueError("this is no state of a TiedLoader, or one of another version")
    if state["seed"] != seed:
        raise ValueError(f"the state is of seed {state['seed']}, the loader's is {seed}")
    return dict(state)


def refuse_other_world_size(state: dict[str, Any] | None, world_size: int) -> None:
    """Raise ValueError for a state whose steps are of another number of processes."""
    if state is not None and state["world_size"] != world_size:
        raise ValueError(
            f"the state is of a run with {state['world_size']} processes, but there are "
            f"{world_size}: go on with as many, or begin the epoch anew"
        )
