"""Schedules of the tied weight, computed on tensors.

Lives here: `Schedule`. Its step is a buffer: it is saved and moved with the loss, and torch.compile
sees an input of one graph instead of a number that differs at each step. May import torch, the
checks of arguments and tracing. A compiled graph must never change the step that it reads, because
the backward pass may compute the factor from it again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tied_augment.arguments import check_int, check_name
from tied_augment.tracing import in_backward

_NEED_STEPS = ("linear_up", "linear_down", "warmup", "cosine")
SCHEDULES = (
    "constant",
    *_NEED_STEPS,
    "random",
    "probabilistic",
    "negate_even",
    "negate_odd",
)
_is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)  # not in torch 2.2
_NO_STEP_IN_BACKWARD = (
    "the loss was called within a backward pass. Activation checkpointing does so to run the "
    "forward pass again, but the schedule has gone on to a later step. Compute the loss outside of "
    "torch.utils.checkpoint, or pass the step of each call: loss(..., step=n)"
)
_ALIASES = {"linear": "linear_up", "cosine_decay": "cosine", "none": "constant"}


class Schedule(nn.Module):
    """A factor of the tied weight that depends on the step.

    ===============  ==========================================================================
    `name`           factor at step t = 0, 1, ...
    ===============  ==========================================================================
    constant         1
    linear_up        ``t / (steps - 1)``, from 0 to 1, then 1
    linear_down      ``1 - t / (steps - 1)``, from 1 to 0, then 0
    cosine           ``(1 + cos(pi * t / steps)) / 2``, from 1 towards 0, then 0
    warmup           ``t / warmup_steps`` for the first `warmup_steps`, then 1
    random           uniform in [-1, 1)
    probabilistic    1 or -1 with equal chances
    negate_even      -1 at even steps, 1 at odd ones
    negate_odd       1 at even steps, -1 at odd ones
    ===============  ==========================================================================

    random and probabilistic depend only on (`seed`, t): a resumed run draws what the uninterrupted
    run would have drawn, and all processes of a distributed run draw the same.

    Args:
        name: one of the above.
        steps: calls of the loss in the whole run, at least 1; for linear_up, linear_down, cosine,
            and for warmup without `warmup_steps`.
        warmup_steps: for warmup, at least 1; None is a tenth of `steps`.
        seed: of random and probabilistic, in [0, 2**31).

    Attributes:
        step: the next step, an int64 scalar, in the state_dict. ``schedule.step.fill_(n)`` sets it
            between two calls. A compiled call puts a new tensor in its place.

    Raises:
        TypeError: the name is not a string, or a number is not an int.
        ValueError: the name is unknown, or a number is missing, out of range or not for this name.

    Source: the reference's torch code (linear, warmup, random, probabilistic, negate) and its Flax
    code (cosine, linear_down).
    """

    step: Tensor

    def __init__(
        self,
        name: str,
        steps: int | None = None,
        *,
        warmup_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_name("schedule", name, SCHEDULES, aliases=_ALIASES)
        if name in _NEED_STEPS and steps is None and (name != "warmup" or warmup_steps is None):
            raise ValueError(
                f"schedule {name!r} needs the number of steps: "
                f"Schedule({name!r}, steps=epochs * steps_per_epoch)"
            )
        for key, value in (("steps", steps), ("warmup_steps", warmup_steps)):
            if value is not None:
                check_int(key, value, 1)
        if warmup_steps is not None and name != "warmup":
            raise ValueError(f"warmup_steps are of schedule 'warmup', and this is {name!r}")
        check_int("seed", seed)
        if not 0 <= seed < 2**31:
            raise ValueError(f"seed must be in [0, 2**31), got {seed}")
        self.name = name
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.seed = seed
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, step: int | Tensor | None = None) -> Tensor:
        """Return the factor of this step. In train mode, advance to the next step.

        Args:
            step: the step to use instead of the buffer's: an int of at least 0, or an integer
                tensor of one number, which is not read in Python.

        Returns:
            A float32 scalar on the device of the buffer.

        Raises:
            TypeError: `step` is not an integer.
            ValueError: `step` is negative or too large, or a tensor of several numbers.
            RuntimeError: train mode, no `step`, and the call is within a backward pass, where
                activation checkpointing repeats a call whose step has passed. A compiled call
                cannot notice this.
        """
        repeated = not torch.compiler.is_compiling() and in_backward()
        if repeated and step is None and self.training:
            raise RuntimeError(_NO_STEP_IN_BACKWARD)
        now = self.step if step is None else self._given(step)
        factor = self.factor(now)
        if (self.training or step is not None) and not repeated:
            following = now + int(self.training)
            if torch.compiler.is_compiling() and not _is_exporting():
                # The backward pass may compute the factor from `now` again: do not change it.
                self.step = following
            else:  # CUDA graphs, torch.func and exported programs need a change in place
                self.step.copy_(following)
        return factor

    def _given(self, step: int | Tensor) -> Tensor:
        """`step` as a tensor like the buffer."""
        if isinstance(step, Tensor):
            wrong = step.is_floating_point() or step.is_complex() or step.dtype == torch.bool
            if wrong or step.numel() != 1:
                raise (TypeError if wrong else ValueError)(
                    f"step must be one integer, got a tensor of {step.dtype} and shape "
                    f"{tuple(step.shape)}"
                )
            return step.to(self.step).reshape(())
        check_int("step", step, 0)
        if step >= 2**63:
            raise ValueError(f"step must be below 2**63, got {step}")
        return torch.full_like(self.step, step)

    def factor(self, step: Tensor) -> Tensor:
        """The factors, float32, at the steps of an int64 tensor of any shape."""
        even = step % 2 == 0
        ones = torch.ones_like(step, dtype=torch.float32)
        match self.name:
            case "linear_up":
                return self._ramp(step)
            case "linear_down":
                return 1 - self._ramp(step)
            case "cosine":
                return (1 + torch.cos((step / (self.steps or 1)).clamp(0, 1) * torch.pi)) / 2
            case "warmup":
                warmup = self.warmup_steps or max((self.steps or 10) // 10, 1)
                return (step / warmup).clamp(0, 1)
            case "random":
                return 2 * self._uniform(step) - 1
            case "probabilistic":
                return ones.where(self._uniform(step) < 0.5, -ones)
            case "negate_even":
                return ones.where(~even, -ones)
            case "negate_odd":
                return ones.where(even, -ones)
        return ones

    def _ramp(self, step: Tensor) -> Tensor:
        return (step / max((self.steps or 2) - 1, 1)).clamp(0, 1)

    def _uniform(self, step: Tensor) -> Tensor:
        """A hash of (seed, step), uniform in [0, 1). All products stay below 2**62."""
        mask = 0x7FFFFFFF
        value = (step * 0x2545F491 + self.seed * 0x3C6EF372 + 0x1B873593) & mask
        for factor in (0x45D9F3B, 0x2C1B3C6D, 0x297A2D39):
            value = ((value ^ (value >> 15)) * factor) & mask
        return ((value ^ (value >> 15)) >> 7) / 2.0**24

    def extra_repr(self) -> str:
        """Describe the arguments that were given."""
        given = [f"{key}={getattr(self, key)}" for key in ("steps", "warmup_steps", "seed")]
        return ", ".join([repr(self.name), *(text for text in given if not text.endswith("None"))])
