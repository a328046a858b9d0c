"""The fused loss against PyTorch's ways to the same gradients, in one run.

    python benches/fused_loss.py [--dtypes float32] [--similarity mse] [--shapes 256,1000,2048]

Each row is the loss of one training step: its value and the gradients of logits and features. The
candidates take turns within a round, so that other work on the machine affects all alike, and the
smallest time of all rounds counts. Times are in microseconds; compare those of one run only.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tied_augment import build_info
from tied_augment.fused import TiedLossFunction, tied_loss, worthwhile

# (2B, C, D)
SHAPES = [
    (2, 10, 64),
    (64, 10, 512),
    (256, 10, 128),
    (512, 100, 512),
    (64, 1000, 768),
    (256, 1000, 512),
    (256, 1000, 2048),
    (1024, 1000, 384),
    (2048, 1000, 2048),
    (256, 21841, 1024),
]
Step = Callable[[], object]


def formula(logits: Tensor, features: Tensor, target: Tensor, similarity: str) -> Tensor:
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits, features = logits.float(), features.float()
    first, second = features.chunk(2)
    ce = F.cross_entropy(logits, torch.cat((target, target)))
    if similarity == "mse":
        return ce + F.mse_loss(first, second)
    if similarity == "l1":
        return ce + F.l1_loss(first, second)
    return ce + (1 - F.cosine_similarity(first, second).mean())


def by_hand(logits: Tensor, features: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The tied loss with `mse`, as one would write it without autograd."""
    dtype = logits.dtype
    logits, (first, second) = logits.float(), features.float().chunk(2)
    rows = len(logits)
    index = torch.cat((target, target))[:, None]
    log_chance = torch.log_softmax(logits, 1)
    ce = -log_chance.gather(1, index).mean()
    grad_logits = log_chance.exp_().div_(rows)
    grad_logits.scatter_add_(1, index, torch.full((rows, 1), -1.0 / rows))
    difference = first - second
    distance = torch.dot(difference.flatten(), difference.flatten()) / difference.numel()
    difference.mul_(2 / difference.numel())
    grad_features = torch.cat((difference, -difference))
    return ce + distance, grad_logits.to(dtype), grad_features.to(dtype)


def rivals(
    shape: tuple[int, int, int], dtype: torch.dtype, similarity: str, threads: int
) -> dict[str, Step]:
    rows, classes, width = shape
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, classes, generator=generator).to(dtype).requires_grad_()
    features = torch.randn(rows, width, generator=generator).to(dtype).requires_grad_()
    target = torch.randint(classes, (rows // 2,), generator=generator)
    compiled = torch.compile(formula, dynamic=False)
    inputs = (logits, features)
    buffers = (torch.empty_like(logits.detach()), torch.empty_like(features.detach()))

    def eager() -> object:
        return torch.autograd.grad(formula(logits, features, target, similarity), inputs)

    def compiled_step() -> object:
        return torch.autograd.grad(compiled(logits, features, target, similarity), inputs)

    def hand_written() -> object:
        return by_hand(logits.detach(), features.detach(), target)

    def fused() -> object:
        loss, _, _ = TiedLossFunction.apply(
            logits, features, target, 1.0, similarity, 0.0, "both", None
        )
        return torch.autograd.grad(loss, inputs)

    def plain() -> object:
        return tied_loss(
            logits, features, target, similarity=similarity, out=buffers, threads=threads
        )

    steps: dict[str, Step] = {"eager": eager, "compile": compiled_step}
    if similarity == "mse":
        steps["by hand"] = hand_written
    return steps | {"fused": fused, "tied_loss(out=)": plain}


def smallest(steps: dict[str, Step], rounds: int, budget: float) -> dict[str, float]:
    """The smallest time of a call in microseconds; a turn has several calls."""
    best = dict.fromkeys(steps, float("inf"))
    for step in steps.values():
        step()
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            end = time.perf_counter() + budget
            now = time.perf_counter()
            while now < end:
                start, _ = now, step()
                now = time.perf_counter()
                best[name] = min(best[name], 1e6 * (now - start))
    return best


def row(
    dtype: str, shape: tuple[int, int, int], threads: int, times: dict[str, float]
) -> list[str]:
    """The cells of a row of the table; marked if `worthwhile` is wrong about it."""
    best = min(times[name] for name in times if "fused" not in name and "(" not in name)
    gains = (times["eager"] / times["fused"], best / times["fused"])
    rows, classes, width = shape
    rule = worthwhile(rows, classes, width, threads=threads)
    mark = "" if rule == (gains[0] > 1) else " (!)"
    cells = [dtype, *map(str, shape), str(threads)]
    cells += [f"{value:,.0f}" for value in times.values()]
    return [*cells, f"{gains[0]:.2f}x{mark}", f"{gains[1]:.2f}x"]


def shape_of(text: str) -> tuple[int, int, int]:
    rows, classes, width = map(int, text.split(","))
    return rows, classes, width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--similarity", default="mse", choices=["mse", "l1", "cosine"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--shapes", nargs="+", help="2B,C,D each", default=SHAPES, type=shape_of)
    arguments = parser.parse_args()
    info = build_info()
    print(
        f"{platform.processor() or platform.machine()}, {info['threads']} cores, "
        f"SIMD {info['resize_simd']}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, tied-augment {info['version']}; "
        f"similarity {arguments.similarity}; microseconds"
    )
    settings = itertools.product(arguments.dtypes, arguments.shapes, arguments.threads)
    for number, (dtype, shape, threads) in enumerate(settings):
        torch.set_num_threads(threads)
        torch._dynamo.reset()
        steps = rivals(shape, getattr(torch, dtype), arguments.similarity, threads)
        times = smallest(steps, arguments.rounds, 0.02)
        if number == 0:
            header = ["dtype", "2B", "C", "D", "threads", *times, "fused to eager", "to best"]
            print("| " + " | ".join(header) + " |")
            print("|" + "---|" * len(header))
        print("| " + " | ".join(row(dtype, shape, threads, times)) + " |", flush=True)


if __name__ == "__main__":
    main()
