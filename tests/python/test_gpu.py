"""What only a GPU shows: copies that overlap, graphs, autocast, and that nothing waits for it.

Tests that run on the CPU as well are in the files of what they test, by the fixture `any_device`.
"""

import copy

import numpy as np
import pytest
import timm
import torch
import torch.distributed as dist
from loss_oracle import batch
from small_models import small_net
from test_distributed import PROCESSES, begun
from timm.data.loader import PrefetchLoader
from torch import nn
from torch.testing import assert_close

from tied_augment import ArrayDataset, Normalize, TiedLoader, TiedLoss, TiedModel, TwoView, View
from tied_augment.loss import Schedule
from tied_augment.loss.collapse import EVERY

pytestmark = pytest.mark.cuda

SIDE = 64


def noise(count=96):
    pixels = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    return ArrayDataset(pixels, [number % 7 for number in range(count)])


def loader_of(dataset, **options):
    options = {"batch_size": 8, "shuffle": True, "threads": 2, "prefetch": 1} | options
    return TiedLoader(dataset, TwoView(View(SIDE)), **options)


def delay():
    """Let the GPU do nothing for some 50 ms, longer than a batch takes to be made."""
    torch.cuda._sleep(100_000_000)


# --- pinned memory


@pytest.mark.parametrize("options", [{}, {"output": "float16", "channels_last": True}], ids=str)
def test_pinned_memory_is_not_written_while_it_is_copied(options):
    dataset = noise()
    wanted = [images for images, _ in loader_of(dataset, **options)]
    arrived = []
    for images, _ in loader_of(dataset, pin_memory=True, **options):
        assert images.is_pinned()
        delay()  # the copy waits for it, and the loader goes on
        arrived.append(images.to("cuda", non_blocking=True))
        del images
    for ours, expected in zip(arrived, wanted, strict=True):
        assert torch.equal(ours.cpu(), expected)
        assert ours.stride() == expected.stride()


def test_parts_of_pinned_batches_are_not_written_while_they_are_copied():
    dataset = noise()
    wanted = [images for images, _ in loader_of(dataset)]
    arrived = []
    for images, _ in loader_of(dataset, pin_memory=True):
        delay()
        arrived.append([view.to("cuda", non_blocking=True) for view in images[:, 1:].unbind()])
        del images
    for ours, expected in zip(arrived, wanted, strict=True):
        assert torch.equal(torch.stack(ours).cpu(), expected[:, 1:])


def test_timms_prefetcher_over_pinned_memory():
    dataset = noise()

    def epoch(device, pin_memory):
        loader = loader_of(dataset, layout="flat", repeat_targets=True, pin_memory=pin_memory)
        for images, targets in PrefetchLoader(loader, device=torch.device(device)):
            if device == "cuda":
                delay()
            yield images.cpu(), targets.cpu()

    for ours, expected in zip(epoch("cuda", True), epoch("cpu", False), strict=True):
        # The GPU may divide by multiplying.
        assert_close(ours, expected, rtol=1e-6, atol=1e-6)


# --- nothing waits


@pytest.mark.parametrize("schedule", ["constant", "random"])
@pytest.mark.parametrize("similarity", ["mse", "cka", "vicreg", "js"])
def test_a_step_does_not_wait_for_the_gpu(similarity, schedule):
    tied = TiedModel(small_net(), normalize=Normalize()).cuda()
    criterion = TiedLoss(similarity=similarity, schedule=Schedule(schedule)).cuda()
    optimizer = torch.optim.SGD(tied.parameters(), lr=0.01)
    images = torch.randint(256, (2, 6, 3, 8, 8), dtype=torch.uint8, device="cuda")
    target = torch.arange(6, device="cuda") % 5

    def step():
        optimizer.zero_grad()
        criterion(*tied(images), target).backward()
        optimizer.step()

    step()  # checks its targets, and remembers the spread
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            step()
            assert len(criterion.last) == 7
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(part.isfinite() for part in criterion.last.values())


def test_the_watch_for_collapse_warns():
    criterion = TiedLoss()
    logits, features, target = batch(device="cuda")
    criterion(logits, features, target)
    for _ in range(EVERY - 1):
        criterion(logits, 7 + 0.001 * features, target)
    with pytest.warns(RuntimeWarning, match="collapsed"):
        criterion(logits, 7 + 0.001 * features, target)


# --- graphs


def assert_equal_steps(compiled, plain, schedule, steps=6):
    """Values, weights and gradients of the compiled loss and the plain one."""
    for number in range(steps):
        parts = batch(8, 5, 16, seed=number, requires_grad=True, device="cuda")
        twins = [part.detach().clone() for part in parts]
        twins[:2] = [twin.requires_grad_() for twin in twins[:2]]
        given = {}
        if schedule != "constant":
            given = {"step": torch.tensor(number, device="cuda")}
        torch.compiler.cudagraph_mark_step_begin()
        ours, theirs = compiled(*parts, **given), plain(*twins, **given)
        assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
        ours.backward(), theirs.backward()
        for our, their in zip(parts[:2], twins[:2], strict=True):
            assert_close(our.grad, their.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("similarity", "schedule"),
    [("mse", "constant"), ("mse", "random"), ("cka", "constant"), ("vicreg", "linear_up")],
)
def test_the_loss_in_a_graph(similarity, schedule):
    torch._dynamo.reset()
    criterion = TiedLoss(similarity=similarity, schedule=Schedule(schedule, 6)).cuda()
    compiled = torch.compile(copy.deepcopy(criterion), mode="reduce-overhead", fullgraph=True)
    assert_equal_steps(compiled, criterion, schedule)


