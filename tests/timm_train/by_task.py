"""A training script of the shape of timm's train.py since 1.0.27: a task computes the loss."""

import os

import timm.utils as utils
import torch
import torch.distributed
from shared import (
    StepLog,
    autocast,
    is_mixed,
    loader_options,
    logger,
    make_criterion,
    make_parsers,
    mixup_options,
    output_folder,
    parse,
    validate,
)
from timm.data import FastCollateMixup, Mixup, create_dataset, create_loader
from timm.models import create_model
from timm.optim import create_optimizer_v2, optimizer_kwargs
from timm.task import ClassificationTask, LogitDistillationTask, resume_task_checkpoint

_logger = logger
config_parser, parser = make_parsers()


def _parse_args():
    return parse(config_parser, parser)


def main():
    utils.setup_default_logging()
    args, args_text = _parse_args()
    args.prefetcher = not args.no_prefetcher
    device = utils.init_distributed_device(args)
    utils.random_seed(args.seed, args.rank)
    dtype = getattr(torch, args.model_dtype or "float32")

    model = create_model(
        args.model,
        num_classes=args.num_classes,
        in_chans=args.in_chans or 3,
        drop_rate=args.drop,
        **args.model_kwargs,
    )
    if args.grad_checkpointing:
        model.set_grad_checkpointing(enable=True)
    assert not args.split_bn or args.resplit, "split-bn without a split"
    model.to(device=device, dtype=dtype)
    if args.channels_last:
        model.to(memory_format=torch.channels_last)

    train_options, validation_options = loader_options(args, model, device)
    collate, mixup = None, None
    if is_mixed(args):
        if args.prefetcher:
            collate = FastCollateMixup(**mixup_options(args))
        else:
            mixup = Mixup(**mixup_options(args))
    train_set = create_dataset(
        args.dataset, root=args.data_dir, split=args.train_split, is_training=True
    )
    loader = create_loader(train_set, collate_fn=collate, **train_options)
    validation_set = create_dataset(args.dataset, root=args.data_dir, split=args.val_split)
    validation_loader = create_loader(validation_set, **validation_options)

    options = {"criterion": make_criterion(args).to(device), "device": device, "dtype": dtype}
    if args.kd_model_name:
        teacher = create_model(args.kd_model_name, num_classes=args.num_classes).to(device)
        task = LogitDistillationTask(student_model=model, teacher_model=teacher, **options)
    else:
        task = ClassificationTask(model=model, **options)
    optimizer = create_optimizer_v2(task.get_trainable_module(), **optimizer_kwargs(cfg=args))
    first = resume_task_checkpoint(task, args.resume, optimizer) if args.resume else 0
    if args.model_ema:
        task.setup_ema(decay=args.model_ema_decay)
    if args.torchcompile:
        task.compile(backend=args.torchcompile, mode=args.torchcompile_mode)
    eval_model = task.get_eval_model()
    if args.distributed:
        task.prepare_distributed(device_ids=[device])

    saver = folder = None
    if utils.is_primary(args):
        folder = output_folder(args, args_text)
        saver = utils.CheckpointSaver(
            task.get_trainable_module(), optimizer, args, checkpoint_dir=folder, task=task
        )
    for epoch in range(first or 0, args.epochs):
        if args.distributed and hasattr(loader.sampler, "set_epoch"):
            loader.sampler.set_epoch(epoch)
        train_metrics = train_one_epoch(
            epoch, model, loader, optimizer, args, task=task, device=device, mixup_fn=mixup
        )
        metrics = validate(eval_model, validation_loader, args, device)
        if folder is not None:
            utils.update_summary(
                epoch,
                train_metrics,
                metrics,
                os.path.join(folder, "summary.csv"),
                write_header=epoch == (first or 0),
                log_wandb=args.log_wandb,
            )
            saver.save_checkpoint(epoch, metric=metrics["top1"])
    if args.distributed:
        torch.distributed.destroy_process_group()


def train_one_epoch(epoch, model, loader, optimizer, args, task=None, device=None, mixup_fn=None):
    if args.mixup_off_epoch and epoch >= args.mixup_off_epoch:
        if args.prefetcher and loader.mixup_enabled:
            loader.mixup_enabled = False
        elif mixup_fn is not None:
            mixup_fn.mixup_enabled = False
    log = StepLog(epoch, len(loader), args, utils)
    task.get_trainable_module().train()
    optimizer.zero_grad()
    updates = 0
    for step, (images, target) in enumerate(loader):
        update = (step + 1) % args.grad_accum_steps == 0 or step == len(loader) - 1
        if not args.prefetcher:
            images = images.to(device, getattr(torch, args.model_dtype or "float32"))
            target = target.to(device)
            if mixup_fn is not None:
                images, target = mixup_fn(images, target)
        if args.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with task.no_sync() if args.distributed and not update else autocast(args, device):
            loss = task(images, target)["loss"]
            loss /= args.grad_accum_steps
            loss.backward()
        log.add(step, loss, images)
        if not update:
            continue
        if args.clip_grad is not None:
            utils.dispatch_clip_grad(
                task.get_clip_parameters(exclude_head=args.clip_mode == "agc"),
                value=args.clip_grad,
                mode=args.clip_mode,
            )
        optimizer.step()
        optimizer.zero_grad()
        updates += 1
        task.update_ema(step=updates)
    return log.metrics()


if __name__ == "__main__":
    main()
