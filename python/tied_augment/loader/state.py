"""What `TiedLoader.state_dict` holds, and what is refused of it."""

from __future__ import annotations

from typing import Any

import torch

from tied_augment.loader.iteration import Progress
from tied_augment.ranks import Ranks

__all__ = ["checked", "refuse_other_rank", "state_of"]

_VERSION = 2


def state_of(
    progress: Progress,
    sampler_epoch: int | None,
    random: dict[str, torch.Tensor],
    seed: int,
    ranks: Ranks,
) -> dict[str, Any]:
    """The state of a loader after the batches that `progress` counts.

    Args:
        progress: of the epoch.
        sampler_epoch: what the samplers were told before it.
        random: all that they drew from.
        seed: the loader's.
        ranks: this process among all.
    """
    return {
        "version": _VERSION,
        "epoch": progress.epoch,
        "batches": progress.batches,
        "order": progress.order,
        "sampler_epoch": sampler_epoch,
        "random": random,
        "seed": seed,
        "ranks": (ranks.rank, ranks.world_size),
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


def refuse_other_rank(state: dict[str, Any] | None, ranks: Ranks) -> None:
    """Raise ValueError for the state of another rank."""
    if state is not None and Ranks(*state["ranks"]) != ranks:
        rank, world_size = state["ranks"]
        raise ValueError(
            f"the state is of rank {rank} of {world_size}, but this is rank {ranks.rank} of "
            f"{ranks.world_size}: save and load the state of every rank"
        )
