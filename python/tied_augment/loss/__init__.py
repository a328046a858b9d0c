"""The tied loss and what it is made of.

Lives here: `TiedLoss` (tied.py), the distances (similarity.py), the schedules of the weight
(schedule.py), mixing for custom loops (mixup.py), Poly-1 (criterion.py), the checks of what the
loss is given (checks.py), the gathering of features across processes (gather.py) and the watch for
collapsed features (collapse.py). These may import torch, numpy, one another, the fused loss and the
checks of arguments; they must never know where the features come from: that is
`tied_augment.model`.
"""

from tied_augment.loss.criterion import Poly1CrossEntropy
from tied_augment.loss.mixup import Mix, TiedMixup
from tied_augment.loss.schedule import SCHEDULES, Schedule
from tied_augment.loss.similarity import (
    SIMILARITIES,
    cka,
    cosine,
    cosine_l2_norm,
    js,
    l1,
    l2_norm,
    linear_cka,
    mse,
    vicreg,
)
from tied_augment.loss.tied import TiedLoss

__all__ = [
    "SCHEDULES",
    "SIMILARITIES",
    "Mix",
    "Poly1CrossEntropy",
    "Schedule",
    "TiedLoss",
    "TiedMixup",
    "cka",
    "cosine",
    "cosine_l2_norm",
    "js",
    "l1",
    "l2_norm",
    "linear_cka",
    "mse",
    "vicreg",
]
