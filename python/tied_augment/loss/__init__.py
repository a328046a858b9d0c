"""The tied loss and its parts.

Lives here: `TiedLoss` (tied.py), the schedules of its weight (schedule.py), mixing for custom
training loops (mixup.py), Poly-1 cross entropy (criterion.py), the checks of arguments and inputs
(checks.py), the features of other processes (gather.py) and the watch for collapsed features
(collapse.py). May import torch, numpy, the similarities, the fused loss and the checks of
arguments. It must not know where the features come from: that is `tied_augment.model`.
"""

from tied_augment.loss.criterion import Poly1CrossEntropy
from tied_augment.loss.mixup import Mix, TiedMixup
from tied_augment.loss.schedule import SCHEDULES, Schedule
from tied_augment.loss.tied import TiedLoss
from tied_augment.similarity import SIMILARITIES

__all__ = [
    "SCHEDULES",
    "SIMILARITIES",
    "Mix",
    "Poly1CrossEntropy",
    "Schedule",
    "TiedLoss",
    "TiedMixup",
]
