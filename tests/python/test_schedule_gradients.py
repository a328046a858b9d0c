"""The weight in the gradient is the weight in the value: compiled or not, in two processes or one.

A compiler may compute a factor of the gradient again in the backward pass, from what it kept of the
forward pass: the step must not have gone on by then.
"""

import os
import shutil

import pytest
import ready_process
import torch
import torch._functorch.config as compiler_config
import torch.distributed as dist
from loss_oracle import batch
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from tied_augment import TiedLoss
from tied_augment.loss import SCHEDULES, SIMILARITIES, Schedule

PROCESSES = 2
STEPS = 6
NEEDS_COMPILER = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="inductor needs a C++ compiler"
)
# torch's compiler imports and calls deprecated parts of torch itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


def scheduled(name, similarity="mse"):
    weight = 200.0 if SIMILARITIES[similarity].shrinks else 2.0  # less is warned of
    return TiedLoss(
        nn.CrossEntropyLoss(), weight, similarity, schedule=Schedule(name, STEPS - 1, seed=3)
    )


def feature_gradient(similarity, features):
    """That of the similarity, not weighted."""
    features = features.detach().requires_grad_()
    return torch.autograd.grad(SIMILARITIES[similarity](*features.chunk(2)), features)[0]


def factors(name):
    return Schedule(name, STEPS - 1, seed=3).factor(torch.arange(STEPS + 1))


