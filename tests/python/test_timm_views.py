"""--tied-views: more than two views in train.py, its loaders, its mixing and its task."""

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from test_timm_resume import LOADERS, check_resume
from timm.data import FastCollateMixup, ImageDataset, Mixup
from timm.utils import random_seed
from timm_launch import BY_TASK, launch

from tied_augment import TiedLoader, TiedLoss, View, Views
from tied_augment.timm import TiedTask, create_loader
from tied_augment.timm.collate import NormalizedViews, collate_views
from tied_augment.timm.criterion import TiedCriterion
from tied_augment.timm.mixup import FirstViewFastCollateMixup, FirstViewMixup, pack, unpack
from tied_augment.timm.tap import FeatureTap

PAIRS_OF_3 = ((0, 1), (0, 2), (1, 2))
HALF = (0.5, 0.5, 0.5)
MIX = {"mixup_alpha": 1.0, "cutmix_alpha": 1.0, "label_smoothing": 0.1, "num_classes": 5}


@pytest.mark.parametrize("options", ["", "--no-prefetcher", "--tied-aa2 none"])
def test_the_first_step_is_that_of_a_loop_by_hand(options, train_folder, tmp_path):
    given = "-b 32 --smoothing 0 --tied-weight 2 --aa rand-m9-inc1 --tied-views 3"
    run = launch(BY_TASK, train_folder, tmp_path, *given.split(), *options.split())
    assert "num_views=3" in run.text
    common = {"input_size": 32, "interpolation": "random", "mean": HALF, "std": HALF}
    first = View.from_timm(auto_augment="rand-m9-inc1", **common)
    later = View.from_timm(**common) if "--tied-aa2" in options else first
    dataset = ImageDataset(str(train_folder / "train"))
    views = Views(first, later, later)
    loader = TiedLoader(dataset, views, 32, shuffle=True, seed=42, layout="flat")
    images, target = next(iter(loader))

    random_seed(42, 0)
    model = timm.create_model("test_resnet", num_classes=4).train()
    images = (images.float() / 255 - 0.5) / 0.5
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    ce = F.cross_entropy(model.get_classifier()(features), target.repeat(3))
    parts = features.chunk(3)
    distance = sum((parts[i] - parts[j]).square().mean() for i, j in PAIRS_OF_3) / 3

    (row,) = run.summary
    assert row["train_ce"] == pytest.approx(ce.item(), rel=2e-6)
    assert row["train_similarity"] == pytest.approx(distance.item(), rel=2e-6)
    assert row["train_loss"] == pytest.approx((ce + 2 * distance).item(), rel=2e-6)


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
def test_a_resumed_run_is_the_unbroken_one(loader, train_folder, tmp_path):
    check_resume(BY_TASK, train_folder, tmp_path, [*loader, "--tied-views", "3"])


def test_the_number_is_saved(train_folder, tmp_path):
    run = launch(BY_TASK, train_folder, tmp_path, "--tied-views", "3", "--tied-loader", "timm")
    assert run.checkpoint()["args"].tied_views == 3
    assert "tied_views: 3" in (run.folder / "args.yaml").read_text()


def test_create_loader_gives_every_view(image_folder):
    view = View.from_timm(input_size=32)
    dataset = ImageDataset(str(image_folder))
    options = {"shuffle": True, "drop_last": True, "repeat_targets": True, "layout": "flat"}
    wanted = list(TiedLoader(dataset, Views(*4 * [view]), 5, **options))
    arguments = {"input_size": 32, "batch_size": 5, "is_training": True, "num_views": 4}
    loader = create_loader(dataset, mean=(0.0,) * 3, std=(1.0,) * 3, device="cpu", **arguments)
    for (images, targets), (pixels, classes) in zip(loader, wanted, strict=True):
        assert images.shape == (20, 3, 32, 32)
        assert torch.equal((255 * images).round().byte(), pixels)
        assert torch.equal(targets, classes)
    with pytest.raises(ValueError, match="num_views must be from 2"):
        create_loader(dataset, 32, 5, True, num_views=1)


