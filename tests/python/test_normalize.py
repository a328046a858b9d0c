"""`Normalize` equals torchvision's ToTensor and Normalize, eager, compiled and in TiedModel."""

import copy
import pickle
import shutil

import numpy as np
import pytest
import timm
import timm.data
import torch
from torch import nn
from torchvision import transforms

from tied_augment import Normalize, TiedLoader, TiedModel, View

RANDOM = np.random.default_rng(0)
CONSTANTS = [
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    *((tuple(RANDOM.uniform(0, 1, 3)), tuple(RANDOM.uniform(0.01, 1, 3))) for _ in range(10)),
]


def by_torchvision(image, mean, std):
    """Of an (3, H, W) uint8 tensor."""
    to_tensor = transforms.ToTensor()(image.permute(1, 2, 0).numpy())
    return transforms.Normalize(torch.tensor(mean), torch.tensor(std))(to_tensor)


def every_value():
    """All bytes in all channels, (2, 3, 16, 16)."""
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    return torch.cat([values, 255 - values]).expand(2, 3, 16, 16).contiguous()


@pytest.mark.parametrize(("mean", "std"), CONSTANTS)
def test_equals_torchvision(mean, std):
    images = every_value()
    ours = Normalize(mean, std)(images)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, torch.stack([by_torchvision(image, mean, std) for image in images]))
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.equal(Normalize(mean, std, dtype)(images), ours.to(dtype))


def test_equals_the_loader(image_folder):
    paths = [(str(path), 0) for path in sorted(image_folder.rglob("*.jpg"))]
    mean, std = CONSTANTS[4]
    for output in ("float32", "float16", "bfloat16"):
        dtype = getattr(torch, output)
        form = {"output": output, "mean": mean, "std": std}
        (floats, _), (bytes_, _) = (
            next(iter(TiedLoader(paths, View.eval(40), batch_size=12, **options)))
            for options in (form, {})
        )
        assert torch.equal(Normalize(mean, std, dtype)(bytes_), floats)


@pytest.mark.parametrize("shape", [(3, 5, 7), (4, 3, 5, 7), (2, 4, 3, 5, 7), (0, 3, 5, 7)])
def test_shapes(shape):
    images = torch.randint(256, shape, dtype=torch.uint8)
    whole = Normalize()(images)
    assert whole.shape == shape
    parts = [by_torchvision(image, *CONSTANTS[0]) for image in images.view(-1, *shape[-3:])]
    assert torch.equal(whole.view(-1, *shape[-3:]), torch.stack(parts) if parts else whole)


def test_channels_last_stays_so():
    images = every_value().to(memory_format=torch.channels_last)
    for call in (Normalize(), torch.compile(Normalize(), backend="aot_eager", fullgraph=True)):
        result = call(images)
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(result, Normalize()(every_value()))


def test_the_images_stay_as_they_are():
    images = every_value()
    Normalize()(images)
    assert torch.equal(images, every_value())


# torch's compiler imports and calls deprecated parts of torch itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiles_into_the_models_graph():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    both = nn.Sequential(Normalize(*CONSTANTS[3]), nn.Conv2d(3, 4, 3)).eval()
    compiled = torch.compile(both, backend="aot_eager", fullgraph=True)
    with torch.inference_mode():
        assert torch.equal(compiled(every_value()), both(every_value()))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


# Its first use compiles a header for a minute.
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not shutil.which("g++"), reason="inductor generates C++")
def test_compiled_code_has_the_same_bits():
    torch._dynamo.reset()
    for mean, std in CONSTANTS[3:5]:
        model = Normalize(mean, std)
        compiled = torch.compile(model, backend="inductor", fullgraph=True)
        assert torch.equal(compiled(every_value()), model(every_value()))


def test_conversions_of_a_model_do_not_change_it():
    model = nn.Sequential(Normalize(*CONSTANTS[3]), nn.Flatten())
    expected = model(every_value())
    assert model.state_dict() == {}
    for change in (nn.Module.half, nn.Module.double, nn.Module.bfloat16, nn.Module.float):
        assert torch.equal(change(model)(every_value()), expected)
    assert torch.equal(copy.deepcopy(model)(every_value()), expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(every_value()), expected)
    of_arrays = Normalize(*map(np.array, CONSTANTS[3]))
    assert torch.equal(of_arrays(every_value()).flatten(1), expected)
    assert repr(Normalize(CONSTANTS[1][0], CONSTANTS[1][1], torch.float16)) == (
        "Normalize(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), dtype=torch.float16)"
    )


