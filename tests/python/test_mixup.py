"""TiedMixup against the formula, sample by sample, and its draws."""

import copy

import numpy as np
import pytest
import torch
from timm.data.mixup import rand_bbox
from torch.testing import assert_close

from tied_augment import TiedLoss
from tied_augment.loss import Mix, TiedMixup

B, C = 6, 5
TARGET = torch.tensor([0, 4, 2, 2, 1, 3])
FIRST, SECOND = torch.randn(
    2, B, 3, 12, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)


def mixed(**arguments):
    return TiedMixup(**{"num_classes": C, "label_smoothing": 0.0} | arguments)


def smooth(target, smoothing):
    return torch.eye(C)[target] * (1 - smoothing) + smoothing / C


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_mixup_follows_the_formula(mode, smoothing, any_device):
    given = [part.to(any_device) for part in (FIRST, SECOND, TARGET)]
    images, target, mix = mixed(mode=mode, label_smoothing=smoothing)(given[:2], given[2])
    assert images.device.type == target.device.type == mix.lam.device.type == any_device.type
    images, target = images.cpu(), target.cpu()
    assert images.shape == (2 * B, 3, 12, 16)
    assert torch.equal(images[B:], SECOND)
    assert_close(target[B:], smooth(TARGET, smoothing))
    for i, lam in enumerate(mix.lam.tolist()):
        partner = B - 1 - i
        assert_close(images[i], lam * FIRST[i] + (1 - lam) * FIRST[partner])
        labels = smooth(TARGET, smoothing)
        assert_close(target[i], lam * labels[i] + (1 - lam) * labels[partner])
    assert_close(target.sum(1), torch.ones(2 * B))


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_cutmix_pastes_a_box_of_the_partner(mode):
    images, target, mix = mixed(mixup_alpha=0.0, cutmix_alpha=1.0, mode=mode, seed=3)(
        torch.stack((FIRST, SECOND)), TARGET
    )
    assert torch.equal(images[B:], SECOND)
    for i in range(B):
        pasted = (images[i] != FIRST[i]).all(0)
        rows, columns = np.flatnonzero(pasted.any(1)), np.flatnonzero(pasted.any(0))
        box = torch.zeros_like(pasted)
        if len(rows):
            box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        assert torch.equal(pasted, box)
        assert torch.equal(images[i], torch.where(box, FIRST[B - 1 - i], FIRST[i]))
        lam = 1 - box.double().mean().item()
        assert mix.lam[i].item() == pytest.approx(lam)
        one_hot = torch.eye(C)
        expected = lam * one_hot[TARGET[i]] + (1 - lam) * one_hot[TARGET[B - 1 - i]]
        assert_close(target[i], expected.float())
    assert (mix.lam < 1).any()


def test_the_boxes_are_those_of_timm_up_to_every_border(monkeypatch):
    samples, height, width = 200, 12, 16
    images = torch.rand(samples, 3, height, width, generator=torch.Generator().manual_seed(1))
    mixup = mixed(mixup_alpha=0.0, cutmix_alpha=1.0, mode="elem", num_classes=1, seed=4)
    first = mixup((images, images), torch.zeros(samples).long())[0][:samples]
    # timm draws from numpy's global generator.
    draws = np.random.default_rng(4)
    monkeypatch.setattr(
        np.random, "randint", lambda low, high, size: draws.integers(low, high, size=size)
    )
    boxes = np.zeros((samples, 4), dtype=int)
    for i in range(samples):
        draws.random()
        boxes[i] = rand_bbox(images.shape, draws.beta(1, 1))
        top, bottom, left, right = boxes[i]
        box = torch.zeros(height, width, dtype=torch.bool)
        box[top:bottom, left:right] = True
        assert torch.equal((first[i] != images[i]).all(0), box)
    assert boxes.min(0).tolist()[::2] == [0, 0]
    assert boxes.max(0).tolist()[1::2] == [height, width]
    assert {size % 2 for size in (boxes[:, 1] - boxes[:, 0]).tolist()} == {0, 1}


def test_the_modes_share_their_draws_as_they_say():
    batch, pair, elem = (
        mixed(mode=mode)((FIRST, SECOND), TARGET)[2].lam for mode in ("batch", "pair", "elem")
    )
    assert len(set(batch.tolist())) == 1
    assert torch.equal(pair, pair.flip(0))
    assert len(set(pair.tolist())) == B // 2
    assert len(set(elem.tolist())) == B