def assert_one_weight(name, backend, similarity="mse", given=None, device="cpu"):
    """Over several steps, of two forwards before each backward."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    criterion = scheduled(name, similarity).to(device)
    call = torch.compile(criterion, backend=backend, fullgraph=True) if backend else criterion
    eager = scheduled(name, similarity).to(device)
    logits, features, target = batch(4, 5, 3, device=device)
    plain = feature_gradient(similarity, features)
    for step in range(0, STEPS, 2):
        inputs = [features.clone().requires_grad_() for _ in range(2)]
        losses, weights = [], []
        for offset, value in enumerate(inputs):
            options = {} if given is None else {"step": given(step + offset)}
            losses.append(call(logits, value, target, **options))
            assert_close(losses[-1], eager(logits, features, target, **options))
            weights.append(criterion.last["tied_weight"])
        expected = criterion.tied_weight * factors(name)[step : step + 2]
        assert_close(torch.stack(weights), expected.to(device))
        for loss, value, weight in zip(losses, inputs, weights, strict=True):
            assert_close(torch.autograd.grad(loss, value)[0], weight * plain)
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("backend", [None, "aot_eager"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule(name, backend, any_device):
    graphs = assert_one_weight(name, backend, device=any_device)
    assert graphs == (1 if backend else 0)  # and none anew for a step


@pytest.mark.parametrize(
    "similarity", [name for name, entry in SIMILARITIES.items() if not entry.of_logits]
)
def test_every_similarity_of_features(similarity):
    assert assert_one_weight("random", "aot_eager", similarity) == 1


@pytest.mark.parametrize("given", [int, torch.tensor], ids=["int", "tensor"])
@pytest.mark.parametrize("backend", [None, "aot_eager"])
def test_a_given_step(backend, given, any_device):
    assert_one_weight("random", backend, given=given, device=any_device)


def test_what_comes_before_the_backward_pass_changes_nothing():
    torch._dynamo.reset()
    criterion = scheduled("linear_up")
    compiled = torch.compile(criterion, backend="aot_eager", fullgraph=True)
    logits, features, target = batch(4, 5, 3)
    features.requires_grad_()
    criterion(logits, features, target)
    loss = compiled(logits, features, target)
    weight = criterion.last["tied_weight"]
    criterion.schedule.step.fill_(4)
    criterion(logits, features, target)  # in eager mode
    assert criterion.schedule.step == 5
    gradient = torch.autograd.grad(loss, features)[0]
    assert_close(weight, 2 * factors("linear_up")[1])
    assert_close(gradient, weight * feature_gradient("mse", features))


@pytest.mark.parametrize("budget", [1.0, 0.0])
@pytest.mark.parametrize("name", ["linear_up", "random"])
def test_what_inductor_computes_again(name, budget, any_device):
    """All of inductor that decides on it: what follows generates code, which takes seconds."""
    # 0: keep the inputs only, and compute all else again in the backward pass.
    with compiler_config.patch(activation_memory_budget=budget):
        assert assert_one_weight(name, "aot_eager_decomp_partition", device=any_device) == 1


@NEEDS_COMPILER
def test_inductor(any_device):
    with compiler_config.patch(activation_memory_budget=0.0):
        assert assert_one_weight("random", "inductor", device=any_device) == 1


@pytest.mark.parametrize("use_reentrant", [False, True])
class TestActivationCheckpointing:
    """It runs the loss again in the backward pass, when other calls have gone on with the step."""

    def test_without_a_step_it_is_an_error(self, use_reentrant):
        criterion = scheduled("linear_up")
        logits, features, target = batch(4, 5, 3)
        features.requires_grad_()
        loss = checkpoint(criterion, logits, features, target, use_reentrant=use_reentrant)
        with pytest.raises(RuntimeError, match=r"within a backward pass.*loss\(..., step=n\)"):
            loss.backward()
        assert criterion.schedule.step == 1

    @pytest.mark.parametrize("given", [int, torch.tensor], ids=["int", "tensor"])
    def test_a_given_step_is_kept(self, use_reentrant, given):
        criterion = scheduled("linear_up")
        logits, features, target = batch(4, 5, 3)
        plain = feature_gradient("mse", features)
        inputs, losses = [features.clone().requires_grad_() for _ in range(3)], []
        for step, value in enumerate(inputs):
            losses.append(
                checkpoint(
                    lambda value, step: criterion(logits, value, target, step=step),
                    value,
                    given(step),
                    use_reentrant=use_reentrant,
                )
            )
            assert_close(criterion.last["tied_weight"], 2 * factors("linear_up")[step])
        for step, (loss, value) in enumerate(zip(losses, inputs, strict=True)):
            loss.backward()
            assert_close(value.grad, 2 * factors("linear_up")[step] * plain)
        assert criterion.schedule.step == 3

    def test_evaluation_and_a_constant_weight_need_no_step(self, use_reentrant):
        for criterion in (scheduled("linear_up").eval(), TiedLoss(tied_weight=2.0)):
            logits, features, target = batch(4, 5, 3)
            features.requires_grad_()
            checkpoint(criterion, logits, features, target, use_reentrant=use_reentrant).backward()
            weight = criterion.last["tied_weight"]
            assert_close(features.grad, weight * feature_gradient("mse", features))


class NetWithLoss(nn.Module):
    """What DistributedDataParallel is given by who returns the loss from the model."""

    def __init__(self, name):
        super().__init__()
        self.features = nn.Parameter(batch(4, 5, 3)[1])
        self.criterion = scheduled(name)

    def forward(self, logits, target):
        return self.criterion(logits, self.features, target)


def two_processes(rank, folder):
    torch.set_num_threads(1)
    meet = f"file://{folder}/meet"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=PROCESSES)
    logits, _, target = batch(4, 5, 3)
    results = {}
    for name in ("random", "linear_up"):
        for backend in (None, "aot_eager"):
            torch._dynamo.reset()
            net = NetWithLoss(name)
            net.criterion.schedule.step.fill_(rank)  # DDP gives both that of rank 0
            ddp = nn.parallel.DistributedDataParallel(net)
            call = torch.compile(ddp, backend=backend) if backend else ddp
            results[name, backend] = []
            for _ in range(STEPS):
                net.zero_grad()
                call(logits, target).backward()
                weight = net.criterion.last["tied_weight"]
                results[name, backend].append((weight, net.features.grad.clone()))
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()
    os._exit(0)  # torch's gloo thread may abort in the interpreter's finalization


def test_a_loss_within_ddp(tmp_path):
    ready_process.spawn(two_processes, [tmp_path], PROCESSES, ready="timm")  # and the compiler
    plain = feature_gradient("mse", batch(4, 5, 3)[1])
    for rank in range(PROCESSES):
        results = torch.load(tmp_path / f"{rank}.pt")
        assert len(results) == 4
        for (name, _), steps in results.items():
            for step, (weight, gradient) in enumerate(steps):
                assert_close(weight, 2 * factors(name)[step])
                assert_close(gradient, weight * plain)