@pytest.mark.cuda
def test_on_a_gpu():
    model = Normalize().cuda()
    result = model(every_value().cuda())
    assert result.is_cuda
    torch.testing.assert_close(result.cpu(), Normalize()(every_value()), rtol=2e-7, atol=1e-6)
    # Of a module that was left on the CPU, the numbers follow the images.
    assert torch.equal(Normalize()(every_value().cuda()), result)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Normalize((124, 116, 104)), ValueError, "mean must be from 0 to 1, a fraction"),
        (lambda: Normalize(std=(0, 1, 1)), ValueError, "std must be above 0 and at most 1"),
        (lambda: Normalize((0.5, 0.5)), ValueError, "mean must be 3 numbers, one per channel"),
        (lambda: Normalize("abc"), (TypeError, ValueError), "mean must be"),
        (lambda: Normalize(dtype=torch.uint8), ValueError, "dtype must be one of torch.float32"),
        (lambda: Normalize()(torch.zeros(1, 3, 4, 4)), TypeError, "uint8 images, got torch.float"),
        (lambda: Normalize()(np.zeros((3, 4, 4), np.uint8)), TypeError, "takes uint8 images, got"),
        (lambda: Normalize()(every_value()[:, :1]), ValueError, r"\(\.\.\., 3, H, W\), got \(2, 1"),
        (lambda: Normalize()(every_value()[0, 0]), ValueError, r"got \(16, 16\)"),
        (
            lambda: TiedModel(nn.Linear(3, 2), normalize=transforms.ToTensor()),
            TypeError,
            "normalize must be a Normalize",
        ),
    ],
)
def test_refuses(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_of_a_model_of_timm():
    model = timm.create_model("test_vit", num_classes=4)
    normalize = Normalize.from_model(model, torch.float16)
    config = timm.data.resolve_data_config(model=model)
    expected = Normalize(config["mean"], config["std"], torch.float16)
    assert torch.equal(normalize(every_value()), expected(every_value()))
    with pytest.raises(ValueError, match="this Linear has no pretrained_cfg with mean and std"):
        Normalize.from_model(nn.Linear(3, 2))


# --- in TiedModel


@pytest.fixture
def plain():
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=4)


def bytes_of(*shape):
    return torch.randint(256, shape, dtype=torch.uint8)


@pytest.mark.parametrize("forward", ["joint", "separate"])
def test_a_model_takes_bytes_of_views(plain, forward):
    tied = TiedModel(copy.deepcopy(plain), forward=forward, normalize=Normalize())
    twin = TiedModel(plain, forward=forward)
    views = bytes_of(2, 4, 3, 32, 32)
    for given in (views, views.flatten(0, 1), list(views)):
        logits, features = tied(given)
        expected = twin(Normalize()(views))
        assert torch.equal(logits, expected[0])
        assert torch.equal(features, expected[1])
    tied.eval(), twin.eval()
    assert torch.equal(tied(views[0]), twin(Normalize()(views[0])))


def test_a_model_keeps_its_state(plain):
    keys = list(plain.state_dict())
    tied = TiedModel(plain, normalize=Normalize())
    assert list(tied.state_dict()) == keys
    assert [name for name, _ in tied.named_children()] == [n for n, _ in plain.named_children()]
    assert "normalize=Normalize(mean=(0.485, " in repr(tied)
    views = bytes_of(2, 4, 3, 32, 32)
    assert copy.deepcopy(tied)(views)[0].shape == (8, 4)
    assert TiedModel(plain).half()._normalize is None
    half = tied.half()
    assert half._normalize.mean.dtype == torch.float32
    assert half.to("meta")._normalize.mean.is_meta


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_compiles_with_it_to_one_graph(plain):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    tied = TiedModel(plain, normalize=Normalize())
    twin = copy.deepcopy(tied)
    compiled = torch.compile(tied, backend="aot_eager", fullgraph=True)
    views = bytes_of(2, 4, 3, 32, 32)
    for _ in range(2):
        for ours, theirs in zip(compiled(views), twin(views), strict=True):
            assert torch.equal(ours, theirs)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_a_model_without_it_says_what_to_do_with_bytes(plain):
    with pytest.raises(RuntimeError, match=r"normalize=Normalize\(mean, std\)"):
        TiedModel(plain)(bytes_of(2, 4, 3, 32, 32))


def test_a_model_with_it_refuses_floats(plain):
    with pytest.raises(TypeError, match="leave it out for images that are normalised already"):
        TiedModel(plain, normalize=Normalize())(torch.zeros(4, 3, 32, 32))
