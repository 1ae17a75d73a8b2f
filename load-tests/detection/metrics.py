"""How well scores tell fraud from the rest. Scores and labels are arrays of equal length, a label 1 or 0."""

import zlib

import numpy as np

CARDS = 100
PRECISION = 0.9


def steps(scores, labels):
    """Frauds and payments at or above each score that occurs, from the highest down: equal scores are one step."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return np.cumsum(labels[order])[last], last + 1


def auc(scores, labels):
    """The area under the curve of true against false positives."""
    caught, size = steps(scores, labels)
    frauds, genuine = labels.sum(), len(labels) - labels.sum()
    right = np.append(0.0, caught / frauds)
    wrong = np.append(0.0, (size - caught) / genuine)
    return float(np.sum(np.diff(wrong) * (right[1:] + right[:-1]) / 2))


def average_precision(scores, labels):
    """Precision at each step, weighted by the recall that the step adds; nothing is interpolated."""
    caught, size = steps(scores, labels)
    return float(np.sum(np.diff(np.append(0, caught)) * caught / size) / labels.sum())


def recall_at(scores, labels, precision=PRECISION):
    """The most recall that any threshold has with at least that precision."""
    caught, size = steps(scores, labels)
    fits = caught / size >= precision
    return float(caught[fits].max() / labels.sum()) if fits.any() else 0.0


def card_precision(scores, labels, days, accounts, k=CARDS):
    """Card precision at k as the book has it, mean over the days.

    A day's accounts are ranked by their highest score of the day. Of the first k those with a fraud on that day count, as
    a part of k, and are found: they are not ranked again on later days. The book leaves open who is first among
    equals; here it is settled by a checksum of the account's name, which knows nothing of fraud.
    """
    names, number = np.unique(accounts, return_inverse=True)
    lots = np.array([zlib.crc32(str(name).encode()) for name in names])
    found, parts = np.zeros(len(names), bool), []
    for day in np.unique(days):
        rows = np.flatnonzero((days == day) & ~found[number])
        highest = np.full(len(names), -np.inf)
        np.maximum.at(highest, number[rows], scores[rows])
        fraud = np.zeros(len(names), bool)
        fraud[number[rows[labels[rows] == 1]]] = True
        seen = np.unique(number[rows])
        first = seen[np.lexsort((lots[seen], -highest[seen]))][:k]
        caught = first[fraud[first]]
        found[caught] = True
        parts.append(len(caught) / k)
    return float(np.mean(parts))


MEASURES = ("AUC", "average precision", f"recall at {PRECISION:.0%}", f"card precision at {CARDS}")


def measured(scores, rows):
    """The four measures of scores of the rows."""
    labels = rows.labels.astype(np.int64)
    if not 0 < labels.sum() < len(labels):
        raise ValueError(f"{labels.sum()} of {len(labels)} payments are fraud, expected some and not all")
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} of {len(scores)} scores are no numbers")
    return (auc(scores, labels), average_precision(scores, labels), recall_at(scores, labels),
            card_precision(scores, labels, rows.days, rows.accounts))
