#!/usr/bin/env python3
"""Trains a model on features that weir wrote, and saves it as weir reads it.

The table has a header: event_id, event_time, label, optionally account, score and weight, and one column a feature.
An empty cell is a missing value. label is 1 (fraud), 0 (not) or empty (not known: the row is left out). event_time is a number or an
ISO time. A column with anything in it that is not a number is a categorical feature.

Rows are taken in the order of event_time, never shuffled: the model learns from the first part, stops when the second
part no longer gets better, and is judged on the last part, which it has not seen. What is printed of the last part:
rows and share of fraud, AUC (area under the ROC curve) and AP (average precision), then the features by gain.

The file holds the best round and no later one. LightGBM writes text, XGBoost (--xgboost) JSON.

example:
  python3 -m venv venv && venv/bin/pip install -r training/requirements.txt
  venv/bin/python training/train.py --data features.csv --out fraud.txt --seed 7
  venv/bin/python training/train.py --data features.csv --out fraud.json --xgboost --leaves 31

exit: 0 trained, 1 the table cannot be learnt from or a library is missing, 2 wrong arguments
"""

import argparse
import json
import os
import sys

# who it was, what became of it, and what rules said of it are no features
FIXED = ("event_id", "event_time", "account", "label", "weight", "score")
# parts of the rows in time: to stop by, and to be judged on
STOP_PART = 0.15
ROWS_MIN = 100
STOP_AFTER = 50


class Unfit(Exception):
    """The table cannot be learnt from."""


def read(path):
    """Features, labels, weights, in the order of time."""
    import pandas
    table = pandas.read_csv(path, dtype={"event_id": str}, keep_default_na=False, na_values=[""], low_memory=False)
    for name in ("event_id", "event_time", "label"):
        if name not in table.columns:
            raise Unfit(f"{path}: no column {name!r}, expected event_id, event_time, label, then features")
    table = table[table["label"].notna()]
    odd = table[~table["label"].isin([0, 1])]
    if len(odd):
        event, label = odd["event_id"].iloc[0], odd["label"].iloc[0]
        raise Unfit(f"{path}: label of event {event} is {label!r}, expected 0, 1 or nothing")
    table = table.sort_values("event_time", kind="stable")
    names = [name for name in table.columns if name not in FIXED]
    if not names:
        raise Unfit(f"{path}: no features, expected columns after label and weight")
    features = table[names].copy()
    for name in names:
        if features[name].dtype == bool:
            features[name] = features[name].astype(float)
        elif not pandas.api.types.is_numeric_dtype(features[name]):
            features[name] = features[name].astype(str).where(features[name].notna()).astype("category")
    weights = table["weight"].to_numpy(float) if "weight" in table.columns else None
    if weights is not None and not (weights >= 0).all():
        raise Unfit(f"{path}: a weight is below 0 or missing, expected a number from 0")
    return features, table["label"].to_numpy(float), weights


def parts(labels, judge_part):
    """Where the second and the last part begin."""
    rows = len(labels)
    last = int(rows * (1 - judge_part))
    second = int(last * (1 - STOP_PART))
    for title, part in (("first", labels[:second]), ("second", labels[second:last]), ("last", labels[last:])):
        if len(part) < ROWS_MIN or len(set(part)) < 2:
            found = f"{len(part)} rows and {int(part.sum())} frauds"
            raise Unfit(f"the {title} part has {found}, expected at least {ROWS_MIN} rows with both labels")
    return second, last


def lightgbm_model(args, features, labels, weights, second, last):
    import lightgbm
    part = lambda start, end: {"data": features.iloc[start:end], "label": labels[start:end],  # noqa: E731
                               "weight": None if weights is None else weights[start:end]}
    train = lightgbm.Dataset(**part(0, second))
    settings = {"objective": "binary", "num_leaves": args.leaves, "learning_rate": args.learning_rate,
                "min_data_in_leaf": 20, "feature_fraction": 0.8, "bagging_fraction": 0.8, "bagging_freq": 1,
                "lambda_l2": 1.0, "metric": "binary_logloss", "seed": args.seed, "deterministic": True,
                "force_row_wise": True, "num_threads": args.threads, "verbosity": -1}
    booster = lightgbm.train(settings, train, args.rounds, valid_sets=[train.create_valid(**part(second, last))],
                             callbacks=[lightgbm.early_stopping(STOP_AFTER, verbose=False)])
    scores = booster.predict(features.iloc[last:], num_iteration=booster.best_iteration)
    booster.save_model(args.out, num_iteration=booster.best_iteration)
    gains = dict(zip(booster.feature_name(), booster.feature_importance("gain")))
    return scores, booster.best_iteration, gains


