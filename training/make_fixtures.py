#!/usr/bin/env python3
"""Makes the models that tests/models.rs reads, and what the Python libraries predict with them.

Each case is two files: NAME.txt.zst (LightGBM) or NAME.json.zst (XGBoost), the model as the library saves it, and
NAME.csv.zst, rows with the library's answers. The columns of the table are the model's features, then raw (the margin),
predict (after the objective's transform), and, for the first rows, contrib_0 ... (TreeSHAP; the last is the bias) and
approx_0 ... (XGBoost's approximate contributions). An empty cell is a missing value. All data is synthetic and seeded.

Rows hold random values, missing ones, zeros and near zeros, infinities, values exactly at thresholds of the model and
right beside them, and categories that training has not seen.

example:
  python3 -m venv venv && venv/bin/pip install -r training/requirements.txt
  venv/bin/python training/make_fixtures.py --out tests/fixtures/models
  venv/bin/python training/make_fixtures.py --out tests/fixtures/models --only lgb_binary

xgb21_binary is written by XGBoost 2.1.4, whose base_score has another spelling; run with that version installed the
script makes that case alone.

exit: 0 made, 1 a library is missing or failed, 2 wrong arguments
"""

import argparse
import io
import json
import math
import os
import sys

CASES = {}
ROWS = 160
CONTRIB_ROWS = 16
SEED = 20240611


def case(make):
    """Registers a case under the function's name."""
    CASES[make.__name__] = make
    return make


