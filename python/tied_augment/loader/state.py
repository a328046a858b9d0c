"""What `TiedLoader.state_dict` holds, and what is refused of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch

__all__ = ["State"]

_VERSION = 4


@dataclass(frozen=True)
class State:
    """The state of a loader after a number of batches.

    Attributes:
        epoch: the epoch.
        batches: how many of its batches are done.
        checksum: over the order of these.
        sampler_epoch: the samplers' own epoch; None if it is not known.
        random: all that the samplers drew from.
        seed: the loader's.
        world_size: how many processes share the data: each may go on from the state of any.
        checksum_of: the only rank whose order `checksum` is over; None if it is over that of all.
    """

    epoch: int
    batches: int
    checksum: int
    sampler_epoch: int | None
    random: dict[str, torch.Tensor]
    seed: int
    world_size: int
    checksum_of: int | None

    @classmethod
    def of_dict(cls, state: Any, seed: int) -> State:
        """The state that a dict holds, for a loader with this seed.

        Raises:
            ValueError: not a state of a loader, or one of a loader with another seed.
        """
        if not isinstance(state, dict) or state.get("version") != _VERSION:
            raise ValueError("this is not a state of a TiedLoader, or one of another version")
        if state["seed"] != seed:
            raise ValueError(f"the state is of seed {state['seed']}, the loader's is {seed}")
        return cls(**{field.name: state[field.name] for field in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values and tensors, which torch.save takes."""
        return {"version": _VERSION, **vars(self)}

    def refuse_other_world_size(self, world_size: int) -> None:
        """Raise ValueError if its steps are of another number of processes."""
        if self.world_size != world_size:
            raise ValueError(
                f"the state is of a run with {self.world_size} processes, but there are "
                f"{world_size}: go on with as many, or begin the epoch anew"
            )
