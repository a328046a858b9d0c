"""TiedTask, the criterion under it, its tap and mixing, each by itself."""

import copy

import numpy as np
import pytest
import timm
import timm.task
import torch
import torch.nn.functional as F
from timm.data import FastCollateMixup, Mixup
from timm.utils import ModelEmaV3

from tied_augment import TiedLoss, TiedModel, View
from tied_augment.timm import TiedTask
from tied_augment.timm.collate import NormalizedViews, collate_views
from tied_augment.timm.criterion import PARTS, TiedCriterion
from tied_augment.timm.mixup import FirstViewFastCollateMixup, FirstViewMixup, pack, unpack
from tied_augment.timm.tap import FeatureTap, forward_separately
from tied_augment.timm.task import tied


@pytest.fixture
def model():
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=5)


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return torch.randn(8, 3, 32, 32), torch.tensor([0, 1, 2, 3] * 2)


# --- the task


def test_the_task_computes_what_tied_model_and_loss_do(model, batch):
    images, target = batch
    twin = TiedModel(copy.deepcopy(model)).train()
    loss = TiedLoss(tied_weight=3.0, similarity="cosine", label_smoothing=0.1)
    expected = loss(*twin(images), target)
    expected.backward()

    task = TiedTask(model, TiedLoss(tied_weight=3.0, similarity="cosine", label_smoothing=0.1))
    result = task.train()(images, target)
    result["loss"].backward()
    assert torch.equal(result["loss"], expected)
    assert result["output"].shape == (8, 5)
    assert {name: result[name].item() for name in PARTS} == {
        "ce": loss.last["ce"].item(),
        "similarity": loss.last["similarity"].item(),
        "tied_weight": 3.0,
        "feature_cosine": loss.last["cosine"].item(),
    }
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_the_task_is_a_task_of_timm(model, batch):
    keys = list(model.state_dict())
    task = TiedTask(model, verbose=False)
    assert isinstance(task, timm.task.ClassificationTask)
    assert task.get_eval_model() is model
    task.setup_ema(decay=0.5)
    for step in range(2):
        task(*batch)["loss"].backward()
        task.update_ema(step=step + 1)
    assert list(task.get_checkpoint_state()["state_dict"]) == keys
    assert list(task.get_checkpoint_state(ema=True)["state_dict_ema"]) == keys
    assert (
        len(list(task.get_clip_parameters(exclude_head=True))) == len(list(model.parameters())) - 2
    )


def test_a_task_compiles(model, batch):
    expected = TiedTask(copy.deepcopy(model))(*batch)["loss"]
    task = TiedTask(model)
    task.compile(backend="eager")
    for _ in range(3):
        assert torch.allclose(task(*batch)["loss"], expected)


def test_features_of_a_named_module(model, batch):
    loss = TiedLoss(layer_weights=[1.0, 0.5])
    task = TiedTask(model, loss, feature_module=["layer3", "layer4"])
    assert task(*batch)["similarity"] > 0


@pytest.mark.parametrize(
    "kind", ["LogitDistillationTask", "FeatureDistillationTask", "TokenDistillationTask"]
)
def test_distillation_is_tied(kind, batch):
    name = "deit_tiny_distilled_patch16_224" if "Token" in kind else "test_resnet"
    options = {"num_classes": 5}
    if "Token" in kind:
        options |= {"img_size": 32, "depth": 2}
    student, teacher = (timm.create_model(name, **options) for _ in range(2))
    criterion = TiedCriterion(TiedLoss(tied_weight=2.0), FeatureTap(student))
    task = tied(getattr(timm.task, kind))(
        student_model=student, teacher_model=teacher, criterion=criterion
    )
    result = task.train()(*batch)
    assert result["task_loss"].item() == pytest.approx(
        (result["ce"] + 2 * result["similarity"]).item()
    )
    assert result["similarity"] > 0
    result["loss"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in student.parameters())


# --- the tap


def test_copies_evaluation_and_no_grad_are_not_recorded(model, batch):
    tap = FeatureTap(model)
    ema = ModelEmaV3(model)
    ema.module.train()(batch[0])
    model.eval()(batch[0])
    with torch.no_grad():
        model.train()(batch[0])
    with pytest.raises(RuntimeError, match="'fc' was called 0 times"):
        tap.take()
    model(batch[0])
    assert tap.take().shape == (8, model.num_features)
    model(batch[0])
    model(batch[0])
    with pytest.raises(RuntimeError, match="'fc' was called 2 times"):
        tap.take()


