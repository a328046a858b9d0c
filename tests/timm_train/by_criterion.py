"""A training script of the shape of timm's train.py up to 1.0.22: the loop calls a criterion."""

import shared
import timm.utils as utils
import torch
import torch.distributed
from timm.data import FastCollateMixup, Mixup, create_dataset, create_loader
from timm.models import create_model, model_parameters, resume_checkpoint
from timm.optim import create_optimizer_v2, optimizer_kwargs
from torch.nn.parallel import DistributedDataParallel as NativeDDP

_logger = shared.logger
config_parser, parser = shared.make_parsers()


def _parse_args():
    return shared.parse(config_parser, parser)


def main():
    args, args_text = _parse_args()
    device = shared.start(args)
    model = shared.prepared(create_model(**shared.model_options(args)), args, device)
    optimizer = create_optimizer_v2(model, **optimizer_kwargs(cfg=args))
    first = resume_checkpoint(model, args.resume, optimizer) if args.resume else 0
    ema = utils.ModelEmaV3(model, decay=args.model_ema_decay) if args.model_ema else None
    train_options, validation_options = shared.loader_options(args, model, device)
    if args.distributed:
        model = NativeDDP(model, device_ids=[device])
    if args.torchcompile:
        model = torch.compile(model, backend=args.torchcompile, mode=args.torchcompile_mode)

    collate, mixup = shared.make_mixers(args, FastCollateMixup, Mixup)
    train_set, validation_set = shared.data_sets(args, create_dataset)
    loader = create_loader(train_set, collate_fn=collate, **train_options)
    validation_loader = create_loader(validation_set, **validation_options)
    criterion = shared.make_criterion(args).to(device)

    records = shared.Records(args, args_text, model, optimizer, utils, model_ema=ema)
    for epoch in range(first or 0, args.epochs):
        shared.set_epoch(loader, epoch, args)
        train_metrics = train_one_epoch(
            epoch, model, loader, optimizer, criterion, args, device, model_ema=ema, mixup_fn=mixup
        )
        metrics = shared.validate(model, validation_loader, args, device)
        records.add(epoch, train_metrics, metrics)
    if args.distributed:
        torch.distributed.destroy_process_group()


def train_one_epoch(
    epoch, model, loader, optimizer, loss_fn, args, device, model_ema=None, mixup_fn=None
):
    shared.stop_mixing(epoch, loader, mixup_fn, args)
    log = shared.StepLog(epoch, len(loader), args, utils)
    model.train()
    optimizer.zero_grad()
    for step, (images, target) in enumerate(loader):
        images, target = shared.on_device(images, target, args, device, mixup_fn)
        with shared.autocast(args, device):
            loss = loss_fn(model(images), target)
        loss /= args.grad_accum_steps
        loss.backward()
        log.add(step, loss, images)
        if (step + 1) % args.grad_accum_steps and step < len(loader) - 1:
            continue
        parameters = model_parameters(model, exclude_head=args.clip_mode == "agc")
        shared.clip(parameters, args)
        optimizer.step()
        optimizer.zero_grad()
        if model_ema is not None:
            model_ema.update(model)
    return log.metrics()


if __name__ == "__main__":
    main()
