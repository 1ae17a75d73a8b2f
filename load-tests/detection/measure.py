#!/usr/bin/env python3
"""How well weir tells fraud from the rest, on weeks of the Fraud Detection Handbook's payments.

Reads one line for each payment (event_id, event_time, account, amount_minor, label, score, features by name), as
weir backtest --export writes it. For each test week a model is trained on the week that begins 14 days earlier: a week lies
between them, until its labels are known. Left out of the test week are accounts that are known to be
compromised by then. AUC, average precision, recall at 90 % precision and card precision at 100 are told
for each candidate, as mean and deviation (of a sample) over the weeks:

    a   [amount > 220] + TERMINAL_RISK_7DAY + 0.1 * clip(amount / CUSTOMER_AVG_30DAY - 1, 0, 5)
    b   the score of weir's rules: no model
    c   the book's 15 features with XGBoost (100 trees, rate 0.1, depth 3, exact, base score 0.5)
    d   weir's six features with XGBoost (depth 2), together with the score of its rules: 1 - (1 - model)(1 - rules)
    d-  that model alone

    load-tests/detection/measure.py FEATURES.csv               the four test weeks
    load-tests/detection/measure.py --weeks choice FEATURES.csv  those that features, rules, parameters were chosen on
    load-tests/detection/measure.py --first 2018-05-02 FEATURES.csv   any weeks, by the day they begin
    load-tests/detection/measure.py --self-test                are the measures right? needs no file

It holds where b has at least 0.10 more average precision than a, and more than c; d at least 0.05 more than
c; and neither has less card precision than a.

Exit codes: 0 it holds; 1 it does not, or the file is not what was expected; 2 wrong usage.
"""

import argparse
import json
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np

import candidates
import self_test
import weeks
from metrics import MEASURES, measured

AVERAGE_PRECISION, CARDS = 1, 3


def over_weeks(rows, firsts, wanted, say):
    """By candidate, its measures: a row for each week."""
    found = {name: [] for name in wanted}
    for first in firsts:
        train, test = weeks.split(rows, first)
        say(f"{first}: trained on {len(train):,} payments ({train.labels.sum()} fraud), "
            f"tried on {len(test):,} ({test.labels.sum()} fraud)")
        for name in wanted:
            figures = measured(candidates.CANDIDATES[name][1](train, test), test)
            found[name].append(figures)
            say(f"  {name:<2}  " + "  ".join(f"{figure:.4f}" for figure in figures))
    return {name: np.array(figures) for name, figures in found.items()}


def goals(found):
    """What is claimed, and whether it holds, by the means."""
    mean = {name: figures.mean(axis=0) for name, figures in found.items()}

    def ahead(one, other, least):
        by = mean[one][AVERAGE_PRECISION] - mean[other][AVERAGE_PRECISION]
        told = f"{one} has {by:+.4f} average precision against {other}, expected {least:+.2f} or more"
        return told, bool(by >= least)

    def cards(one):
        told = f"{one} has card precision {mean[one][CARDS]:.4f}, expected at least a's {mean['a'][CARDS]:.4f}"
        return told, bool(mean[one][CARDS] >= mean["a"][CARDS])

    return [ahead("b", "a", 0.10), ahead("b", "c", 0.0), ahead("d", "c", 0.05), cards("b"), cards("d")]


def table(found, say):
    width = max(len(title) for title, _ in candidates.CANDIDATES.values())
    say("".ljust(width + 4) + "".join(name.rjust(22) for name in MEASURES))
    for name, figures in found.items():
        mean, spread = figures.mean(axis=0), figures.std(axis=0, ddof=1) if len(figures) > 1 else np.zeros(len(MEASURES))
        cells = "".join(f"{m:.4f} ± {s:.4f}".rjust(22) for m, s in zip(mean, spread))
        say(f"{name:<2}  {candidates.CANDIDATES[name][0].ljust(width)}{cells}")


def run(args):
    firsts = args.first or {"test": weeks.TEST, "choice": weeks.CHOICE}[args.weeks]
    first_day = weeks.day_of(min(firsts)) - weeks.TRAIN_BEFORE
    rows = weeks.read(args.features, first_day, weeks.day_of(max(firsts)) + weeks.WEEK - 1)

    def show(text):
        print(text, file=sys.stderr, flush=True)

    say = show if args.json else print
    found = over_weeks(rows, firsts, list(candidates.CANDIDATES), show)
    table(found, say)
    reached = goals(found)
    for told, holds in reached:
        say(f"{told}: {'holds' if holds else 'DOES NOT HOLD'}")
    holds = all(holds for _, holds in reached)
    if args.json:
        print(json.dumps({
            "weeks": [str(first) for first in firsts], "measures": MEASURES, "holds": holds,
            "candidates": {name: figures.tolist() for name, figures in found.items()},
            "goals": [{"goal": told, "holds": holds} for told, holds in reached]}))
    return 0 if holds else 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", nargs="?", type=Path, metavar="FEATURES.csv")
    parser.add_argument("--weeks", choices=("test", "choice"), default="test")
    parser.add_argument("--first", action="append", type=date.fromisoformat, metavar="DAY",
                        help="first day of a test week")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object on standard output")
    parser.add_argument("--self-test", action="store_true", help="try the measures on answers that are known")
    args = parser.parse_args()
    if not args.self_test and args.features is None:
        parser.error("no file is given, expected FEATURES.csv")
    if args.first and max(args.first) > date.max - timedelta(weeks.WEEK):
        parser.error(f"{max(args.first)} begins no whole week")
    return args


def main():
    args = arguments()
    try:
        if args.self_test:
            return self_test.run(print)
        return run(args)
    except (weeks.Unusable, OSError, ValueError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
