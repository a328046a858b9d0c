"""The parts of the loss in timm's log line and in the metrics of an epoch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from tied_augment.timm.criterion import PARTS, TiedCriterion

__all__ = ["averages", "in_log_lines"]


@contextmanager
def in_log_lines(logger: logging.Logger, criterion: TiedCriterion) -> Iterator[None]:
    """Append the parts of the latest step to the lines that train.py logs while training.

    timm chooses when to log, and by then waits for the device anyway. One process logs: in a
    distributed run `TiedRun.reduce_tensor` has averaged the parts by then.
    """

    def append(record: logging.LogRecord) -> bool:
        last = criterion.last
        if isinstance(record.msg, str) and record.msg.startswith("Train: ") and last:
            # As text of the message, which may have a '%', and not as arguments.
            record.msg += (
                f"  CE: {last['ce'].item():#.3g}  Sim: {last['similarity'].item():#.3g}"
                f"  Weight: {last['tied_weight'].item():.3g}"
                f"  Cos: {last['feature_cosine'].item():.3f}"
            )
        return True

    logger.addFilter(append)
    try:
        yield
    finally:
        logger.removeFilter(append)


def averages(criterion: TiedCriterion) -> dict[str, float]:
    """The means of the parts over an epoch's steps, and over all processes; resets them.

    Raises:
        RuntimeError: there was no step.
    """
    means = criterion.take_means()
    if means is None:
        raise RuntimeError(
            "the script trained an epoch without ever calling the tied criterion: it computes its "
            "loss in a way that --tied-augment does not know"
        )
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(means)  # equal numbers of steps: samplers see to that
        means /= dist.get_world_size()
    return dict(zip(PARTS, means.tolist(), strict=True))
