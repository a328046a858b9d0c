"""Batches for the tests of the loss, and the formulas that it is held against; no tests.

Every formula is written out, with loops or in another way than in the package. `FORMULAS`,
`cross_entropy` and `binary_cross_entropy` are of torch tensors, so that autograd gives gradients to
compare with. `oracle` has no autograd: its gradients are written out too, in numpy and float64.
"""

import math

import numpy as np
import torch
from torch.testing import assert_close

from tied_augment.loss import SIMILARITIES

# The similarities of the fused loss.
FUSED = [name for name, entry in SIMILARITIES.items() if entry.fused]
assert FUSED

# For float64: the formulas sum in another order than torch's kernels.
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def batch(
    pairs=3, classes=5, width=7, dtype=torch.float32, seed=0, requires_grad=False, device="cpu"
):
    """View-major logits and features, and class indices, one per sample."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2 * pairs, classes, generator=generator, dtype=torch.float64)
    features = torch.randn(2 * pairs, width, generator=generator, dtype=torch.float64)
    target = torch.randint(classes, (pairs,), generator=generator)
    logits, features = logits.to(device, dtype), features.to(device, dtype)
    target = target.to(device)
    return logits.requires_grad_(requires_grad), features.requires_grad_(requires_grad), target


def views(rows=6, width=9, seed=0, device="cpu"):
    """Float64 features of two views that resemble each other and want gradients."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    second = first + 0.5 * torch.randn(rows, width, generator=generator, dtype=torch.float64)
    return first.to(device).requires_grad_(), second.to(device).requires_grad_()


def soft_target(rows, classes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(rows)
    weights = 0.01 + torch.rand(rows, classes, generator=generator, dtype=torch.float64)
    return (weights / weights.sum(1, keepdim=True)).to(dtype)


def one_hot(target, classes):
    return (target[:, None] == torch.arange(classes, device=target.device)).double()


def assert_same(ours, theirs, *inputs, **bounds):
    """Equal values, and equal gradients of `inputs`, none of which is 0 throughout."""
    bounds = bounds or EXACT
    assert_close(ours, theirs, **bounds)
    gradients = torch.autograd.grad(ours, inputs)
    assert all(gradient.any() for gradient in gradients)
    assert_close(gradients, torch.autograd.grad(theirs, inputs), **bounds)


# --- supervision


def cross_entropy(logits, soft, smoothing=0.0):
    soft = (1 - smoothing) * soft + smoothing / soft.shape[1]
    exps = (logits - logits.max(1, keepdim=True).values).exp()
    return -(soft * (exps / exps.sum(1, keepdim=True)).log()).sum() / len(logits)


def binary_cross_entropy(logits, soft):
    chance = 1 / (1 + (-logits).exp())
    return -(soft * chance.log() + (1 - soft) * (1 - chance).log()).sum() / logits.numel()


# --- similarities


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def mse(a, b):
    return ((a - b) * (a - b)).sum() / a.numel()


def l1(a, b):
    return (a - b).abs().sum() / a.numel()


def cosine(a, b):
    return 1 - mean(x @ y / (x @ x * (y @ y)).sqrt() for x, y in zip(a, b, strict=True))


def l2_norm(a, b):
    return mse(a / (a * a).sum().sqrt(), b / (b * b).sum().sqrt())


def cosine_l2_norm(a, b):
    return cosine(a, b) + l2_norm(a, b)


def cka(a, b, sigma=None):
    return one_minus_cka(gaussian(a, sigma), gaussian(b, sigma))


def gaussian(values, sigma):
    distances = torch.stack([((values - row) ** 2).sum(1) for row in values])
    if sigma is None:
        known = sorted(d for d in distances.detach().flatten().tolist() if d != 0)
        sigma = math.sqrt(known[(len(known) - 1) // 2])
    return (-distances / (2 * sigma**2)).exp()


def linear_cka(a, b):
    return one_minus_cka(a @ a.T, b @ b.T)


def one_minus_cka(kernel, other):
    return 1 - hsic(kernel, other) / (hsic(kernel, kernel) * hsic(other, other)).sqrt()


def hsic(kernel, other):
    centre = torch.eye(len(kernel), dtype=torch.float64, device=kernel.device) - 1 / len(kernel)
    return torch.trace(kernel @ centre @ other @ centre)


def vicreg(a, b, invariance=1.0, variance=1.0, covariance=0.04):
    loss = invariance * mse(a, b)
    for values in (a, b):
        matrix = torch.cov(values.T)
        width = len(matrix)
        deviations = (matrix.diagonal() + 1e-4).sqrt()
        loss = loss + variance * mean(torch.clamp(1 - value, min=0) for value in deviations)
        off = sum(matrix[i, j] ** 2 for i in range(width) for j in range(width) if i != j)
        loss = loss + covariance * off / width
    return loss


def js(a, b):
    p, q = a.exp() / a.exp().sum(1, keepdim=True), b.exp() / b.exp().sum(1, keepdim=True)
    middle = (p + q) / 2
    return ((p * (p / middle).log()).sum(1) + (q * (q / middle).log()).sum(1)).mean() / 2


FORMULAS = {
    formula.__name__: formula
    for formula in (mse, l1, cosine, l2_norm, cosine_l2_norm, cka, linear_cka, vicreg, js)
}


# --- the whole loss


def oracle(logits, features, target, weight, similarity, smoothing, supervise, ignore=-100):
    """((loss, ce, distance), gradient of the logits, gradient of the features) in float64."""
    logits, features = logits.double().numpy(), features.double().numpy()
    rows, classes = logits.shape
    pairs = rows // 2
    used = pairs if supervise == "first" else rows
    kept = np.ones(rows)
    if target.is_floating_point():
        soft = target.double().numpy()
    else:
        soft = one_hot(target, classes).numpy()
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
    distance, grads = _distance(features[:pairs], features[pairs:], similarity)
    return (ce + weight * distance, ce, distance), grad_logits, weight * np.concatenate(grads)


def _distance(a, b, similarity):
    """A fused similarity of two arrays, and its gradients."""
    if similarity == "mse":
        grad = 2 * (a - b) / a.size
        return ((a - b) ** 2).mean(), [grad, -grad]
    if similarity == "l1":
        grad = np.sign(a - b) / a.size
        return np.abs(a - b).mean(), [grad, -grad]
    norm_a, norm_b = (np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    cosine = (a * b).sum(1, keepdims=True) / (norm_a * norm_b)
    grads = [
        -(b / (norm_a * norm_b) - cosine * a / norm_a**2) / len(a),
        -(a / (norm_a * norm_b) - cosine * b / norm_b**2) / len(a),
    ]
    return (1 - cosine).mean(), grads