def data(np, rows=1200, features=8, missing=0.1, seed=SEED):
    """Features, a score that depends on them in steps and slopes, and the source of randomness."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features))
    x[:, 1] = rng.integers(0, 6, rows)
    x[:, 2] = np.where(rng.random(rows) < 0.5, 0.0, rng.normal(size=rows) * 100)
    score = np.where(x[:, 0] > 0.3, 1.2, -0.8) + 0.4 * x[:, 1] - 0.02 * x[:, 2] + x[:, 3] * x[:, 4] - 0.8
    score = score + rng.normal(size=rows) * 0.5
    x[rng.random(x.shape) < missing] = np.nan
    return x, score, rng


def probe(np, x, rng, thresholds, categorical=()):
    """Rows to ask about: some of the data, then the corners."""
    rows = x[rng.integers(0, len(x), ROWS)].copy()
    features = x.shape[1]
    corners = [0.0, -0.0, 1e-36, -1e-36, 1e-35, -1e-35, 2e-35, 1e300, -1e300, math.nan, 1e-40]
    for at in range(ROWS // 4, ROWS // 2):
        rows[at, at % features] = corners[at % len(corners)]
    for at, (feature, threshold) in enumerate(thresholds[:ROWS // 2]):
        step = at % 3
        value = threshold if step == 0 else np.nextafter(threshold, np.inf if step == 1 else -np.inf)
        rows[ROWS // 2 + at, feature] = value
    for at in range(ROWS // 4):
        for feature in categorical:
            rows[at, feature] = [0, 1, 31, 32, 33, 63, 64, 65, 200, 5000, math.nan, 2.7][(at + feature) % 12]
    rows[0, :] = math.nan
    return rows


def cell(value):
    if isinstance(value, str):
        return value
    return "" if value is None or value != value else repr(float(value))


def write(out, name, suffix, text, names, rows, raw, predict, contrib=None, approx=None):
    table = io.StringIO()
    head = list(names) + ["raw", "predict"]
    for title, matrix in (("contrib", contrib), ("approx", approx)):
        if matrix is not None:
            head += [f"{title}_{at}" for at in range(len(matrix[0]))]
    table.write(",".join(head) + "\n")
    for at, row in enumerate(rows):
        cells = [cell(value) for value in row] + [cell(raw[at]), cell(predict[at])]
        for matrix in (contrib, approx):
            if matrix is not None:
                cells += [cell(value) for value in matrix[at]] if at < len(matrix) else [""] * len(matrix[0])
        table.write(",".join(cells) + "\n")
    pack(out, f"{name}.{suffix}", text)
    pack(out, f"{name}.csv", table.getvalue())


def pack(out, name, text):
    import zstandard
    with open(os.path.join(out, name + ".zst"), "wb") as file:
        file.write(zstandard.ZstdCompressor(level=19).compress(text.encode()))


# --- LightGBM ---

QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 7}


def lgb_thresholds(booster):
    """Feature and threshold of numeric splits."""
    found = []

    def walk(node):
        if "split_feature" in node:
            if node["decision_type"] == "<=":
                found.append((node["split_feature"], float(node["threshold"])))
            walk(node["left_child"])
            walk(node["right_child"])

    for tree in booster.dump_model()["tree_info"]:
        walk(tree["tree_structure"])
    return found[::max(1, len(found) // (ROWS // 2))]


def lgb_write(out, name, booster, rows, contrib=True):
    names = booster.feature_name()
    raw = booster.predict(rows, raw_score=True)
    answers = booster.predict(rows)
    first = booster.predict(rows[:CONTRIB_ROWS], pred_contrib=True) if contrib else None
    write(out, name, "txt", booster.model_to_string(), names, rows, raw, answers, first)


def lgb_case(out, name, params, trees=10, label="binary", categorical="auto", x=None, score=None, rng=None, probes=None,
             **more):
    import lightgbm
    import numpy as np
    if x is None:
        x, score, rng = data(np)
    labels = {"binary": (score > 0).astype(float), "real": score, "positive": np.exp(score / 2),
              "count": np.floor(np.exp(np.clip(score, -3, 2))), "share": 1 / (1 + np.exp(-score)),
              "class": np.digitize(score, [-1, 1]), "grade": np.digitize(score, [-1, 0, 1])}[label]
    train = lightgbm.Dataset(x, labels, categorical_feature=categorical, free_raw_data=False, **more)
    settings = QUIET | {"num_leaves": 15, "min_data_in_leaf": 5} | params
    booster = lightgbm.train(settings, train, num_boost_round=trees)
    cats = () if categorical == "auto" else categorical
    rows = probe(np, x if probes is None else probes, rng, lgb_thresholds(booster), cats)
    lgb_write(out, name, booster, rows, contrib=label != "class" and not params.get("linear_tree"))


@case
def lgb_binary(out):
    lgb_case(out, "lgb_binary", {"objective": "binary", "num_leaves": 63}, trees=25)


@case
def lgb_sigmoid(out):
    lgb_case(out, "lgb_sigmoid", {"objective": "binary", "sigmoid": 1.7, "is_unbalance": True})


@case
def lgb_complete(out):
    """Trained without missing values, asked with them."""
    import numpy as np
    x, score, rng = data(np, missing=0.0)
    holes, _, _ = data(np, missing=0.3)
    lgb_case(out, "lgb_complete", {"objective": "binary"}, x=x, score=score, rng=rng, probes=holes)


@case
def lgb_zero_as_missing(out):
    lgb_case(out, "lgb_zero_as_missing", {"objective": "binary", "zero_as_missing": True})


@case
def lgb_use_missing_false(out):
    lgb_case(out, "lgb_use_missing_false", {"objective": "binary", "use_missing": False})


@case
def lgb_continued(out):
    """Trees of two trainings: the same feature has its missing values handled in two ways."""
    import lightgbm
    import numpy as np
    x, score, rng = data(np)
    first = lightgbm.train(QUIET | {"objective": "binary", "zero_as_missing": True, "num_leaves": 8},
                           lightgbm.Dataset(x, score > 0, free_raw_data=False), 4)
    text = first.model_to_string()
    second = lightgbm.train(QUIET | {"objective": "binary", "num_leaves": 8},
                            lightgbm.Dataset(x, score > 0, free_raw_data=False), 4,
                            init_model=lightgbm.Booster(model_str=text))
    lgb_write(out, "lgb_continued", second, probe(np, x, rng, lgb_thresholds(second)))


def coded(np, rng, x):
    """Two columns of categories as codes: few, and more than one word of bits."""
    x[:, 5] = rng.integers(0, 5, len(x))
    x[:, 6] = rng.integers(0, 210, len(x))
    effect = rng.normal(size=210)
    shift = effect[x[:, 6].astype(int)] + np.where(x[:, 5] == 3, 1.5, 0)
    x[rng.random(len(x)) < 0.05, 6] = np.nan
    return shift


@case
def lgb_codes(out):
    import numpy as np
    x, score, rng = data(np, rows=3000)
    score = score + coded(np, rng, x)
    lgb_case(out, "lgb_codes", {"objective": "binary", "min_data_per_group": 5, "cat_smooth": 1, "cat_l2": 1},
             x=x, score=score, rng=rng, categorical=[5, 6])


@case
def lgb_pandas(out):
    """Columns of words: their codes stand at the end of the file."""
    import lightgbm
    import numpy as np
    import pandas
    x, score, rng = data(np, rows=3000)
    shift = coded(np, rng, x)
    frame = pandas.DataFrame(x, columns=[f"number_{at}" for at in range(x.shape[1])])
    countries = [f"{a}{b}" for a in "ABCDEFGHIJKLMN" for b in "ABCDEFGHIJKLMNO"]
    countries[3:5] = ["Curaçao", "日本"]
    frame["country"] = pandas.Categorical([None if v != v else countries[int(v)] for v in x[:, 6]])
    frame["mcc"] = pandas.Categorical([[5411, 5812, 6011, 7995, 4829][int(v)] for v in x[:, 5]])
    frame = frame.drop(columns=["number_5", "number_6"])
    booster = lightgbm.train(QUIET | {"objective": "binary", "num_leaves": 15, "min_data_per_group": 5, "cat_l2": 1},
                             lightgbm.Dataset(frame, score + shift > 0, free_raw_data=False), 10)
    asked = frame.iloc[:ROWS].copy()
    texts = asked.astype(object).to_numpy().tolist()
    for at in range(0, ROWS, 9):
        asked.iat[at, 6] = np.nan
        texts[at][6] = "ZZ"
    for at in range(3, ROWS, 11):
        asked.iat[at, 7] = np.nan
        texts[at][7] = "1"
    texts = [[v if isinstance(v, str) else (str(v) if isinstance(v, int) else v) for v in row] for row in texts]
    write(out, "lgb_pandas", "txt", booster.model_to_string(), booster.feature_name(), texts,
          booster.predict(asked, raw_score=True), booster.predict(asked),
          booster.predict(asked[:CONTRIB_ROWS], pred_contrib=True))


def chain(np):
    """Targets that grow so fast that each split cuts off the greatest one alone."""
    steps = np.arange(60)
    x = np.repeat(np.stack([steps, np.sin(steps)], axis=1), 20, axis=0).astype(float)
    return x, 2.5 ** (x[:, 0] - 56), np.random.default_rng(SEED)


@case
def lgb_deep(out):
    import numpy as np
    x, score, rng = chain(np)
    lgb_case(out, "lgb_deep", {"objective": "regression", "num_leaves": 60, "min_data_in_leaf": 1, "max_depth": -1,
                               "min_data_in_bin": 1, "min_sum_hessian_in_leaf": 0, "learning_rate": 0.5},
             trees=3, label="real", x=x, score=score, rng=rng)


@case
def lgb_single_leaf(out):
    """Nothing to split on after the first tree, if at all."""
    lgb_case(out, "lgb_single_leaf", {"objective": "binary", "min_gain_to_split": 1e9}, trees=3)


@case
def lgb_thousands(out):
    lgb_case(out, "lgb_thousands", {"objective": "binary", "num_leaves": 4, "learning_rate": 0.01}, trees=2000)


@case
def lgb_dart(out):
    lgb_case(out, "lgb_dart", {"objective": "binary", "boosting": "dart", "drop_rate": 0.3}, trees=20)


@case
def lgb_rf(out):
    lgb_case(out, "lgb_rf", {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6,
                             "feature_fraction": 0.7}, trees=20)


@case
def lgb_goss(out):
    lgb_case(out, "lgb_goss", {"objective": "binary", "data_sample_strategy": "goss", "extra_trees": True})


@case
def lgb_monotone(out):
    lgb_case(out, "lgb_monotone", {"objective": "binary", "monotone_constraints": [1, 1, -1, 0, 0, 0, 0, 0],
                                   "path_smooth": 2.0})


@case
def lgb_linear(out):
    """Refused: leaves that are linear models."""
    lgb_case(out, "lgb_linear", {"objective": "regression", "linear_tree": True}, trees=3, label="real")


@case
def lgb_multiclass(out):
    """Refused: more than one score a row."""
    import lightgbm
    import numpy as np
    x, score, _ = data(np)
    booster = lightgbm.train(QUIET | {"objective": "multiclass", "num_class": 3, "num_leaves": 4},
                             lightgbm.Dataset(x, np.digitize(score, [-1, 1])), 2)
    pack(out, "lgb_multiclass.txt", booster.model_to_string())


@case
def lgb_rank(out):
    lgb_case(out, "lgb_rank", {"objective": "lambdarank"}, label="grade", group=[100] * 12)


def lgb_objective(name, label):
    def make(out):
        params = {"objective": name.removesuffix("_sqrt"), "num_leaves": 7}
        if name.endswith("_sqrt"):
            params["reg_sqrt"] = True
        lgb_case(out, f"lgb_{name}", params, trees=5, label=label)
    CASES[f"lgb_{name}"] = make


for objective, kind in {"cross_entropy": "share", "cross_entropy_lambda": "share", "regression": "real",
                        "regression_sqrt": "real", "regression_l1": "real", "huber": "real", "fair": "real",
                        "quantile": "real", "mape": "positive", "poisson": "count", "gamma": "positive",
                        "tweedie": "count"}.items():
    lgb_objective(objective, kind)


@case
def lgb_bench(out):
    """What benches/models.rs measures: 100 trees of 63 leaves over 30 features."""
    import numpy as np
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(20000, 30))
    score = x @ rng.normal(size=30) * 0.3 + np.where(x[:, 0] * x[:, 1] > 0.2, 1.0, -0.5) + rng.normal(size=20000)
    lgb_case(out, "lgb_bench", {"objective": "binary", "num_leaves": 63, "min_data_in_leaf": 20}, trees=100, x=x,
             score=score, rng=rng)


# --- XGBoost ---


def xgb_thresholds(booster):
    found = []
    for tree in json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"].get("model", {}).get(
            "trees", []):
        for left, feature, at, kind in zip(tree["left_children"], tree["split_indices"], tree["split_conditions"],
                                           tree["split_type"]):
            if left != -1 and kind == 0:
                found.append((feature, float(at)))
    return found[::max(1, len(found) // (ROWS // 2))]


def near32(np, thresholds):
    """Thresholds are float32: beside them are the float32 neighbours, and values that round to them."""
    moved = []
    for at, (feature, value) in enumerate(thresholds):
        single = np.float32(value)
        choices = [float(single), float(np.nextafter(single, np.float32(np.inf))),
                   float(np.nextafter(single, np.float32(-np.inf))), float(single) * (1 - 2e-8)]
        moved.append((feature, choices[at % 4]))
    return moved


def xgb_write(out, name, booster, rows, types=None, contrib=True, texts=None, asked=None):
    import numpy as np
    import xgboost
    if asked is None:
        # a value beyond float32 becomes infinite, which XGBoost refuses to be asked about
        rows = np.where(np.abs(rows) > 1e38, 1e38 * np.sign(rows), rows)
        asked = xgboost.DMatrix(rows, feature_names=booster.feature_names, feature_types=types)
    names = booster.feature_names or [f"f{at}" for at in range(asked.num_col())]
    first = asked.slice(list(range(CONTRIB_ROWS)))
    shap = booster.predict(first, pred_contribs=True) if contrib else None
    approx = booster.predict(first, pred_contribs=True, approx_contribs=True) if contrib else None
    write(out, name, "json", bytes(booster.save_raw("json")).decode(), names, rows if texts is None else texts,
          booster.predict(asked, output_margin=True), booster.predict(asked), shap, approx)


def xgb_case(out, name, params, trees=10, label="binary", x=None, score=None, rng=None, types=None, group=None,
             **more):
    import numpy as np
    import xgboost
    if x is None:
        x, score, rng = data(np)
    labels = {"binary": (score > 0).astype(float), "real": score, "positive": np.exp(score / 2),
              "count": np.floor(np.exp(np.clip(score, -3, 2))), "share": 1 / (1 + np.exp(-score)),
              "grade": np.digitize(score, [-1, 0, 1])}[label]
    train = xgboost.DMatrix(x, labels, feature_names=[f"feature_{at}" for at in range(x.shape[1])],
                            feature_types=types)
    if group:
        train.set_group(group)
    if params.get("objective") == "survival:aft":
        train.set_float_info("label_lower_bound", labels)
        train.set_float_info("label_upper_bound", labels)
    settings = {"nthread": 1, "seed": 7, "max_depth": 4} | params
    booster = xgboost.train(settings, train, trees)
    cats = [at for at, kind in enumerate(types or []) if kind == "c"]
    # XGBoost refuses codes beyond those it has seen only where the file holds the categories; these are plain codes
    rows = probe(np, x, rng, near32(np, xgb_thresholds(booster)), cats)
    xgb_write(out, name, booster, rows, types, **more)


@case
def xgb_binary(out):
    xgb_case(out, "xgb_binary", {"objective": "binary:logistic", "max_depth": 6}, trees=25)


@case
def xgb21_binary(out):
    xgb_case(out, "xgb21_binary", {"objective": "binary:logistic"}, trees=10)


@case
def xgb_base_score(out):
    xgb_case(out, "xgb_base_score", {"objective": "binary:logistic", "base_score": 0.03})


def xgb_categories(out, name, onehot):
    import numpy as np
    x, score, rng = data(np, rows=3000)
    score = score + coded(np, rng, x)
    types = ["float"] * 5 + ["c", "c", "float"]
    xgb_case(out, name, {"objective": "binary:logistic", "max_cat_to_onehot": onehot, "tree_method": "hist"}, x=x,
             score=score, rng=rng, types=types)


@case
def xgb_one_hot(out):
    xgb_categories(out, "xgb_one_hot", 1000)


@case
def xgb_partition(out):
    xgb_categories(out, "xgb_partition", 1)


@case
def xgb_pandas(out):
    """Columns of words: since 3.1 the file holds them."""
    import numpy as np
    import pandas
    import xgboost
    x, score, rng = data(np, rows=3000)
    shift = coded(np, rng, x)
    frame = pandas.DataFrame(x, columns=[f"number_{at}" for at in range(x.shape[1])])
    words = [None if v != v else f"country_{int(v) % 60}" for v in x[:, 6]]
    frame["country"] = pandas.Categorical(words)
    frame["mcc"] = pandas.Categorical([[5411, 5812, 6011, 7995, 4829][int(v)] for v in x[:, 5]])
    frame = frame.drop(columns=["number_5", "number_6"])
    train = xgboost.DMatrix(frame, score + shift > 0, enable_categorical=True)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "seed": 7}, train, 10)
    asked = frame.iloc[:ROWS].copy()
    texts = asked.astype(object).to_numpy().tolist()
    texts = [[v if isinstance(v, str) else (str(v) if isinstance(v, int) else v) for v in row] for row in texts]
    xgb_write(out, "xgb_pandas", booster, None, texts=texts, asked=xgboost.DMatrix(asked, enable_categorical=True))


@case
def xgb_dart(out):
    xgb_case(out, "xgb_dart", {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.4}, trees=20)


@case
def xgb_forest(out):
    xgb_case(out, "xgb_forest", {"objective": "binary:logistic", "num_parallel_tree": 5, "subsample": 0.6,
                                 "colsample_bynode": 0.7, "learning_rate": 1.0}, trees=2)


@case
def xgb_thousands(out):
    xgb_case(out, "xgb_thousands", {"objective": "binary:logistic", "max_depth": 2, "learning_rate": 0.01},
             trees=2000)


@case
def xgb_deep(out):
    import numpy as np
    x, score, rng = chain(np)
    xgb_case(out, "xgb_deep", {"objective": "reg:squarederror", "grow_policy": "lossguide", "max_leaves": 60,
                               "max_depth": 0, "min_child_weight": 0, "lambda": 0}, trees=3, label="real", x=x,
             score=score, rng=rng)


@case
def xgb_single_leaf(out):
    xgb_case(out, "xgb_single_leaf", {"objective": "binary:logistic", "gamma": 1e9}, trees=3)


@case
def xgb_stopped(out):
    """best_iteration stands in the file; Booster.predict uses all trees."""
    import numpy as np
    import xgboost
    x, score, rng = data(np)
    train = xgboost.DMatrix(x[:800], score[:800] > 0)
    check = xgboost.DMatrix(x[800:], score[800:] > 0)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 5, "nthread": 1, "learning_rate": 0.6},
                            train, 60, evals=[(check, "check")], early_stopping_rounds=5, verbose_eval=False)
    xgb_write(out, "xgb_stopped", booster, probe(np, x, rng, near32(np, xgb_thresholds(booster))))


@case
def xgb_linear(out):
    """Refused: a booster without trees."""
    import numpy as np
    import xgboost
    x, score, _ = data(np)
    settings = {"objective": "binary:logistic", "booster": "gblinear", "updater": "coord_descent", "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(x, score > 0), 2)
    pack(out, "xgb_linear.json", bytes(booster.save_raw("json")).decode())


@case
def xgb_multiclass(out):
    """Refused: more than one score a row."""
    import numpy as np
    import xgboost
    x, score, _ = data(np)
    train = xgboost.DMatrix(x, np.digitize(score, [-1, 1]))
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 2}, train, 2)
    pack(out, "xgb_multiclass.json", bytes(booster.save_raw("json")).decode())


@case
def xgb_multi_target(out):
    """Refused: leaves that are vectors."""
    import numpy as np
    import xgboost
    x, score, _ = data(np)
    train = xgboost.DMatrix(x, np.stack([score, -score], axis=1))
    booster = xgboost.train({"objective": "reg:squarederror", "multi_strategy": "multi_output_tree", "max_depth": 2},
                            train, 2)
    pack(out, "xgb_multi_target.json", bytes(booster.save_raw("json")).decode())


def xgb_objective(name, label):
    title = "xgb_" + name.replace(":", "_")

    def make(out):
        group = [100] * 12 if name.startswith("rank") else None
        xgb_case(out, title, {"objective": name, "max_depth": 3}, trees=5, label=label, group=group)
    CASES[title] = make


for objective, kind in {"reg:squarederror": "real", "reg:logistic": "share", "binary:logitraw": "binary",
                        "binary:hinge": "binary", "count:poisson": "count", "reg:gamma": "positive",
                        "reg:tweedie": "count", "survival:cox": "positive", "survival:aft": "positive",
                        "reg:squaredlogerror": "positive", "reg:pseudohubererror": "real",
                        "reg:absoluteerror": "real", "rank:ndcg": "grade"}.items():
    xgb_objective(objective, kind)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder to write to; it must exist")
    parser.add_argument("--only", action="append", choices=sorted(CASES), metavar="CASE",
                        help="make this case alone; may be repeated")
    args = parser.parse_args()
    if not os.path.isdir(args.out):
        parser.error(f"--out {args.out}: no such folder")
    try:
        import xgboost
        import zstandard
    except ImportError as error:
        print(f"{error}: pip install -r training/requirements.txt", file=sys.stderr)
        return 1
    old = xgboost.__version__.startswith("2.")
    names = args.only or [name for name in CASES if (name == "xgb21_binary") == old]
    for name in names:
        try:
            CASES[name](args.out)
        except Exception as error:  # whatever a library throws: say which case it was
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        print(name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
