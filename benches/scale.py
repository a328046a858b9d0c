"""What limits training at scale: cores, disk or network? Measured rates times stated bandwidths.

``python benches/scale.py FOLDER`` measures one thread on the images of an ImageFolder, and prints
the tables of docs/scale.md. The nodes, their bandwidths and what GPUs consume are assumptions,
stated below: change them to those of your cluster. Nothing but the rate of a thread is measured.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import dataclass
from pathlib import Path

from torchvision.datasets import ImageFolder

from tied_augment import TiedLoader, TwoView, View

# Pixels of two views of 224, which cross the network if other nodes make them.
PIXELS = 2 * 3 * 224 * 224
GIGABIT = 1e9 / 8


@dataclass(frozen=True)
class Node:
    """A host with GPUs: its cores for loading, and bytes per second from where the files lie."""

    name: str
    gpus: int
    cores: int
    source: str
    bandwidth: float


NODES = (
    Node("workstation", 1, 12, "SATA disk, 0.5 GB/s", 0.5e9),
    Node("server", 8, 96, "NVMe disk, 3 GB/s", 3e9),
    Node("server", 8, 96, "bucket over 10 Gbit/s", 10 * GIGABIT),
    Node("server", 8, 96, "bucket over 100 Gbit/s", 100 * GIGABIT),
    Node("server with few cores", 8, 32, "NVMe disk, 3 GB/s", 3e9),
)
# Source images per second and GPU, two views of each: half of the images that it trains on.
GPUS = {"light model": 1500, "heavy model": 400}
SHARDS = 10_000
RANKS = (8, 64, 128, 512)


def rate(dataset: ImageFolder, policy: str | None, seconds: float) -> float:
    """Source images per second of one thread, the best epoch of several."""
    view = View(224, auto_augment=policy, interpolation="bicubic")
    loader = TiedLoader(dataset, TwoView(view), 50, threads=1)
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        for _ in loader:
            pass
        best = max(best, len(dataset) / (time.perf_counter() - began))
    return best


def limits(node: Node, per_core: float, size: float, demand: float) -> tuple[dict[str, float], str]:
    """Images per second that each part of a node can do, and which is the least."""
    rates = {
        "cores": node.cores * per_core,
        "source": node.bandwidth / size,
        "GPUs": node.gpus * demand,
    }
    return rates, min(rates, key=lambda part: rates[part])


def print_nodes(per_core: float, size: float) -> None:
    """Print which part of each node is the limit, for each demand."""
    print("| node | files from | GPUs want | cores make | source gives | limit | cores per GPU |")
    print("|---|---|---|---|---|---|---|")
    for node in NODES:
        for model, demand in GPUS.items():
            rates, least = limits(node, per_core, size, demand)
            print(
                f"| {node.name}, {node.gpus} GPU{'s' * (node.gpus > 1)}, {node.cores} cores, "
                f"{model} | {node.source} | {rates['GPUs']:,.0f} | {rates['cores']:,.0f} | "
                f"{rates['source']:,.0f} | {least} | {demand / per_core:.1f} |"
            )


def print_traffic(size: float) -> None:
    """Print what crosses the network if other hosts make the views."""
    print("| 8 GPUs, | images/s | files, Gbit/s | pixels of two views, Gbit/s |")
    print("|---|---|---|---|")
    for model, demand in GPUS.items():
        wanted = 8 * demand
        files, pixels = (wanted * each / GIGABIT for each in (size, PIXELS))
        print(f"| {model} | {wanted:,} | {files:.1f} | {pixels:.1f} |")


def print_shards() -> None:
    """Print how many shards a rank has, and what is left over in an epoch of equal lengths."""
    print(f"| ranks | shards per rank, of {SHARDS:,} | left out per epoch |")
    print("|---|---|---|")
    for ranks in RANKS:
        least, more = divmod(SHARDS, ranks)
        each = f"{least}" if not more else f"{least} or {least + 1}"
        print(f"| {ranks} | {each} | {more / SHARDS:.1%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="one folder of images per class")
    parser.add_argument("--seconds", type=float, default=10, help="to measure each policy")
    arguments = parser.parse_args()
    dataset = ImageFolder(arguments.folder)
    size = sum(Path(path).stat().st_size for path, _ in dataset.samples) / len(dataset)
    print(f"{platform.machine()}, {len(dataset)} files of {size / 1e3:.0f} KB on average")
    for policy in (None, "rand-m9-mstd0.5-inc1"):
        per_core = rate(dataset, policy, arguments.seconds)
        print(f"\n{policy or 'crop and flip'}: {per_core:,.0f} images per second and core\n")
        print_nodes(per_core, size)
    print()
    print_traffic(size)
    print()
    print_shards()


if __name__ == "__main__":
    main()
