"""What the two training scripts in this folder share.

The scripts have the shape of timm's train.py: its names, and the order of its work. The launcher's
tests run them, so they have few options, no learning rate schedule and little output. What the
launcher substitutes must be named in the scripts themselves.
"""

import argparse
import logging
import os
from collections import OrderedDict
from contextlib import nullcontext

import timm.utils
import torch
import yaml
from timm.data import resolve_data_config
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.utils import AverageMeter, ParseKwargs, accuracy
from torch import nn

logger = logging.getLogger("train")

# Options and their defaults, by type.
TEXTS = {
    "--data-dir": None,
    "--train-split": "train",
    "--val-split": "validation",
    "--dataset": "",
    "--model": "test_resnet",
    "--resume": "",
    "--device": "cpu",
    "--amp-dtype": "float16",
    "--model-dtype": None,
    "--opt": "sgd",
    "--clip-mode": "norm",
    "--train-crop-mode": None,
    "--aa": None,
    "--remode": "pixel",
    "--mixup-mode": "batch",
    "--train-interpolation": "random",
    "--interpolation": "",
    "--torchcompile": None,
    "--torchcompile-mode": None,
    "--worker-seeding": "all",
    "--output": "",
    "--experiment": "run",
    "--dist-bn": "reduce",
    "--input-img-mode": None,
    "--kd-model-name": None,
    "--kd-distill-type": "logit",
    "--variable-batch-loss-scale": "none",
}
INTEGERS = {
    "--num-classes": 4,
    "--img-size": None,
    "--in-chans": None,
    "--grad-accum-steps": 1,
    "--epochs": 1,
    "--aug-splits": 0,
    "--aug-repeats": 0,
    "--recount": 1,
    "--mixup-off-epoch": 0,
    "--seed": 42,
    "--log-interval": 1,
    "--workers": 0,
    "--train-batches-per-epoch": None,
}
NUMBERS = {
    "--lr": 0.05,
    "--momentum": 0.9,
    "--weight-decay": 0.0,
    "--clip-grad": None,
    "--layer-decay": None,
    "--hflip": 0.5,
    "--vflip": 0.0,
    "--color-jitter": 0.4,
    "--crop-pct": None,
    "--color-jitter-prob": None,
    "--grayscale-prob": None,
    "--gaussian-blur-prob": None,
    "--reprob": 0.0,
    "--mixup": 0.0,
    "--cutmix": 0.0,
    "--mixup-prob": 1.0,
    "--mixup-switch-prob": 0.5,
    "--smoothing": 0.1,
    "--drop": 0.0,
    "--model-ema-decay": 0.9998,
}
FLAGS = [
    "--amp",
    "--bce-loss",
    "--channels-last",
    "--grad-checkpointing",
    "--jsd-loss",
    "--log-wandb",
    "--model-ema",
    "--naflex-loader",
    "--no-aug",
    "--no-prefetcher",
    "--pin-mem",
    "--resplit",
    "--split-bn",
    "--sync-bn",
    "--torchscript",
    "--use-multi-epochs-loader",
]


def make_parsers():
    """The parser of ``--config`` and the one of all else."""
    config = argparse.ArgumentParser(add_help=False)
    config.add_argument("-c", "--config", default="")
    parser = argparse.ArgumentParser(description="A small training script")
    add = parser.add_argument
    for kind, options in ((str, TEXTS), (int, INTEGERS), (float, NUMBERS)):
        for name, default in options.items():
            add(name, type=kind, default=default)
    for name in FLAGS:
        add(name, action="store_true")
    add("-b", "--batch-size", type=int, default=8)
    add("--scale", type=float, nargs="+", default=[0.08, 1.0])
    add("--ratio", type=float, nargs="+", default=[3 / 4, 4 / 3])
    add("--cutmix-minmax", type=float, nargs="+", default=None)
    add("--train-img-sizes", type=int, nargs="+", default=None)
    add("--model-kwargs", nargs="*", default={}, action=ParseKwargs)
    return config, parser