def test_separate_forwards_are_those_of_each_view(model, batch):
    images = batch[0]
    twin = TiedModel(copy.deepcopy(model), forward="separate").train()
    logits, features = twin(images)
    tap = FeatureTap(model, forwards=2)
    keys = list(model.state_dict())
    forward_separately(model, 2)
    assert torch.equal(model.train()(images), logits)
    assert torch.equal(tap.take(), features)
    assert list(model.state_dict()) == keys
    assert type(model).__name__ == "ResNet"
    ema = copy.deepcopy(model).eval()
    assert torch.equal(ema(images), model.eval()(images))
    with torch.no_grad():
        model.fc.bias.add_(1)
    assert not torch.equal(ema(images), model(images))


def test_targets_that_are_no_pairs_are_found_out(model, batch):
    task = TiedTask(model)
    with pytest.raises(RuntimeError, match="the two halves of the targets differ"):
        task(batch[0], torch.arange(8) % 5)


def test_views_come_in_every_form(model, batch):
    images, target = batch
    loss = TiedTask(copy.deepcopy(model))(images, target)["loss"]
    first, second = images.chunk(2)
    for form in (torch.stack((first, second)), (first, second), [first, second]):
        assert torch.equal(TiedTask(copy.deepcopy(model))(form, target[:4])["loss"], loss)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda images: images.byte(), TypeError, "must be floating, got torch.uint8: normalise"),
        (lambda images: images.unflatten(0, (4, 2)), ValueError, r"must be \(2, B, C, H, W\)"),
        (lambda images: "dog.jpg", TypeError, "images must be a tensor, or a list"),
        (lambda images: images[:7], ValueError, "logits must have 2B rows .*, got 7 rows"),
    ],
)
def test_wrong_images_are_refused(model, batch, change, error, message):
    images = change(batch[0])
    with pytest.raises(error, match=message):
        TiedTask(model)(images, batch[1][: len(images)])


def test_evaluation_is_the_models_business(model, batch):
    with pytest.raises(RuntimeError, match="to evaluate, call the model itself"):
        TiedTask(model).eval()(*batch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet50",), "model must be a torch.nn.Module, got str"),
        ((lambda model: TiedModel(model),), "give TiedTask the plain model"),
        ((lambda model: model, "mse"), "loss must be a TiedLoss, got str"),
        ((lambda model: model, torch.nn.CrossEntropyLoss()), "must be a TiedLoss, got CrossEntr"),
    ],
)
def test_a_task_refuses_wrong_arguments(model, arguments, message):
    given, *rest = arguments
    with pytest.raises(TypeError, match=message):
        TiedTask(given if isinstance(given, str) else given(model), *rest)


# --- mixing


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 2, 3, 16, 16), np.uint8)
    return [((first, second), number % 5) for number, (first, second) in enumerate(images)]


OPTIONS = [
    {"mixup_alpha": 1.0},
    {"mixup_alpha": 0.0, "cutmix_alpha": 1.0},
    {"mixup_alpha": 1.0, "cutmix_alpha": 1.0, "prob": 0.7},
    {"mixup_alpha": 1.0, "cutmix_minmax": (0.2, 0.8)},
]
MIX = {"label_smoothing": 0.1, "num_classes": 5}


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
@pytest.mark.parametrize("options", OPTIONS)
def test_view_1_is_mixed_as_by_timm_and_view_2_is_clean(pairs, mode, options):
    for seed in range(8):
        np.random.seed(seed)
        first = [(views[0].copy(), target) for views, target in pairs]
        images, targets = FastCollateMixup(mode=mode, **options, **MIX)(first)
        np.random.seed(seed)
        mixed, packed = FirstViewFastCollateMixup(mode=mode, **options, **MIX)(pairs)
        assert mixed.dtype == torch.uint8
        assert torch.equal(mixed[:6], images)
        assert torch.equal(mixed[6:], collate_views(pairs)[0][6:])
        check_targets(packed, targets, pairs)


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
@pytest.mark.parametrize("options", OPTIONS)
def test_mixing_on_the_device_is_mixing_as_by_timm(pairs, mode, options):
    images, target = NormalizedViews([0.5] * 3, [0.5] * 3, None)(pairs)
    for seed in range(8):
        np.random.seed(seed)
        first, targets = Mixup(mode=mode, **options, **MIX)(images[:6].clone(), target[:6])
        np.random.seed(seed)
        mixed, packed = FirstViewMixup(mode=mode, **options, **MIX)(images.clone(), target)
        assert torch.equal(mixed[:6], first)
        assert torch.equal(mixed[6:], images[6:])
        check_targets(packed, targets, pairs)


