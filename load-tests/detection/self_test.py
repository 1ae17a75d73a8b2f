"""The measures tried on answers that are known or can be had plainly: right ones hold, wrong ones are found."""

import os
import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np

import metrics
import weeks

TRIES = 200


class Wrong(Exception):
    """A measure is not what it should be."""


def check(found, expected, what):
    if abs(found - expected) > 1e-12:
        raise Wrong(f"{what} is {found}, expected {expected}")


def plain_auc(scores, labels):
    """The share of pairs of a fraud and a genuine one that are ranked right; equal ones count half."""
    pairs = [(f > g) + (f == g) / 2 for f in scores[labels == 1] for g in scores[labels == 0]]
    return sum(pairs) / len(pairs)


def plain_precision_and_recall(scores, labels):
    """(precision, recall) at each threshold, from the highest down."""
    for threshold in sorted(set(scores), reverse=True):
        caught = sum(label for score, label in zip(scores, labels) if score >= threshold)
        yield caught / sum(score >= threshold for score in scores), caught / labels.sum()


def plain_average_precision(scores, labels):
    total = before = 0.0
    for precision, recall in plain_precision_and_recall(scores, labels):
        total, before = total + (recall - before) * precision, recall
    return total


def plain_recall(scores, labels):
    curve = plain_precision_and_recall(scores, labels)
    return max((recall for precision, recall in curve if precision >= 0.9), default=0.0)


def plain_cards(scores, labels, days, accounts, k):
    """Card precision where no two accounts have equal scores."""
    found, parts = set(), []
    for day in sorted(set(days)):
        of_day = {}
        for score, label, other, account in zip(scores, labels, days, accounts):
            if other == day and account not in found:
                known = of_day.get(account, (-1.0, 0))
                of_day[account] = (max(known[0], score), max(known[1], label))
        first = sorted(of_day, key=lambda account: -of_day[account][0])[:k]
        caught = {account for account in first if of_day[account][1]}
        found |= caught
        parts.append(len(caught) / k)
    return sum(parts) / len(parts)


def by_hand():
    scores, labels = np.array([0.9, 0.8, 0.8, 0.3]), np.array([1, 1, 0, 0])
    check(metrics.auc(scores, labels), 3.5 / 4, "AUC")
    check(metrics.average_precision(scores, labels), 0.5 * 1 + 0.5 * 2 / 3, "average precision")
    check(metrics.recall_at(scores, labels), 0.5, "recall at 90 %")
    check(metrics.recall_at(-scores, labels), 0.0, "recall of a score that is the wrong way round")


def by_chance(seed):
    chance = np.random.default_rng(seed)
    for size in chance.integers(4, 60, TRIES):
        labels = chance.integers(0, 2, size)
        labels[:2] = 0, 1
        scores = chance.integers(0, 8, size) / 8
        check(metrics.auc(scores, labels), plain_auc(scores, labels), "AUC")
        check(metrics.average_precision(scores, labels), plain_average_precision(scores, labels), "average precision")
        check(metrics.recall_at(scores, labels), plain_recall(scores, labels), "recall at 90 %")
        # no two are equal
        scores = chance.permutation(size) / size
        days, accounts = chance.integers(0, 3, size), chance.integers(0, 12, size).astype(str)
        check(metrics.card_precision(scores, labels, days, accounts, 3), plain_cards(scores, labels, days, accounts, 3),
              "card precision")


def left_out():
    """Who is tried: of three accounts one is known from the training week, one from the second day on."""
    first = date(2018, 7, 4)
    frauds = {("one", -14), ("two", -7)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.csv"
        with open(path, "w") as file:
            file.write(",".join((*weeks.FIXED, "known")) + "\n")
            for day in range(-14, 7):
                for account in ("one", "two", "three"):
                    label = int((account, day) in frauds)
                    file.write(f"e,{first + timedelta(day)}T23:59:59.000Z,{account},5,{label},\n")
        rows = weeks.read(path, weeks.day_of(first) - 14, weeks.day_of(first) + 6)
        train, test = weeks.split(rows, first)
        tried = {name: int((test.accounts == name).sum()) for name in ("one", "two", "three")}
        # of the days until seven days before it, a test day knows: two's fraud from its second day on
        if len(train) != 21 or tried != {"one": 0, "two": 1, "three": 7}:
            raise Wrong(f"{len(train)} rows are trained on and {tried} are tried")
        if not np.isnan(rows.column("known")).all() or set(rows.seconds) != {86_399}:
            raise Wrong("an empty cell or a time was misread")
        for wrong in (lambda: weeks.read(path, 0, 1), lambda: rows.column("absent")):
            try:
                wrong()
            except weeks.Unusable:
                continue
            raise Wrong("what is not there was read")


def run(say):
    seed = int(os.environ.get("SEED", 1))
    try:
        by_hand()
        by_chance(seed)
        left_out()
    except Wrong as error:
        say(f"FAILED (seed {seed}): {error}")
        return 1
    say(f"the measures are right (seed {seed}, {TRIES} tries)")
    return 0