def parse(config, parser):
    """The arguments, and their text for args.yaml."""
    given, rest = config.parse_known_args()
    if given.config:
        with open(given.config) as file:
            parser.set_defaults(**yaml.safe_load(file))
    args = parser.parse_args(rest)
    return args, yaml.safe_dump(vars(args), default_flow_style=False)


def start(args):
    """What main() begins with: logging, the device, the seed."""
    timm.utils.setup_default_logging()
    args.prefetcher = not args.no_prefetcher
    device = timm.utils.init_distributed_device(args)
    timm.utils.random_seed(args.seed, args.rank)
    return device


def dtype(args):
    return getattr(torch, args.model_dtype or "float32")


def model_options(args):
    """Keyword arguments of create_model."""
    return {
        "model_name": args.model,
        "num_classes": args.num_classes,
        "in_chans": args.in_chans or 3,
        "drop_rate": args.drop,
        **args.model_kwargs,
    }


def prepared(model, args, device):
    if args.grad_checkpointing:
        model.set_grad_checkpointing(enable=True)
    assert not args.split_bn or args.resplit, "split-bn without a split"
    model.to(device=device, dtype=dtype(args))
    if args.channels_last:
        model.to(memory_format=torch.channels_last)
    return model


def is_mixed(args):
    return args.mixup > 0 or args.cutmix > 0 or args.cutmix_minmax is not None


def make_mixers(args, fast_collate_mixup, mixup):
    """The collate function and the mixer of batches, by the script's classes; one or no mixer."""
    if not is_mixed(args):
        return None, None
    options = {
        "mixup_alpha": args.mixup,
        "cutmix_alpha": args.cutmix,
        "cutmix_minmax": args.cutmix_minmax,
        "prob": args.mixup_prob,
        "switch_prob": args.mixup_switch_prob,
        "mode": args.mixup_mode,
        "label_smoothing": args.smoothing,
        "num_classes": args.num_classes,
    }
    if args.prefetcher:
        return fast_collate_mixup(**options), None
    return None, mixup(**options)


def data_sets(args, create_dataset):
    """For training and for validation."""
    return (
        create_dataset(args.dataset, root=args.data_dir, split=args.train_split, is_training=True),
        create_dataset(args.dataset, root=args.data_dir, split=args.val_split),
    )


def loader_options(args, model, device):
    """Keyword arguments of create_loader, for training and for validation."""
    config = resolve_data_config(vars(args), model=model)
    both = {
        "input_size": config["input_size"],
        "mean": config["mean"],
        "std": config["std"],
        "batch_size": args.batch_size,
        "num_workers": args.workers,
        "distributed": args.distributed,
        "pin_memory": args.pin_mem,
        "device": device,
        "img_dtype": dtype(args),
        "use_prefetcher": args.prefetcher,
    }
    train = {
        "is_training": True,
        "no_aug": args.no_aug,
        "re_prob": args.reprob,
        "re_mode": args.remode,
        "re_count": args.recount,
        "re_split": args.resplit,
        "train_crop_mode": args.train_crop_mode,
        "scale": args.scale,
        "ratio": args.ratio,
        "hflip": args.hflip,
        "vflip": args.vflip,
        "color_jitter": args.color_jitter,
        "color_jitter_prob": args.color_jitter_prob,
        "grayscale_prob": args.grayscale_prob,
        "gaussian_blur_prob": args.gaussian_blur_prob,
        "auto_augment": args.aa,
        "num_aug_repeats": args.aug_repeats,
        "interpolation": config["interpolation"] if args.no_aug else args.train_interpolation,
        "use_multi_epochs_loader": args.use_multi_epochs_loader,
        "worker_seeding": args.worker_seeding,
    }
    if args.train_img_sizes:
        train |= {
            "input_size_choices": args.train_img_sizes,
            "batch_choice_seed": args.seed,
            "num_batches": args.train_batches_per_epoch,
        }
    validation = {"interpolation": config["interpolation"], "crop_pct": config["crop_pct"]}
    return both | train, both | validation


