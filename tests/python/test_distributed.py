"""Loss and model in two processes against one process that has the whole batch."""

import os
from functools import partial

import pytest
import ready_process
import torch
import torch.distributed as dist
from torch import nn
from torch.testing import assert_close

from tied_augment import TiedLoss, TiedModel
from tied_augment.loss import Schedule

PROCESSES = 2
BACKENDS = [("gloo", "cpu"), pytest.param(("nccl", "cuda"), marks=pytest.mark.cuda(devices=2))]
# name, gather: means over samples need no gathering, similarities between samples do.
CASES = [
    ("mse", False),
    ("cosine", False),
    ("js", False),
    ("cka", True),
    ("linear_cka", True),
    ("vicreg", True),
    ("mse", True),
]
COMPILED = ("linear_cka", True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.body = nn.Parameter(torch.randn(6, 4, generator=generator, dtype=torch.float64))
        self.head = nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64))

    def forward(self, images):
        features = (images @ self.body).tanh()
        return features @ self.head, features


def batch(pairs=8, device="cpu"):
    generator = torch.Generator().manual_seed(1)
    views = torch.randn(2, pairs, 6, generator=generator, dtype=torch.float64)
    return views.to(device), (torch.arange(pairs) % 3).to(device)


class Plain(nn.Sequential):
    """For TiedModel, and with it the fused loss: `loss_of` has a schedule, which is not fused."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
        self.double()


def loss_of(name, gather):
    schedule = Schedule("random", seed=3)  # the same in all processes
    return TiedLoss(tied_weight=2.0, similarity=name, gather=gather, schedule=schedule)


def begun(rank, folder, backend, kind):
    """Join the other processes; the device of this one."""
    torch.set_num_threads(1)
    device = torch.device(kind, rank if kind == "cuda" else None)
    if kind == "cuda":
        torch.cuda.set_device(device)
    meet = f"file://{folder}/meet"
    dist.init_process_group(backend, init_method=meet, rank=rank, world_size=PROCESSES)
    return device


def two_processes(rank, folder, backend, kind):
    device = begun(rank, folder, backend, kind)
    views, target = batch(device=device)
    mine = slice(rank, None, PROCESSES)  # as DistributedSampler deals
    results = []
    for name, gather in CASES:
        net = nn.parallel.DistributedDataParallel(Net().to(device))
        loss = loss_of(name, gather).to(device)(*net(views[:, mine].flatten(0, 1)), target[mine])
        loss.backward()
        mean = loss.detach() / PROCESSES
        dist.all_reduce(mean)
        results.append((mean, [parameter.grad for parameter in net.parameters()]))

    tied = nn.parallel.DistributedDataParallel(TiedModel(Plain()).to(device))
    TiedLoss(tied_weight=0.5)(*tied(views[:, mine].flatten(0, 1)), target[mine]).backward()
    tied_gradients = [parameter.grad for parameter in tied.parameters()]

    criterion = loss_of(*COMPILED).to(device)
    compiled = torch.compile(criterion, backend="eager", fullgraph=True)
    outputs = [part.detach() for part in Net().to(device)(views[:, mine].flatten(0, 1))]
    compiled_value = compiled(*outputs, target[mine])
    if rank == 0:
        assert len(criterion.last) == 7  # the other process does not read it: nothing may wait
        everything = (results, tied_gradients, compiled_value)
        torch.save(everything, f"{folder}/results.pt")
    dist.destroy_process_group()
    # A thread of gloo lets go of the last gathered tensors when it gets to it. It needs the GIL for
    # that, and torch aborts if the interpreter is being finalized by then.
    os._exit(0)


@pytest.fixture(scope="module", params=BACKENDS, ids=lambda backend: backend[0])
def everything(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    # The copy of a process can't use the GPU if that has asked for it.
    on_a_gpu = request.param[1] == "cuda"
    copied = partial(ready_process.spawn, ready="timm")  # which imports torch's compiler
    spawn = torch.multiprocessing.spawn if on_a_gpu else copied
    spawn(two_processes, (str(folder), *request.param), PROCESSES)
    return torch.load(folder / "results.pt", map_location="cpu")


@pytest.fixture(scope="module")
def results(everything):
    return everything[0]


def test_tied_model_has_the_gradients_of_one_process(everything):
    tied, (views, target) = TiedModel(Plain()), batch()
    TiedLoss(tied_weight=0.5)(*tied(views.flatten(0, 1)), target).backward()
    expected = [parameter.grad for parameter in tied.parameters()]
    assert_close(everything[1], expected, rtol=1e-10, atol=1e-12)


def test_gathering_compiles_to_one_graph(everything):
    views, target = batch()
    net = Net()
    halves = [net(views[:, rank::2].flatten(0, 1)) for rank in range(PROCESSES)]
    ce = nn.functional.cross_entropy(halves[0][0], target[::2].repeat(2))
    whole = loss_of(*COMPILED)
    whole(*net(views.flatten(0, 1)), target)
    expected = ce + whole.last["tied_weight"] * whole.last["similarity"]
    assert_close(everything[2], expected.detach(), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("index", range(len(CASES)), ids=[f"{n}-{g}" for n, g in CASES])
def test_value_and_gradients_equal_those_of_one_process(results, index):
    value, gradients = results[index]
    net, (views, target) = Net(), batch()
    loss = loss_of(*CASES[index])(*net(views.flatten(0, 1)), target)
    loss.backward()
    # float64; sums in another order, and cka's cancellations.
    assert_close(value, loss.detach(), rtol=1e-10, atol=1e-12)
    expected = [parameter.grad for parameter in net.parameters()]
    assert_close(gradients, expected, rtol=1e-8, atol=1e-11)


def test_without_gathering_cka_is_another(results):
    """The test above would see it: CKA of half the batch is not that of the whole."""
    views, target = batch()
    net = Net()
    halves = [
        loss_of("cka", False)(*net(views[:, rank::2].flatten(0, 1)), target[rank::2])
        for rank in range(PROCESSES)
    ]
    assert abs(sum(halves) / 2 - results[CASES.index(("cka", True))][0]) > 1e-3


def test_gathering_alone_is_the_plain_loss():
    views, target = batch()
    outputs = Net()(views.flatten(0, 1))
    assert_close(loss_of("cka", True)(*outputs, target), loss_of("cka", False)(*outputs, target))
