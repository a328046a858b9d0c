"""What TiedModel refuses or warns of, and what it leaves to the model."""

from collections import OrderedDict

import pytest
import timm
import torch
from small_models import images, plain, small_net, views
from torch import nn
from torch.utils.checkpoint import checkpoint

from tied_augment import TiedModel


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(4, 2)

    def forward(self, batch):
        return self.project(batch)


def twice():
    linear = nn.Linear(4, 4)
    return nn.Sequential(linear, linear)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TiedModel(3), TypeError, "model must be a torch.nn.Module, got 3"),
        (lambda: TiedModel(TiedModel(small_net())), TypeError, "is a TiedModel already"),
        (
            lambda: TiedModel(timm.create_model("test_resnet", num_classes=0)),
            ValueError,
            r"'fc' of ResNet is an Identity \(num_classes=0\?\).*feature_module='the.name'",
        ),
        (lambda: TiedModel(Bare()), ValueError, "Bare has no classifier that can be found; name"),
        (
            lambda: TiedModel(Bare(), feature_module="head"),
            ValueError,
            "feature_module: Bare has no module 'head'; .* its children are project",
        ),
    ],
)
def test_refuses_wrong_models(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("model", "batch", "error", "message"),
    [
        (small_net, "images", TypeError, "images must be a tensor, or a list .*, got str"),
        (small_net, [torch.zeros(1, 3, 8, 8), None], TypeError, "list of Tensor, NoneType"),
        (small_net, [torch.zeros(1, 3, 8, 8)], ValueError, "2 views of one shape, got the"),
        (
            small_net,
            [torch.zeros(1, 3, 8, 8), torch.zeros(2, 3, 8, 8)],
            ValueError,
            "2 views of one shape",
        ),
        (small_net, torch.zeros(3, 1, 3, 8, 8), ValueError, r"must be \(2, B, C, H, W\), views"),
        (twice, torch.zeros(4, 4), RuntimeError, "was called 2 times in one forward"),
        (
            lambda: nn.Sequential(nn.Flatten(2), nn.Linear(64, 2)),
            torch.zeros(4, 3, 8, 8),
            RuntimeError,
            r"input of '1' has shape \(4, 3, 64\), expected \(2B, D\)",
        ),
    ],
)
def test_refuses_what_it_cannot_tie(model, batch, error, message):
    tied = TiedModel(model())
    with pytest.raises(error, match=message):
        tied(batch)


def test_says_so_when_the_classifier_was_replaced():
    tied = TiedModel(plain()).train()
    tied.reset_classifier(3)
    with pytest.raises(RuntimeError, match=r"'fc' was called 0 times .*replaced after TiedModel"):
        tied(images())


def test_refuses_to_run_as_a_replica():
    tied = TiedModel(small_net())
    tied._is_replica = True  # as nn.DataParallel, which needs GPUs, sets it on its replicas
    with pytest.raises(RuntimeError, match="whose replicas would share its taps"):
        tied(torch.zeros(4, 3, 8, 8))


def test_an_error_in_the_model_closes_the_tap():
    tied = TiedModel(small_net())
    with pytest.raises(RuntimeError, match=r"expected input\[4, 1, 8, 8\]"):
        tied(torch.randn(4, 1, 8, 8))
    assert all(tap.inputs is None for tap in tied._taps)
    assert tied(torch.randn(4, 3, 8, 8))[1].shape == (4, 8)


def test_refuses_another_number_of_views():
    with pytest.raises(ValueError, match=r"must be \(3, B, C, H, W\), views first, got \(2, 3"):
        TiedModel(small_net(), num_views=3)(views(2))
    with pytest.raises(ValueError, match="images must be 3 views of one shape, got the shapes"):
        TiedModel(small_net(), num_views=3)(list(views(2)))


class Normalising(nn.Module):
    """A model that takes raw images."""

    def __init__(self):
        super().__init__()
        self.fc = small_net()

    def forward(self, batch):
        return self.fc(batch.float() / 255)


@pytest.mark.parametrize("forward", ["joint", "separate"])
def test_raw_images_are_for_models_that_normalise_them(forward):
    raw = (255 * views().sigmoid()).to(torch.uint8)
    logits, features = TiedModel(Normalising(), forward=forward)(raw)
    expected = TiedModel(small_net(), forward=forward)(raw.float() / 255)
    assert torch.equal(logits, expected[0])
    assert torch.equal(features, expected[1])
    tied = TiedModel(small_net(), forward=forward)
    message = r"failed on images of torch.uint8: .*Byte.*normalize=Normalize\(mean, std\)"
    with pytest.raises(RuntimeError, match=message):
        tied(raw)
    assert all(tap.inputs is None for tap in tied._taps)