def test_the_features_of_view_2_are_mixed_as_the_images_of_view_1():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(2 * B, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(2 * B, C, generator=generator, dtype=torch.float64)
    _, target, mix = mixed(mode="elem")((FIRST, SECOND), TARGET)
    loss = TiedLoss(tied_weight=0.5)(logits, mix.features(features), target)

    first, second = features[:B], features[B:]
    lam = mix.lam.double()[:, None]
    distance = ((first - lam * second - (1 - lam) * second.flip(0)) ** 2).mean()
    ce = -(target.double() * logits.log_softmax(1)).sum(1).mean()
    expected = ce + 0.5 * distance
    assert_close(loss, expected)
    assert_close(
        torch.autograd.grad(loss, features),
        torch.autograd.grad(expected, features),
        rtol=1e-7,
        atol=1e-9,
    )


@pytest.mark.parametrize("form", ["flat", "stacked", "list"])
@pytest.mark.parametrize("views", [3, 5])
def test_view_1_of_several_is_mixed_and_the_others_are_clean(views, form):
    several = torch.randn(views, B, 3, 12, 16, dtype=torch.float64)
    given = {"flat": several.flatten(0, 1), "stacked": several, "list": list(several)}[form]
    options = {"mode": "elem", "cutmix_alpha": 1.0, "label_smoothing": 0.1, "seed": 5}
    images, target, mix = mixed(num_views=views, **options)(given, TARGET)
    # View 1 and its labels are those of two views, with the same draws.
    two, two_target, two_mix = mixed(**options)((several[0], several[1]), TARGET)
    assert torch.equal(mix.lam, two_mix.lam)
    assert torch.equal(images, torch.cat((two[:B], *several[1:])))
    assert torch.equal(target, torch.cat((two_target[:B], *(views - 1) * [two_target[B:]])))
    features = torch.randn(views * B, 7)
    lam = mix.lam[:, None]
    first, *clean = features.split(B)
    expected = [lam * view + (1 - lam) * view.flip(0) for view in clean]
    assert torch.equal(mix.features(features), torch.cat((first, *expected)))
    assert TiedLoss(num_views=views)(torch.randn(views * B, C), mix.features(features), target) > 0


@pytest.mark.parametrize("views", [3, 4])
def test_another_number_of_views_is_refused(views):
    several = torch.randn(views, B, 3, 12, 16)
    for given in (several, list(several)):
        with pytest.raises(ValueError, match=r"must be num_views=2 views of one shape: \(2B, c"):
            mixed()(given, TARGET)
    with pytest.raises(ValueError, match=r"target must be class indices \(B,\) = "):
        mixed()(several.flatten(0, 1), TARGET)
    mix = mixed(num_views=views)(several, TARGET)[2]
    with pytest.raises(ValueError, match=f"the batch's {views}B={views * B} rows, got shape"):
        mix.features(torch.zeros(2 * B, 7))


def test_a_linear_model_has_equal_features_for_equal_views():
    images, _, mix = mixed()((FIRST, FIRST), TARGET)
    weight = torch.randn(3 * 12 * 16, 4, dtype=torch.float64)
    first, second = mix.features(images.flatten(1) @ weight).chunk(2)
    assert_close(first, second)


def test_the_chances_are_kept():
    never = mixed(prob=0.0)((FIRST, SECOND), TARGET)
    assert torch.equal(never[0], torch.cat((FIRST, SECOND)))
    assert torch.equal(never[2].lam, torch.ones(B))
    mixup = mixed(cutmix_alpha=1.0, prob=0.5, switch_prob=0.25, mode="elem")
    drawn = [mixup._draw(1000, 32, 32) for _ in range(4)]
    shares = np.concatenate([shares for shares, _ in drawn])
    boxes = np.concatenate([boxes for _, boxes in drawn]).any(1)
    # 4,000 draws: five standard deviations of the shares are 0.040 and 0.027. A cut may be empty.
    assert abs((shares < 1).mean() - 0.5) < 0.04
    assert abs(boxes.mean() - 0.125) < 0.027


def test_draws_are_its_own_and_go_on_after_a_resume():
    torch.manual_seed(0)
    np_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    mixup, other = mixed(seed=1), mixed(seed=2)
    first = mixup((FIRST, SECOND), TARGET)[2].lam
    assert not torch.equal(first, other((FIRST, SECOND), TARGET)[2].lam)
    other.load_state_dict(copy.deepcopy(mixup.state_dict()))
    assert torch.equal(mixup((FIRST, SECOND), TARGET)[2].lam, other((FIRST, SECOND), TARGET)[2].lam)
    assert (np.random.get_state()[1] == np_state).all()
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_keeps_the_dtype_of_the_images():
    images, target, mix = mixed()(torch.cat((FIRST, SECOND)).bfloat16(), TARGET)
    assert (images.dtype, target.dtype) == (torch.bfloat16, torch.float32)
    assert mix.features(torch.zeros(2 * B, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "half"}, r"mode must be one of \('batch', 'pair', 'elem'\), got 'half'"),
        ({"mode": "pairs"}, "got 'pairs': did you mean 'pair'"),
        ({"mixup_alpha": 0.0}, "mixup_alpha or cutmix_alpha must be above 0, got 0 for both"),
        ({"mixup_alpha": -1.0}, "mixup_alpha must be at least 0, got -1.0"),
        ({"cutmix_alpha": float("inf")}, "cutmix_alpha must be finite, got inf"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"prob": 1.5}, r"prob must be in \[0, 1\], got 1.5"),
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"num_views": 1}, "num_views must be at least 2, got 1"),
    ],
)
def test_refuses_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TiedMixup(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixup_alpha": "0.8"}, "mixup_alpha must be a number, got '0.8'"),
        ({"prob": None}, "prob must be a number, got None"),
        ({"num_classes": 10.0}, "num_classes must be an int, got 10.0"),
        ({"seed": 1.5}, "seed must be an int, got 1.5"),
        ({"mode": 1}, "mode must be one of .*, got 1"),
    ],
)
def test_refuses_wrong_types(arguments, message):
    with pytest.raises(TypeError, match=message):
        TiedMixup(**arguments)


