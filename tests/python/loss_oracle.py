"""Batches, and the loss with its gradients written out in float64; no tests."""

import numpy as np
import torch


def batch(pairs, classes, width, dtype=torch.float32, seed=0, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(2 * pairs, classes, generator=generator, dtype=torch.float64)
    features = torch.randn(2 * pairs, width, generator=generator, dtype=torch.float64)
    target = torch.randint(classes, (pairs,), generator=generator)
    return logits.to(dtype), features.to(dtype), target


def soft_target(rows, classes, dtype=torch.float64):
    weights = torch.rand(rows, classes, dtype=torch.float64) + 0.01
    return (weights / weights.sum(1, keepdim=True)).to(dtype)


def oracle(logits, features, target, weight, similarity, smoothing, supervise, ignore=-100):
    """Value and gradients in float64, written out; no autograd, no torch losses."""
    logits, features = logits.double().numpy(), features.double().numpy()
    rows, classes = logits.shape
    pairs = rows // 2
    used = pairs if supervise == "first" else rows
    kept = np.ones(rows)
    if target.is_floating_point():
        soft = target.double().numpy()
    else:
        soft = (target[:, None] == torch.arange(classes)).double().numpy()
    if len(soft) == pairs:
        soft = np.concatenate([soft, soft])
    if not target.is_floating_point():
        kept = np.resize((target != ignore).double().numpy(), rows)
    soft = (1 - smoothing) * soft + smoothing / classes
    kept = kept * (np.arange(rows) < used)
    shifted = logits - logits.max(1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(1, keepdims=True))
    losses = (soft * (log_sum - shifted)).sum(1)
    count = kept.sum()
    ce = (kept * losses).sum() / count
    chance = np.exp(shifted - log_sum)
    grad_logits = kept[:, None] * (chance * soft.sum(1, keepdims=True) - soft) / count

    a, b = features[:pairs], features[pairs:]
    if similarity == "mse":
        distance, grad = ((a - b) ** 2).mean(), 2 * (a - b) / a.size
        grads = [grad, -grad]
    elif similarity == "l1":
        distance, grad = np.abs(a - b).mean(), np.sign(a - b) / a.size
        grads = [grad, -grad]
    else:
        norm_a, norm_b = (np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
        cosine = (a * b).sum(1, keepdims=True) / (norm_a * norm_b)
        distance = (1 - cosine).mean()
        grads = [
            -(b / (norm_a * norm_b) - cosine * a / norm_a**2) / pairs,
            -(a / (norm_a * norm_b) - cosine * b / norm_b**2) / pairs,
        ]
    grad_features = weight * np.concatenate(grads)
    return (ce + weight * distance, ce, distance), grad_logits, grad_features
