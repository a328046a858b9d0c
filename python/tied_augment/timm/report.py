"""The parts of the tied loss in timm's log lines and in the metrics of an epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch.distributed as dist

from tied_augment.timm.criterion import PARTS, TiedCriterion

__all__ = ["averages", "in_log_lines"]


@contextmanager
def in_log_lines(
    logger: logging.Logger, criterion: TiedCriterion, also: Callable[[], None]
) -> Iterator[None]:
    """Append the parts of the latest step to the lines that train.py logs in the block.

    Reading them waits for the device, which timm does anyway when it logs. One process logs; in a
    distributed run `TiedRun.reduce_tensor` has averaged the parts over all processes before.

    Args:
        logger: train.py's.
        criterion: that of the run.
        also: called at each of these lines.
    """

    def append(record: logging.LogRecord) -> bool:
        last = criterion.last
        if isinstance(record.msg, str) and record.msg.startswith("Train: ") and last:
            # Appended as text, not as arguments: timm's message is formatted already.
            record.msg += (
                f"  CE: {last['ce'].item():#.3g}  Sim: {last['similarity'].item():#.3g}"
                f"  Weight: {last['tied_weight'].item():.3g}"
                f"  Cos: {last['feature_cosine'].item():.3f}"
            )
            also()
        return True

    logger.addFilter(append)
    try:
        yield
    finally:
        logger.removeFilter(append)


def averages(criterion: TiedCriterion) -> dict[str, float]:
    """The means of the parts over the steps of an epoch and all processes; resets the sums.

    Raises:
        RuntimeError: there was no step.
    """
    means = criterion.take_means()
    if means is None:
        raise RuntimeError(
            "the script trained an epoch without calling the tied criterion: it computes its loss "
            "in a way that --tied-augment does not support"
        )
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(means)  # all processes have made equally many steps
        means /= dist.get_world_size()
    return dict(zip(PARTS, means.tolist(), strict=True))