def make_criterion(args):
    if args.bce_loss:
        return BinaryCrossEntropy(smoothing=0.0 if is_mixed(args) else args.smoothing)
    if is_mixed(args):
        return SoftTargetCrossEntropy()
    if args.smoothing:
        return LabelSmoothingCrossEntropy(args.smoothing)
    return nn.CrossEntropyLoss()


def autocast(args, device):
    if not args.amp:
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, args.amp_dtype))


def set_epoch(loader, epoch, args):
    if args.distributed and hasattr(loader.sampler, "set_epoch"):
        loader.sampler.set_epoch(epoch)


def stop_mixing(epoch, loader, mixup_fn, args):
    """In the epochs since --mixup-off-epoch."""
    if args.mixup_off_epoch and epoch >= args.mixup_off_epoch:
        if args.prefetcher and loader.mixup_enabled:
            loader.mixup_enabled = False
        elif mixup_fn is not None:
            mixup_fn.mixup_enabled = False


def on_device(images, target, args, device, mixup_fn=None):
    """A batch as the model takes it."""
    if not args.prefetcher:
        images, target = images.to(device, dtype(args)), target.to(device)
        if mixup_fn is not None:
            images, target = mixup_fn(images, target)
    if args.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    return images, target


def clip(parameters, args):
    if args.clip_grad is not None:
        timm.utils.dispatch_clip_grad(parameters, value=args.clip_grad, mode=args.clip_mode)


class Records:
    """What one of the processes writes: args.yaml, summary.csv and checkpoints."""

    def __init__(self, args, text, model, optimizer, utils, **saved):
        self.args = args
        self.rows = 0
        if timm.utils.is_primary(args):
            self.folder = utils.get_outdir(args.output, args.experiment)
            with open(os.path.join(self.folder, "args.yaml"), "w") as file:
                file.write(text)
            self.saver = timm.utils.CheckpointSaver(
                model, optimizer, args, checkpoint_dir=self.folder, **saved
            )

    def add(self, epoch, train_metrics, metrics):
        if timm.utils.is_primary(self.args):
            timm.utils.update_summary(
                epoch,
                train_metrics,
                metrics,
                os.path.join(self.folder, "summary.csv"),
                write_header=self.rows == 0,
                log_wandb=self.args.log_wandb,
            )
            self.rows += 1
            self.saver.save_checkpoint(epoch, metric=metrics["top1"])


class StepLog:
    """Logs steps as train.py does: with the loss of all processes, by one of them."""

    def __init__(self, epoch, steps, args, utils):
        self.epoch, self.steps, self.loss = epoch, steps, AverageMeter()
        self.args, self.utils = args, utils

    def add(self, step, loss, images):
        self.loss.update(loss.item() * self.args.grad_accum_steps, len(images))
        if step % self.args.log_interval:
            return
        now, average = self.over_processes(self.loss.val), self.over_processes(self.loss.avg)
        if self.utils.is_primary(self.args):
            logger.info(
                f"Train: {self.epoch} [{step:>4d}/{self.steps}]  Loss: {now:#.3g} ({average:#.3g})"
            )

    def over_processes(self, value):
        if not self.args.distributed:
            return value
        value = torch.tensor([value], device=self.args.device)
        return self.utils.reduce_tensor(value, self.args.world_size).item()

    def metrics(self):
        return OrderedDict(loss=self.over_processes(self.loss.avg))


@torch.inference_mode()
def validate(model, loader, args, device):
    model.eval()
    meters = {name: AverageMeter() for name in ("loss", "top1", "top2")}
    for images, target in loader:
        images, target = on_device(images, target, args, device)
        with autocast(args, device):
            logits = model(images)
        loss = nn.functional.cross_entropy(logits.float(), target)
        for meter, value in zip(
            meters.values(), (loss, *accuracy(logits, target, (1, 2))), strict=True
        ):
            meter.update(value.item(), len(images))
    return {name: meter.avg for name, meter in meters.items()}
