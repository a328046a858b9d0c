"""A validation script of the shape of timm's validate.py: its names, and the order of its work."""

import argparse
import json
import logging

import torch
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.models import create_model, load_checkpoint
from timm.utils import AverageMeter, accuracy, setup_default_logging
from torch import nn

_logger = logging.getLogger("validate")

parser = argparse.ArgumentParser(description="A small validation script")
parser.add_argument("--data-dir")
parser.add_argument("--dataset", default="")
parser.add_argument("--split", default="validation")
parser.add_argument("--model", default="test_resnet")
parser.add_argument("--checkpoint", default="")
parser.add_argument("--num-classes", type=int, default=None)
parser.add_argument("--img-size", type=int, default=None)
parser.add_argument("--input-size", type=int, nargs=3, default=None)
parser.add_argument("--crop-pct", type=float, default=None)
parser.add_argument("--crop-mode", default=None)
parser.add_argument("--crop-border-pixels", type=int, default=None)
parser.add_argument("--interpolation", default="")
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("-b", "--batch-size", type=int, default=8)
parser.add_argument("--device", default="cpu")
parser.add_argument("--no-prefetcher", action="store_true")
parser.add_argument("--tf-preprocessing", action="store_true")


def validate(args):
    args.prefetcher = not args.no_prefetcher
    device = torch.device(args.device)
    model = create_model(args.model, num_classes=args.num_classes)
    if args.checkpoint:
        load_checkpoint(model, args.checkpoint)
    config = resolve_data_config(vars(args), model=model, use_test_size=True)
    model = model.to(device)
    criterion = nn.CrossEntropyLoss().to(device)
    dataset = create_dataset(root=args.data_dir, name=args.dataset, split=args.split)
    loader = create_loader(
        dataset,
        input_size=config["input_size"],
        batch_size=args.batch_size,
        use_prefetcher=args.prefetcher,
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        num_workers=args.workers,
        crop_pct=config["crop_pct"],
        crop_mode=config["crop_mode"],
        crop_border_pixels=args.crop_border_pixels,
        device=device,
        tf_preprocessing=args.tf_preprocessing,
    )
    meters = {name: AverageMeter() for name in ("loss", "top1", "top2")}
    model.eval()
    with torch.inference_mode():
        for images, target in loader:
            output = model(images.to(device))
            values = criterion(output, target), *accuracy(output, target, topk=(1, 2))
            for meter, value in zip(meters.values(), values, strict=True):
                meter.update(value.item(), len(images))
    _logger.info("%d images", meters["loss"].count)
    return {name: meter.avg for name, meter in meters.items()} | {"arguments": vars(args)}


def main():
    setup_default_logging()
    args = parser.parse_args()
    print(f"--result\n{json.dumps(validate(args), indent=4)}")


if __name__ == "__main__":
    main()
