"""``tied-augment tune``: short runs of train.py at several weights, and which weight to use.

Lives here: the command and its refusals. `runs` starts train.py and keeps what is done, `verdict`
applies the rule of docs/loss.md, and `plot` draws.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from itertools import chain
from pathlib import Path
from typing import Any

from tied_augment.cli.errors import CommandError, needs_extra, writing
from tied_augment.cli.options import MOST_THREADS, Parser, among_others, check_range
from tied_augment.cli.tune.runs import Plan, Run, begin, finished, train
from tied_augment.cli.tune.verdict import judge, table

__all__ = ["add_parser", "run"]

_WEIGHTS = "0,0.1,1,10"
_USAGE = "tied-augment tune [-h] TRAIN_PY [timm's options] [--tied-weights 0,0.1,1,10] ..."
_DESCRIPTION = (
    "Run a train.py of timm's repository with --tied-augment for a few epochs at each weight, on "
    "your data with your options, and say which --tied-weight to use. Weight 0 is what the others "
    "are compared with. Interrupted, the same command goes on after the runs that are done."
)
# Options of train.py that this command sets, and what to do instead.
_REFUSED = {
    "--tied-weight": "give --tied-weights, the weights to try",
    "--seed": "give --seeds",
    "--experiment": "leave it out, since each run gets a name of its own below --output",
    "--resume": "leave it out, since all weights must start from the same model: to start from "
    "weights of yours give --initial-checkpoint, and to go on with interrupted runs give the "
    "arguments of before",
}
# Of a similarity that is at most 4 / (B*D), smaller weights have no effect.
_SHRINKS = "l2_norm"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "tune",
        help="find a weight on your own data, by short runs of timm's train.py",
        usage=_USAGE,
        description=_DESCRIPTION,
    )
    _add_options(parser)
    parser.add_argument("script", type=Path, metavar="TRAIN_PY", help="the path of timm's train.py")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="the script's options"
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tied-weights",
        type=among_others(_numbers(float)),
        nargs="+",
        default=[[0.0, 0.1, 1.0, 10.0]],
        metavar="W,W",
        help="the weights to try, separated by commas (default: 0,0.1,1,10)",
    )
    parser.add_argument(
        "--seeds",
        type=among_others(_numbers(int)),
        nargs="+",
        default=[[42]],
        metavar="S,S",
        help="run each weight with each of these seeds; with one seed only large differences can "
        "be told from noise (default: 42)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("tied-augment-tune"),
        metavar="DIR",
        help="folder for the runs, results.csv and tune.png (default: %(default)s)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="processes of each run on this machine, as torchrun's --nproc_per_node "
        "(default: %(default)s)",
    )


def _numbers(kind: type) -> Callable[[str], list[Any]]:
    return lambda text: [kind(part) for part in text.split(",") if part.strip()]


def run(args: argparse.Namespace) -> int:
    """Run train.py at each weight, and print what follows."""
    # After the script come options of both: those that this parser doesn't know are the script's.
    after = Parser(prog="tied-augment tune TRAIN_PY", usage=_USAGE, description=_DESCRIPTION)
    _add_options(after)
    args, arguments = after.parse_known_args(args.arguments, argparse.Namespace(**vars(args)))
    weights: list[float] = list(chain.from_iterable(args.tied_weights))
    seeds: list[int] = list(chain.from_iterable(args.seeds))
    _check(args, weights, seeds, arguments)
    with needs_extra("plots"):
        from tied_augment.cli.tune.plot import draw
    if 0 not in weights:
        print("weight 0 is added: the others are compared with it")
        weights.append(0.0)
    plan = Plan(args.script, tuple(arguments), args.output, args.processes)
    begin(plan)
    results: list[Run] = []
    # By seeds first, so that an interrupted command has all weights with one seed.
    order = [(weight, seed) for seed in seeds for weight in sorted(weights, key=abs)]
    print(f"{len(order)} runs into {args.output}\n\n{_HEADER}", flush=True)
    for weight, seed in order:
        begun = time.monotonic()
        kept = finished(plan, weight, seed)
        results.append(kept or _trained(plan, weight, seed))
        _write(args.output / "results.csv", results)
        with writing(args.output):
            draw(args.output / "tune.png", results)
        took = "was there already" if kept else f"{time.monotonic() - begun:.0f} s"
        print(f"{_line(results[-1])}   {took}", flush=True)
    verdict = judge(results)
    print(f"\n{table(results)}\n\n" + "\n".join(verdict.sentences))
    if verdict.weight is not None:
        print(f"\nUse --tied-augment --tied-weight {verdict.weight:g}")
    print(f"\nresults: {args.output / 'results.csv'}, {args.output / 'tune.png'}")
    return 0


_HEADER = f"{'weight':>8}{'seed':>7}{'top-1, %':>10}{'CE':>9}{'similarity':>12}{'cosine':>9}"


def _line(each: Run) -> str:
    losses = f"{each.ce:>9.4g}{each.similarity:>12.4g}{each.cosine:>9.3f}"
    return f"{each.weight:>8g}{each.seed:>7}{each.top1:>10.2f}{losses}"


def _trained(plan: Plan, weight: float, seed: int) -> Run:
    try:
        return train(plan, weight, seed)
    except KeyboardInterrupt:
        print("\nthe runs above are kept: the same command goes on after them", flush=True)
        raise


def _write(path: Path, results: Sequence[Run]) -> None:
    with writing(path), path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Run)])
        writer.writeheader()
        writer.writerows(map(asdict, results))


def _check(
    args: argparse.Namespace, weights: Sequence[float], seeds: Sequence[int], arguments: list[str]
) -> None:
    """Refuse what can't be tuned, before the first run."""
    if not args.script.is_file():
        raise CommandError(f"there is no file {args.script}: give the path of timm's train.py")
    check_range(args, "processes", 1, MOST_THREADS)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise CommandError(
            "start it once, without torchrun: --processes is the number of processes of each run"
        )
    for word in arguments:
        option = word.partition("=")[0]
        for refused, remedy in _REFUSED.items():
            if _abbreviates(option, refused):
                raise CommandError(f"{option} is what tune sets: {remedy}")
    if not any(
        _abbreviates(word.partition("=")[0], "--epochs") or word.startswith(("-c", "--config"))
        for word in arguments
    ):
        raise CommandError(
            "give --epochs, such as --epochs 3: timm's default is made for the final training"
        )
    _check_numbers("--tied-weights", [f"{weight:g}" for weight in weights])
    _check_numbers("--seeds", [str(seed) for seed in seeds])
    if not any(weights):
        raise CommandError(f"--tied-weights needs a weight besides 0, such as {_WEIGHTS}")
    if not all(map(math.isfinite, weights)):
        raise CommandError("--tied-weights takes finite numbers")
    if min(seeds) < 0:
        raise CommandError(f"--seeds must be at least 0, got {min(seeds)}")
    if {_SHRINKS, f"--tied-similarity={_SHRINKS}"} & set(arguments) and max(
        map(abs, weights)
    ) < 100:
        raise CommandError(
            f"{_SHRINKS} is at most 4 / (B*D), so that weights below 100 have no effect: give "
            "larger ones, such as --tied-weights 0,100,1000,10000"
        )


def _check_numbers(option: str, names: Sequence[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise CommandError(f"{option} has {min(twice)} twice: leave one out")
    if not names:
        example = _WEIGHTS if option == "--tied-weights" else "42,43,44"
        raise CommandError(f"{option} needs numbers, such as {option} {example}")


def _abbreviates(word: str, option: str) -> bool:
    """Whether train.py's parser may take `word` for `option`."""
    return len(word) > len("--s") and option.startswith(word)
