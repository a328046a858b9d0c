"""Two-sample tests: whether our draws and theirs have one distribution."""

from collections import Counter

import numpy as np
import scipy.stats


def chi_square(ours, theirs):
    """p-value that two samples of labels have one distribution; rare labels are pooled."""
    counts = [Counter(sample) for sample in (ours, theirs)]
    totals = counts[0] + counts[1]
    common = [label for label, total in totals.items() if total >= 8]
    table = [[count[label] for label in common] for count in counts]
    for row, count in zip(table, counts, strict=True):
        row.append(count.total() - sum(row))
    table = np.array(table)
    table = table[:, table.sum(0) > 0]
    return 1.0 if table.shape[1] < 2 else scipy.stats.chi2_contingency(table).pvalue


def same_values(ours, theirs):
    """p-value for numbers: Kolmogorov-Smirnov, or chi-square for few distinct values."""
    if min(len(ours), len(theirs)) < 20:
        return 1.0
    if len(set(ours) | set(theirs)) > 40:
        return scipy.stats.ks_2samp(ours, theirs).pvalue
    return chi_square(ours, theirs)


def ranks(ours, theirs):
    """The rank of each value among all, from 0 to 1: to pool samples of unlike quantities."""
    both = scipy.stats.rankdata([*ours, *theirs]) / (len(ours) + len(theirs))
    return both[: len(ours)], both[len(ours) :]