def xgboost_model(args, features, labels, weights, second, last):
    import xgboost
    part = lambda start, end: xgboost.DMatrix(  # noqa: E731
        features.iloc[start:end], labels[start:end], enable_categorical=True,
        weight=None if weights is None else weights[start:end])
    settings = {"objective": "binary:logistic", "tree_method": "hist", "grow_policy": "lossguide",
                "max_leaves": args.leaves, "max_depth": 0, "learning_rate": args.learning_rate,
                "min_child_weight": 5, "subsample": 0.8, "colsample_bytree": 0.8, "eval_metric": "logloss",
                "seed": args.seed, "nthread": args.threads}
    booster = xgboost.train(settings, part(0, second), args.rounds, evals=[(part(second, last), "second")],
                            early_stopping_rounds=STOP_AFTER, verbose_eval=False)
    # The file would hold the rounds after the best one and use them. A slice of the booster would not, but it loses
    # the words of categorical features (XGBoost 3.2): the best rounds are trained once more.
    rounds = booster.best_iteration + 1
    best = xgboost.train(settings, part(0, second), rounds)
    best.save_model(args.out)
    check_words(args.out, [name for name in features.columns if features[name].dtype == "category"])
    return best.predict(part(last, len(labels))), rounds, best.get_score(importance_type="total_gain")


def check_words(path, names):
    """Without its words a categorical feature would be missing in every row."""
    with open(path, encoding="utf-8") as file:
        learner = json.load(file)["learner"]
    known = learner["gradient_booster"]["model"].get("cats", {}).get("enc", [])
    for name in names:
        at = learner["feature_names"].index(name)
        if at >= len(known) or not known[at]["values"]:
            raise Unfit(f"{path}: XGBoost has not saved the words of {name!r}, expected version 3.1 or later")
        # it counts letters and saves bytes: words with other letters are cut in the wrong places
        if "offsets" in known[at] and any(not 0 <= byte < 128 for byte in known[at]["values"]):
            raise Unfit(f"{path}: words of {name!r} that are not ASCII, expected ASCII (LightGBM takes all)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the table, CSV")
    parser.add_argument("--out", required=True, help="the model: .txt, or .json with --xgboost")
    parser.add_argument("--xgboost", action="store_true", help="XGBoost instead of LightGBM")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, table and versions give the same model")
    parser.add_argument("--rounds", type=int, default=1000, help="trees at most (default 1000)")
    parser.add_argument("--leaves", type=int, default=31, help="leaves of a tree (default 31)")
    parser.add_argument("--learning-rate", type=float, default=0.05, help="default 0.05")
    parser.add_argument("--judge", type=float, default=0.2, metavar="PART", help="the last part in time (default 0.2)")
    parser.add_argument("--threads", type=int, default=1, help="default 1")
    args = parser.parse_args()
    suffix = ".json" if args.xgboost else ".txt"
    if not args.out.endswith(suffix):
        parser.error(f"--out {args.out}: expected a name that ends in {suffix}")
    if not os.path.isfile(args.data):
        parser.error(f"--data {args.data}: no such file")
    if not 0 < args.judge < 1 or args.rounds < 1 or args.leaves < 2 or args.threads < 1 or args.learning_rate <= 0:
        parser.error("--judge is between 0 and 1; --rounds, --threads from 1; --leaves from 2; --learning-rate above 0")
    try:
        from sklearn.metrics import average_precision_score, roc_auc_score
        features, labels, weights = read(args.data)
        second, last = parts(labels, args.judge)
        train = xgboost_model if args.xgboost else lightgbm_model
        scores, trees, gains = train(args, features, labels, weights, second, last)
    except ImportError as error:
        print(f"{error}: pip install -r training/requirements.txt", file=sys.stderr)
        return 1
    except (Unfit, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    truth = labels[last:]
    print(f"learnt from {second} rows, stopped by {last - second}, judged on {len(truth)} ({truth.mean():.2%} fraud)")
    print(f"trees {trees}  AUC {roc_auc_score(truth, scores):.4f}  AP {average_precision_score(truth, scores):.4f}")
    whole = sum(gains.values()) or 1.0
    for name, gain in sorted(gains.items(), key=lambda item: -item[1])[:10]:
        print(f"  {gain / whole:6.1%}  {name}")
    print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