@pytest.mark.parametrize(
    ("images", "target", "error", "message"),
    [
        (
            (FIRST,),
            TARGET,
            ValueError,
            r"images must be num_views=2 views of one shape: \(2B, c, h, w\)",
        ),
        (
            (FIRST, SECOND[:2]),
            TARGET,
            ValueError,
            r"images must be num_views=2 views of one shape: \(2B, c, h, w\)",
        ),
        (
            (FIRST[:, 0], SECOND[:, 0]),
            TARGET,
            ValueError,
            r"2 views of one shape: .*got the shapes \[\(6, 12, 16\), \(6, 12, 16\)\]",
        ),
        (
            (FIRST.byte(), SECOND.byte()),
            TARGET,
            TypeError,
            "must be floating .* got torch.uint8: use TiedLoader.*output='float32'",
        ),
        (FIRST.numpy(), TARGET, TypeError, "images must be a tensor, or a list of 2, got ndarr"),
        ((FIRST, None), TARGET, TypeError, "images must be a tensor, or a list of 2, got tuple"),
        ((FIRST, SECOND), TARGET.tolist(), TypeError, "target must be a tensor, got list"),
        ((FIRST, SECOND), TARGET > 1, ValueError, "class indices .*got torch.bool"),
        ((FIRST, SECOND), TARGET + 1, ValueError, r"class indices in \[0, 5\), got 5$"),
        ((FIRST, SECOND), TARGET - 1, ValueError, r"class indices in \[0, 5\), got -1$"),
        ((FIRST, SECOND), TARGET * 2, ValueError, r"class indices in \[0, 5\), got 8$"),
        ((FIRST, SECOND), TARGET - 100, ValueError, r"class indices in \[0, 5\), got -100$"),
        ((FIRST, SECOND), TARGET[:3], ValueError, r"class indices \(B,\) = \(6,\), got torch.int"),
        ((FIRST, SECOND), torch.zeros(B, C), ValueError, "class indices .*got torch.float32"),
        ((FIRST[:3], SECOND[:3]), TARGET[:3], ValueError, "mode='pair' needs an even batch, got 3"),
    ],
)
def test_refuses_wrong_inputs(images, target, error, message):
    with pytest.raises(error, match=message):
        mixed(mode="pair")(images, target)


def test_refuses_features_of_another_batch():
    with pytest.raises(ValueError, match="features must have the batch's 2B=4 rows, got shape"):
        Mix(torch.ones(2)).features(torch.zeros(6, 3))
    with pytest.raises(TypeError, match="got list: of several layers mix each"):
        Mix(torch.ones(2)).features([torch.zeros(4, 3)])


def test_refuses_another_state():
    with pytest.raises(ValueError, match=r"of TiedMixup.state_dict\(\), got the keys \['seed'\]"):
        mixed().load_state_dict({"seed": 0})


def test_repr():
    assert repr(mixed()).startswith("TiedMixup(mixup_alpha=1.0, cutmix_alpha=0.0, prob=1.0, switch")