@pytest.mark.parametrize("pack", [list, tuple, torch.stack])
def test_in_eval_mode_views_are_for_models_that_take_them(pack):
    both = pack(tuple(views()))
    message = r"failed on several views, .* train mode only: call \.train\(\) to get \(logits"
    tied = TiedModel(small_net()).eval()
    with pytest.raises(RuntimeError, match=message):
        tied(both)
    with pytest.raises(RuntimeError, match=message):
        TiedModel(Normalising()).eval()(both)
    taking = nn.Sequential(Joining(), nn.Linear(8, 5))
    assert TiedModel(taking).eval()(both).shape == (6, 5)


class Joining(nn.Module):
    """Takes a list of views."""

    def forward(self, both):
        return torch.cat(list(both)).flatten(1)[:, :8]


def test_in_eval_mode_raw_images_are_for_models_that_normalise_them():
    raw = (255 * views().sigmoid()).to(torch.uint8)[0]
    assert TiedModel(Normalising()).eval()(raw).shape == (3, 5)
    with pytest.raises(RuntimeError, match=r"images of torch.uint8: .*Byte.*output='float32'"):
        TiedModel(small_net()).eval()(raw)
    with pytest.raises(RuntimeError, match=r"^Given groups=1"):
        TiedModel(small_net()).eval()(views()[0][:, :1])
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        TiedModel(small_net()).eval()()


class Reentrant(nn.Module):
    """A model whose layers run without grad in the forward pass, and again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(OrderedDict(body=nn.Linear(4, 3), fc=nn.Linear(3, 2)))

    def forward(self, batch):
        return checkpoint(self.inner, batch.requires_grad_(), use_reentrant=True)


def test_warns_once_of_features_that_cannot_be_trained():
    message = "the input of 'inner.fc' needs no gradient, but the logits do.*use_reentrant=False"
    tied = TiedModel(Reentrant(), feature_module="inner.fc")
    with pytest.warns(RuntimeWarning, match=message):
        tied(torch.randn(4, 4))
    tied(torch.randn(4, 4))  # an error if it warned again
    frozen = TiedModel(small_net())
    for parameter in frozen.conv.parameters():
        parameter.requires_grad_(False)
    for parameter in frozen.norm.parameters():
        parameter.requires_grad_(False)
    with pytest.warns(RuntimeWarning, match="needs no gradient"):
        frozen(views())


def test_does_not_warn_where_nothing_is_trained():
    tied = TiedModel(small_net()).requires_grad_(False)
    tied(views())
    with torch.no_grad():
        TiedModel(small_net())(views())


def test_other_errors_are_the_models_own():
    with pytest.raises(RuntimeError, match=r"^Given groups=1"):
        TiedModel(small_net())(views()[:, :, :1])
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2"):  # no images: rows of numbers
        TiedModel(nn.Sequential(nn.Linear(4, 2)))(torch.zeros(2, 4, dtype=torch.int64))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"forward": "seperate"}, ValueError, "got 'seperate': did you mean 'separate'"),
        ({"forward": "split"}, ValueError, "got 'split': did you mean 'separate'"),
        ({"forward": True}, TypeError, r"forward must be one of \('joint', 'separate'\), got True"),
        ({"num_views": "2"}, TypeError, "num_views must be an int, got '2'"),
        ({"num_views": 2.0}, TypeError, "num_views must be an int, got 2.0"),
        ({"num_views": 1}, ValueError, "num_views must be at least 2, got 1"),
        ({"forward": "both"}, ValueError, r"one of \('joint', 'separate'\), got 'both'$"),
        ({"feature_module": []}, ValueError, "feature_module must name at least one module"),
        ({"feature_module": ["pool", "fc"]}, ValueError, "Sequential has no module 'fc'; choose"),
    ],
)
def test_refuses_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        TiedModel(small_net(), **arguments)


def test_refuses_data_parallel():
    with pytest.raises(TypeError, match=r"use torch.*DistributedDataParallel\(TiedModel\(model"):
        TiedModel(nn.DataParallel(small_net()))


def test_refuses_a_class():
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, got the class Normalising"):
        TiedModel(Normalising)