def test_a_training_step_in_a_graph():
    torch._dynamo.reset()
    tied = TiedModel(small_net(), normalize=Normalize()).cuda()
    twin = copy.deepcopy(tied)
    criterion, expected = TiedLoss(), TiedLoss()
    compiled = torch.compile(tied, mode="reduce-overhead", fullgraph=True)
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.05) for each in (tied, twin)]
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        images = torch.randint(256, (2, 6, 3, 8, 8), dtype=torch.uint8, generator=generator)
        images, target = images.cuda(), (torch.arange(6) % 5).cuda()
        torch.compiler.cudagraph_mark_step_begin()
        losses = []
        for model, loss_of, optimizer in zip(
            (compiled, twin), (criterion, expected), optimizers, strict=True
        ):
            optimizer.zero_grad()
            loss = loss_of(*model(images), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_capturing_the_loss_by_hand():
    criterion = TiedLoss(schedule=Schedule("linear_up", 100)).cuda()
    logits, features, target = batch(8, 5, 16, device="cuda", requires_grad=True)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # torch asks for a warm-up on another stream
        for _ in range(3):
            torch.autograd.grad(criterion(logits, features, target), (logits, features))
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = criterion(logits, features, target)
        gradients = torch.autograd.grad(loss, (logits, features))
    twin = TiedLoss(schedule=Schedule("linear_up", 100)).cuda()
    for number in range(3, 6):
        graph.replay()
        twin.schedule.step.fill_(number)
        expected = twin(logits, features, target)
        assert_close(loss, expected)
        assert_close(gradients, torch.autograd.grad(expected, (logits, features)))


# --- half precision, memory formats


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_step_in_half_precision_is_near_the_cpus(name, dtype):
    torch.manual_seed(0)
    kwargs = {"img_size": SIDE} if name == "test_vit" else {}
    plain = timm.create_model(name, num_classes=7, **kwargs)
    images = torch.randn(2, 8, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    target = torch.arange(8) % 7
    losses, norms = [], []
    for device in ("cpu", "cuda"):
        tied, criterion = TiedModel(copy.deepcopy(plain)).to(device), TiedLoss(tied_weight=0.5)
        with torch.autocast(device, dtype, enabled=device == "cuda"):
            logits, features = tied(images.to(device))
            loss = criterion(logits, features, target.to(device))
        loss.backward()
        losses.append(loss.item())
        norms.append(nn.utils.clip_grad_norm_(tied.parameters(), 1e9).item())
    # bfloat16 has 8 bits: 0.4% per rounding, and some roundings in a row.
    assert losses[1] == pytest.approx(losses[0], rel=0.03)
    assert norms[1] == pytest.approx(norms[0], rel=0.1)


def test_channels_last_from_the_loader_to_the_logits():
    plain = timm.create_model("test_resnet", num_classes=7).cuda().eval()
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    options = {"output": "float32", "layout": "flat", "pin_memory": True}
    for images, _ in loader_of(noise(16), channels_last=True, **options):
        images = images.to("cuda", non_blocking=True)
        assert images.is_contiguous(memory_format=torch.channels_last)
        expected = plain(images.contiguous())
        assert_close(last(images), expected, rtol=1e-3, atol=1e-4)


# --- several GPUs


def normed():
    """A net with BatchNorm in float64, so that sums in another order do not show."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6, 5)).double()


def images_of_normed():
    views = torch.randn(2, 8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return views.double(), torch.arange(8) % 5


def step_of_normed(model, views, target, gather):
    criterion = TiedLoss(tied_weight=2.0, similarity="cka", gather=gather)
    loss = criterion(*model(views), target)
    loss.backward()
    return loss.detach(), [parameter.grad for parameter in model.parameters()]


def synchronised(rank, folder, backend, kind):
    device = begun(rank, folder, backend, kind)
    net = nn.SyncBatchNorm.convert_sync_batchnorm(normed()).to(device)
    model = nn.parallel.DistributedDataParallel(TiedModel(net), device_ids=[device])
    views, target = (part.to(device) for part in images_of_normed())
    mine = slice(rank, None, PROCESSES)
    loss, gradients = step_of_normed(model, views[:, mine], target[mine], gather=True)
    dist.all_reduce(loss)
    if rank == 0:
        torch.save((loss / PROCESSES, gradients), f"{folder}/results.pt")
    dist.destroy_process_group()


@pytest.mark.cuda(devices=2)
def test_synchronised_batchnorm_and_gathered_features_equal_one_process(tmp_path):
    arguments = (str(tmp_path), "nccl", "cuda")
    torch.multiprocessing.spawn(synchronised, arguments, PROCESSES)
    found = torch.load(tmp_path / "results.pt", map_location="cpu")
    expected = step_of_normed(TiedModel(normed()), *images_of_normed(), gather=False)
    assert_close(found, expected, rtol=1e-7, atol=1e-9)
