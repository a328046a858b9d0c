"""The rule of docs/loss.md, "Choosing a weight", applied to the results of runs.

A weight is kept if it raises the classification loss by at most 10% over weight 0. Of those kept
the most accurate one is chosen, if it beats weight 0 by more than noise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tied_augment.cli.tune.runs import Run

__all__ = ["MOST_CE", "Verdict", "judge", "table"]

# Of the untied run's classification loss.
MOST_CE = 1.1

# Student's t for 1, 2, ... degrees of freedom: 95% of differences of nothing are nearer to 0.
_STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)


@dataclass(frozen=True)
class Verdict:
    """What follows.

    Attributes:
        weight: the weight to use; None if the runs do not say.
        sentences: the reasons, for the user.
    """

    weight: float | None
    sentences: list[str]


@dataclass(frozen=True)
class _Lead:
    """By how many points of accuracy one weight is better than another.

    Attributes:
        points: the mean over the seeds.
        noise: what differences of nothing seldom exceed; None if that is not known.
    """

    points: float
    noise: float | None

    @property
    def counts(self) -> bool:
        return self.noise is not None and abs(self.points) > self.noise

    def __str__(self) -> str:
        noise = "unknown" if self.noise is None else f"{self.noise:.2f}"
        return f"{self.points:+.2f} points, noise {noise}"


def _of(runs: Sequence[Run], weight: float) -> list[Run]:
    return sorted((each for each in runs if each.weight == weight), key=lambda each: each.seed)


def _top1(runs: Sequence[Run], weight: float) -> float:
    return statistics.fmean(each.top1 for each in _of(runs, weight))


def _ce(runs: Sequence[Run], weight: float) -> float:
    return statistics.fmean(each.ce for each in _of(runs, weight))


def _lead(runs: Sequence[Run], weight: float, other: float) -> _Lead:
    """With one seed noise is that of the validation images, else that over the seeds."""
    pairs = list(zip(_of(runs, weight), _of(runs, other), strict=True))
    points = [one.top1 - two.top1 for one, two in pairs]
    mean = statistics.fmean(points)
    if len(points) > 1:
        student = _STUDENT[min(len(points) - 1, len(_STUDENT)) - 1]
        return _Lead(mean, student * statistics.stdev(points) / math.sqrt(len(points)))
    (one, two) = pairs[0]
    if not one.images:
        return _Lead(mean, None)
    variances = [each.top1 * (100 - each.top1) / one.images for each in (one, two)]
    return _Lead(mean, 2 * math.sqrt(sum(variances)))


def _kept(runs: Sequence[Run], weight: float) -> bool:
    # False for NaN.
    return _ce(runs, weight) <= MOST_CE * _ce(runs, 0.0)


def judge(runs: Sequence[Run]) -> Verdict:
    """Apply the rule.

    Args:
        runs: at weight 0 and at others, each with the same seeds.
    """
    weights = list(dict.fromkeys(each.weight for each in runs if each.weight != 0))
    if not math.isfinite(_ce(runs, 0.0)):
        return Verdict(None, ["Weight 0 has diverged: lower --lr before you tune the weight."])
    kept = [weight for weight in weights if _kept(runs, weight)]
    if not kept:
        least = min(weights, key=abs)
        return Verdict(
            None,
            [
                f"Every weight raises CE by more than 10%: try smaller ones, such as "
                f"{least / 10:g}, or --tied-schedule warmup."
            ],
        )
    best = max(kept, key=lambda weight: _top1(runs, weight))
    lead = _lead(runs, best, 0.0)
    if not lead.counts:
        return Verdict(None, _within_noise(runs, best, lead))
    if lead.points < 0:
        return Verdict(
            None,
            [
                f"No weight helps here: the best, {best:g}, is worse than weight 0 ({lead}). Train "
                "without --tied-augment, or try another --tied-similarity."
            ],
        )
    sentences = [f"Weight {best:g} is better than weight 0: {lead}."]
    equals = [each for each in kept if each != best and not _lead(runs, best, each).counts]
    if equals:
        names = ", ".join(f"{each:g}" for each in equals)
        sentences.append(f"Within noise these are as good: {names}.")
    if best == max(weights) > 0:
        sentences.append(f"It is the largest weight that was tried: try {10 * best:g}, too.")
    if len(_of(runs, best)) == 1:
        sentences.append(
            "Noise is that of the validation images. How far seeds differ is not known from one: "
            "--seeds 42,43,44 adds two."
        )
    return Verdict(best, sentences)


def _within_noise(runs: Sequence[Run], best: float, lead: _Lead) -> list[str]:
    seeds = [each.seed for each in _of(runs, best)]
    more = ",".join(str(seed) for seed in [*seeds, max(seeds) + 1, max(seeds) + 2])
    count = "one seed does" if len(seeds) == 1 else f"{len(seeds)} seeds do"
    return [
        f"No choice: {count} not tell the weights apart. The best, {best:g}, differs from weight 0 "
        f"by {lead}.",
        f"The same command with --seeds {more} keeps these runs and adds to them; more --epochs, "
        "with another --output, let differences grow.",
    ]


def table(runs: Sequence[Run]) -> str:
    """A line per weight: means over the seeds, and whether the weight is kept."""
    header = f"{'weight':>8}{'top-1, %':>10}{'over weight 0':>32}{'CE':>9}{'of weight 0':>13}"
    lines = [header]
    for weight in dict.fromkeys(each.weight for each in runs):
        share = _ce(runs, weight) / _ce(runs, 0.0) if _ce(runs, 0.0) else math.nan
        lead = str(_lead(runs, weight, 0.0)) if weight else ""
        left_out = "" if weight == 0 or _kept(runs, weight) else "  left out: above 110%"
        figures = f"{_top1(runs, weight):>10.2f}{lead:>32}{_ce(runs, weight):>9.4g}"
        lines.append(f"{weight:>8g}{figures}{share:>13.0%}{left_out}")
    return "\n".join(lines)
