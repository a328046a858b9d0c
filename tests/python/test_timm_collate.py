"""The collate functions for pairs of views, beside timm's for single images."""

import numpy as np
import pytest
import torch
from timm.data.loader import fast_collate
from torch.utils.data import default_collate

from tied_augment.timm.collate import NormalizedViews, collate_views

VIEW = np.zeros((3, 8, 8), np.uint8)
TARGETS = {
    "int": [3, 0, 2],
    "float": [0.5, 1.9, -1.5],
    "int32": list(np.array([3, 0, 2], np.int32)),
    "float32": list(np.array([3.5, 0.0, 2.0], np.float32)),
    "soft": list(torch.rand(3, 4)),
}


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize(
    ("ours", "timms"),
    [
        (collate_views, fast_collate),
        (NormalizedViews([0.5] * 3, [0.5] * 3, None), default_collate),
    ],
    ids=["prefetcher", "no-prefetcher"],
)
def test_targets_are_those_of_timm_twice(ours, timms, targets):
    _, got = ours([((VIEW, VIEW), target) for target in targets])
    _, wanted = timms([(VIEW, target) for target in targets])
    assert got.dtype == wanted.dtype
    assert torch.equal(got, torch.cat((wanted, wanted)))
