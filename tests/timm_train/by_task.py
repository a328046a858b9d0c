"""A training script of the shape of timm's train.py since 1.0.27: a task computes the loss."""

import shared
import timm.utils as utils
import torch
import torch.distributed
from timm.data import FastCollateMixup, Mixup, create_dataset, create_loader
from timm.models import create_model
from timm.optim import create_optimizer_v2, optimizer_kwargs
from timm.task import ClassificationTask, LogitDistillationTask, resume_task_checkpoint

_logger = shared.logger
config_parser, parser = shared.make_parsers()


def _parse_args():
    return shared.parse(config_parser, parser)


def main():
    args, args_text = _parse_args()
    device = shared.start(args)
    model = shared.prepared(create_model(**shared.model_options(args)), args, device)
    train_options, validation_options = shared.loader_options(args, model, device)
    collate, mixup = shared.make_mixers(args, FastCollateMixup, Mixup)
    train_set, validation_set = shared.data_sets(args, create_dataset)
    loader = create_loader(train_set, collate_fn=collate, **train_options)
    validation_loader = create_loader(validation_set, **validation_options)

    task = make_task(model, args, device)
    optimizer = create_optimizer_v2(task.get_trainable_module(), **optimizer_kwargs(cfg=args))
    first = resume_task_checkpoint(task, args.resume, optimizer) if args.resume else 0
    if args.model_ema:
        task.setup_ema(decay=args.model_ema_decay)
    if args.torchcompile:
        task.compile(backend=args.torchcompile, mode=args.torchcompile_mode)
    eval_model = task.get_eval_model()
    if args.distributed:
        task.prepare_distributed(device_ids=[device])

    records = shared.Records(
        args, args_text, task.get_trainable_module(), optimizer, utils, task=task
    )
    for epoch in range(first or 0, args.epochs):
        shared.set_epoch(loader, epoch, args)
        train_metrics = train_one_epoch(
            epoch, model, loader, optimizer, args, task=task, device=device, mixup_fn=mixup
        )
        metrics = shared.validate(eval_model, validation_loader, args, device)
        records.add(epoch, train_metrics, metrics)
    if args.distributed:
        torch.distributed.destroy_process_group()


def make_task(model, args, device):
    options = {
        "criterion": shared.make_criterion(args).to(device),
        "device": device,
        "dtype": shared.dtype(args),
    }
    if args.kd_model_name:
        teacher = create_model(args.kd_model_name, num_classes=args.num_classes).to(device)
        return LogitDistillationTask(student_model=model, teacher_model=teacher, **options)
    return ClassificationTask(model=model, **options)


def train_one_epoch(epoch, model, loader, optimizer, args, task=None, device=None, mixup_fn=None):
    shared.stop_mixing(epoch, loader, mixup_fn, args)
    log = shared.StepLog(epoch, len(loader), args, utils)
    task.get_trainable_module().train()
    optimizer.zero_grad()
    updates = 0
    for step, (images, target) in enumerate(loader):
        update = (step + 1) % args.grad_accum_steps == 0 or step == len(loader) - 1
        images, target = shared.on_device(images, target, args, device, mixup_fn)
        with task.no_sync() if args.distributed and not update else shared.autocast(args, device):
            loss = task(images, target)["loss"]
            loss /= args.grad_accum_steps
            loss.backward()
        log.add(step, loss, images)
        if not update:
            continue
        shared.clip(task.get_clip_parameters(exclude_head=args.clip_mode == "agc"), args)
        optimizer.step()
        optimizer.zero_grad()
        updates += 1
        task.update_ema(step=updates)
    return log.metrics()


if __name__ == "__main__":
    main()
