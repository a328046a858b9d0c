"""Small models and batches of images for the tests of TiedModel; no tests."""

from collections import OrderedDict

import timm
import torch
from torch import nn


def plain(name="test_resnet", **kwargs):
    """A model of timm with 7 classes, the same one at each call."""
    torch.manual_seed(0)
    if name == "test_vit":
        kwargs = {"img_size": 64} | kwargs
    return timm.create_model(name, num_classes=7, **kwargs)


def images(size=64):
    """Two views of two images, view-major."""
    return torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(size))


def small_net():
    """A classifier of 8x8 images with BatchNorm and 5 classes, the same one at each call."""
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 8, 3, bias=False),
            norm=nn.BatchNorm2d(8),
            act=nn.ReLU(),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classify=nn.Linear(8, 5),
        )
    )


def views(count=2, pairs=3):
    """Images for `small_net`, (views, pairs, 3, 8, 8)."""
    return torch.randn(count, pairs, 3, 8, 8, generator=torch.Generator().manual_seed(count))


def assert_equal(ours, theirs):
    """Of tensors, or tuples and lists of them: bit for bit."""
    ours, theirs = leaves(ours), leaves(theirs)
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert torch.equal(our, their)


def leaves(output):
    return list(output) if isinstance(output, tuple | list) else [output]