def check_targets(packed, mixed, pairs):
    target, share = unpack(packed, 5, 2)
    assert torch.equal(target[:6], mixed)
    labels = torch.tensor([label for _, label in pairs])
    assert torch.allclose(target[6:], F.one_hot(labels, 5) * 0.9 + 0.02)
    # lambda is the sample's own share: what makes timm's targets out of the clean ones.
    clean = target[6:]
    assert torch.allclose(share * clean + (1 - share) * clean.flip(0), mixed, atol=1e-6)
    assert share.shape == (6, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_features_of_view_2_are_mixed_like_the_images_of_view_1(model, dtype):
    torch.manual_seed(0)
    model = model.to(dtype)
    criterion = TiedCriterion(TiedLoss(tied_weight=1.0), FeatureTap(model))
    logits = model(torch.randn(8, 3, 32, 32, dtype=dtype))
    clean = F.one_hot(torch.arange(4), 5).to(dtype)
    share = torch.tensor([[0.9], [0.2], [1.0], [0.6]], dtype=dtype)
    mixed = share * clean + (1 - share) * clean.flip(0)
    features = criterion._tap.take()
    model.fc(features)  # recorded again, now without the images
    loss = criterion(logits, pack(mixed, clean, share))

    first, second = features.chunk(2)
    distance = (first - share * second - (1 - share) * second.flip(0)).square().mean()
    ce = F.cross_entropy(logits, torch.cat((mixed, clean)))
    rel = 1e-6 if dtype == torch.float32 else 1e-12
    assert loss.item() == pytest.approx((ce + distance).item(), rel=rel)


def test_warns_once_of_features_that_cannot_be_trained(model):
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("fc"))
    criterion = TiedCriterion(TiedLoss(), FeatureTap(model))
    with pytest.warns(RuntimeWarning, match="the input of 'fc' needs no gradient, but the logits"):
        criterion(model(torch.randn(8, 3, 32, 32)), torch.arange(4))
    criterion(model(torch.randn(8, 3, 32, 32)), torch.arange(4))  # an error if it warned again


def test_mixing_without_shares_is_left_alone():
    soft = torch.rand(8, 5)
    assert unpack(soft, 5, 2) == (soft, None)
    hard = torch.arange(8)
    assert unpack(hard, 5, 2) == (hard, None)


def test_pairs_are_put_view_by_view(pairs):
    images, targets = collate_views(pairs)
    for number, (views, target) in enumerate(pairs):
        assert np.array_equal(images[number].numpy(), views[0])
        assert np.array_equal(images[6 + number].numpy(), views[1])
        assert targets[number] == targets[6 + number] == target
    assert targets.dtype == torch.int64


def test_normalised_pairs_are_those_of_torchvision(pairs):
    from torchvision.transforms.functional import normalize, to_tensor

    mean, std = View.mean, View.std
    images, _ = NormalizedViews(mean, std, None)(pairs)
    for number, (views, _) in enumerate(pairs):
        for view in (0, 1):
            expected = normalize(to_tensor(views[view].transpose(1, 2, 0)), mean, std)
            assert torch.equal(images[6 * view + number], expected)


def test_erasing_spares_view_1_on_request(pairs):
    erasing = {"probability": 1.0, "mode": "const", "max_count": 1}
    untouched, _ = NormalizedViews([0.5] * 3, [0.5] * 3, None)(pairs)
    spared, _ = NormalizedViews([0.5] * 3, [0.5] * 3, erasing | {"num_splits": 2})(pairs)
    both, _ = NormalizedViews([0.5] * 3, [0.5] * 3, erasing | {"num_splits": 0})(pairs)
    assert torch.equal(spared[:6], untouched[:6])
    assert not torch.equal(spared[6:], untouched[6:])
    assert not torch.equal(both[:6], untouched[:6])