@pytest.mark.parametrize("prefetcher", [True, False])
def test_resplit_erases_every_view_but_the_first(image_folder, prefetcher):
    options = {"is_training": True, "num_views": 3, "use_prefetcher": prefetcher, "device": "cpu"}
    options |= {"mean": HALF, "std": HALF, "hflip": 0.0}
    dataset = ImageDataset(str(image_folder))
    erased = create_loader(dataset, 32, 6, re_prob=1.0, re_split=True, **options)
    plain = create_loader(dataset, 32, 6, **options)
    images, whole = next(iter(erased))[0].chunk(3), next(iter(plain))[0].chunk(3)
    for view, (one, other) in enumerate(zip(images, whole, strict=True)):
        changed = (one != other).flatten(1).any(1)
        assert changed.all() if view else not changed.any()


@pytest.fixture
def samples():
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 3, 16, 16), np.uint8)
    return [(tuple(views), number % 5) for number, views in enumerate(images)]


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_view_1_is_mixed_as_by_timm_and_the_others_are_clean(samples, mode):
    labels = torch.tensor([label for _, label in samples])
    smooth = F.one_hot(labels, 5) * 0.9 + 0.02
    pixels, classes = collate_views(samples)
    floats, _ = NormalizedViews(HALF, HALF, None)(samples)
    for seed in range(4):
        np.random.seed(seed)
        first = [(views[0].copy(), label) for views, label in samples]
        images, targets = FastCollateMixup(mode=mode, **MIX)(first)
        np.random.seed(seed)
        mixed, packed = FirstViewFastCollateMixup(mode=mode, **MIX)(samples)
        assert torch.equal(mixed, torch.cat((images, pixels[6:])))
        target, share = unpack(packed, 5, 3)
        assert torch.equal(target[:6], targets)
        assert torch.allclose(target[6:], smooth.repeat(2, 1))
        assert share.shape == (6, 1)

        np.random.seed(seed)
        first, targets = Mixup(mode=mode, **MIX)(floats[:6].clone(), classes[:6])
        np.random.seed(seed)
        mixed, packed = FirstViewMixup(mode=mode, num_views=3, **MIX)(floats.clone(), classes)
        assert torch.equal(mixed, torch.cat((first, floats[6:])))
        assert torch.equal(unpack(packed, 5, 3)[0][:6], targets)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=5).train()


def test_features_of_all_clean_views_are_mixed(model):
    criterion = TiedCriterion(TiedLoss(num_views=3), FeatureTap(model))
    logits = model(torch.randn(12, 3, 32, 32))
    clean = F.one_hot(torch.arange(4), 5).float()
    share = torch.tensor([[0.9], [0.2], [1.0], [0.6]])
    mixed = share * clean + (1 - share) * clean.flip(0)
    features = criterion._tap.take()
    model.fc(features)  # recorded again, now without the images
    loss = criterion(logits, pack(mixed, clean.repeat(2, 1), share))

    first, *others = features.chunk(3)
    parts = [first, *(share * view + (1 - share) * view.flip(0) for view in others)]
    distance = sum((parts[i] - parts[j]).square().mean() for i, j in PAIRS_OF_3) / 3
    ce = F.cross_entropy(logits, torch.cat((mixed, clean, clean)))
    assert loss.item() == pytest.approx((ce + distance).item(), rel=1e-6)


def test_a_task_takes_the_views_of_its_loss(model):
    task = TiedTask(model, TiedLoss(num_views=3), verbose=False)
    views = [torch.randn(4, 3, 32, 32) for _ in range(3)]
    results = [task(form, torch.arange(4)) for form in (views, torch.stack(views))]
    assert results[0]["loss"].isfinite()
    with pytest.raises(ValueError, match="views"):
        task(views[:2], torch.arange(4))
    with pytest.raises(RuntimeError, match="the 3 parts of the targets differ"):
        TiedTask(model, TiedLoss(num_views=3), verbose=False)(
            torch.cat(views), torch.arange(12) % 5
        )
