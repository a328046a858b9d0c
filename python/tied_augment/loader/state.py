"""What `TiedLoader.state_dict` holds, and what is refused of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch

from tied_augment.loader import samplers

__all__ = ["State"]

_VERSION = 5
# It had no `entries`, and of several processes the random state was not that of the order.
_WITHOUT_ENTRIES = 4


@dataclass(frozen=True)
class State:
    """The state of a loader after a number of batches.

    Attributes:
        epoch: the epoch.
        batches: how many of its batches are done.
        entries: how far that is in the epoch's order: the samples that all processes have done, or
            the batches of a batch sampler. What filled an incomplete last group counts, too.
        checksum: over the order of these.
        sampler_epoch: the samplers' own epoch; None if it is not known.
        random: all that the samplers drew from in the epoch.
        seed: the loader's.
        world_size: how many processes share the data: each may go on from the state of any.
        checksum_of: the only rank whose order `checksum` is over; None if it is over that of all.
    """

    epoch: int
    batches: int
    entries: int
    checksum: int
    sampler_epoch: int | None
    random: dict[str, torch.Tensor]
    seed: int
    world_size: int
    checksum_of: int | None

    @classmethod
    def of_dict(cls, state: Any, seed: int, batch_size: int) -> State:
        """The state that a dict holds.

        Args:
            state: the dict.
            seed: the loader's.
            batch_size: the loader's; 1 if it has a batch sampler.

        Raises:
            ValueError: not a state of a loader, or one of a loader with another seed.
        """
        version = state.get("version") if isinstance(state, dict) else None
        if version not in (_VERSION, _WITHOUT_ENTRIES):
            raise ValueError("this is not a state of a TiedLoader, or one of another version")
        if state["seed"] != seed:
            raise ValueError(f"the state is of seed {state['seed']}, the loader's is {seed}")
        if version == _WITHOUT_ENTRIES:
            state = _with_entries(state, batch_size)
        return cls(**{field.name: state[field.name] for field in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values and tensors, which torch.save takes."""
        return {"version": _VERSION, **vars(self)}

    def refuse_other_world_size(self, world_size: int, split_by: str) -> None:
        """Raise ValueError if `split_by` has split the data for another number of processes."""
        if self.world_size != world_size:
            raise ValueError(
                f"the state is of a run with {self.world_size} processes, but there are "
                f"{world_size}, and {split_by} splits the data by itself, otherwise for each "
                "number: go on with as many, begin the epoch anew by set_epoch without the state, "
                "or leave the splitting to TiedLoader (shuffle=True, or a sampler that knows of no "
                "ranks), which goes on with any number"
            )


def _with_entries(state: dict[str, Any], batch_size: int) -> dict[str, Any]:
    """A state of the version before, for a loader of the same batch size."""
    random = state["random"]
    if state["world_size"] > 1 and state["checksum_of"] is None and "global" in random:
        random = random | {"global": samplers.seeded(state["seed"], state["epoch"])}
    entries = state["batches"] * batch_size * state["world_size"]
    return state | {"random": random, "entries": entries}
