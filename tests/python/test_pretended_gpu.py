"""Everything stays on the GPU, and nothing waits for it: checked without one.

torch's fake tensors have a device and a shape, and no values. An operation that mixes devices is an
error with them, and so is reading a value, for which a GPU would be waited for.
"""

import pytest
import timm
import torch
from small_models import small_net
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from tied_augment import Normalize, TiedLoss, TiedModel
from tied_augment.loss import SCHEDULES, SIMILARITIES, Schedule
from tied_augment.similarity import js

pytestmark = pytest.mark.skipif(
    torch.version.cuda is None, reason="a torch that is built without CUDA knows no such device"
)

PAIRS, CLASSES = 4, 5


@pytest.fixture(autouse=True)
def pretended():
    with FakeTensorMode():
        yield


def outputs(dtype=torch.float32):
    """Logits, features and class indices on a GPU."""
    return (
        torch.randn(2 * PAIRS, CLASSES, device="cuda", dtype=dtype, requires_grad=True),
        torch.randn(2 * PAIRS, 7, device="cuda", dtype=dtype, requires_grad=True),
        torch.zeros(PAIRS, dtype=torch.int64, device="cuda"),
    )


def on_gpu(make):
    """A module whose parameters are made there: torch can't move fake ones."""
    with torch.device("cuda"):
        return make()


def test_the_pretence_finds_both_mistakes():
    first, second = torch.randn(2, 3, device="cuda"), torch.randn(2, 3)
    with pytest.raises(RuntimeError, match="device"):
        first + second
    with pytest.raises(DataDependentOutputException):
        first.sum().item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", SIMILARITIES)
def test_every_similarity(name, dtype):
    logits, features, target = outputs(dtype)
    criterion = TiedLoss(similarity=name, tied_weight=200.0, label_smoothing=0.1)
    for _ in range(2):
        loss = criterion(logits, features, target)
        assert (loss.device.type, loss.dtype) == ("cuda", torch.float32)
    assert {part.device.type for part in criterion.last.values()} == {"cuda"}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule(name):
    criterion = TiedLoss(schedule=Schedule(name, 10)).to("cuda")
    for _ in range(2):
        assert criterion(*outputs()).device.type == "cuda"
    step = torch.zeros((), dtype=torch.int64, device="cuda")
    if name != "constant":
        assert criterion(*outputs(), step=step).device.type == "cuda"
        assert criterion.schedule.step.device.type == "cuda"


@pytest.mark.parametrize(
    "arguments",
    [
        {"supervise": "first"},
        {"layer_weights": [0.5, 2.0]},
        {"similarity": js},
        {"similarity": lambda first, second: (first - second).abs().mean()},
    ],
    ids=["supervise", "layer_weights", "js", "own"],
)
def test_other_arguments(arguments):
    logits, features, target = outputs()
    given = [features, features] if "layer_weights" in arguments else features
    assert TiedLoss(**arguments)(logits, given, target).device.type == "cuda"


@pytest.mark.parametrize("forward", ["joint", "separate"])
def test_a_model_takes_bytes(forward):
    plain = on_gpu(lambda: timm.create_model("test_resnet", num_classes=CLASSES))
    tied = TiedModel(plain, forward=forward, normalize=Normalize())  # whose numbers are on the CPU
    images = torch.empty(2, PAIRS, 3, 32, 32, dtype=torch.uint8, device="cuda")
    logits, features = tied(images)
    assert logits.device.type == features.device.type == "cuda"


def test_channels_last_stays():
    images = torch.empty(2 * PAIRS, 3, 8, 8, dtype=torch.uint8, device="cuda")
    normalised = Normalize()(images.to(memory_format=torch.channels_last))
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    logits, _ = on_gpu(lambda: TiedModel(small_net()))(normalised)
    assert logits.device.type == "cuda"
