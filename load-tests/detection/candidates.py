"""What is compared: two ways without a model and three with one. Each gives scores for the test week."""

import numpy as np
import xgboost

WINDOWED = ("account_payments_count", "account_amount_mean", "terminal_payments_count", "terminal_fraud_rate")
BOOK = tuple(f"{name}_{days}d" for days in (1, 7, 30) for name in WINDOWED)
OWN = ("account_payments_count_90d", "account_amount_excess", "terminal_fraud_run", "terminal_fraud_run_seconds")
NIGHT_ENDS_S = 7 * 3600
# of every model
TREES = 100
# the book's model
BOOK_MODEL = {"learning_rate": 0.1, "max_depth": 3, "tree_method": "exact", "base_score": 0.5}
# chosen on the weeks of weeks.CHOICE: shallower, what belongs together is in one feature already
OWN_MODEL = {"learning_rate": 0.1, "max_depth": 2, "tree_method": "exact", "base_score": 0.5}
# more of these never makes fraud less likely
RISING = {"amount_minor", "ratio", "peak", "terminal_fraud_run"}


def baseline(train, test):
    """(a) Three rules, which need no training."""
    amount = test.column("amount_minor")
    ratio = amount / np.maximum(test.column("account_amount_mean_30d"), 1.0)
    return (amount > 22_000) + test.column("terminal_fraud_rate_7d") + 0.1 * np.clip(ratio - 1, 0, 5)


def rules(train, test):
    """(b) The score of the rules, as weir gave it."""
    return test.column("score")


def book_features(rows):
    weekend = (rows.days + 3) % 7 >= 5
    night = rows.seconds < NIGHT_ENDS_S
    return [rows.column("amount_minor"), weekend, night, *(rows.column(name) for name in BOOK)]


def own_features(rows):
    """By name: the amount, what it and the largest of 14 days are in multiples of what is usual, and OWN."""
    usual = np.maximum(rows.column("account_amount_usual"), 1.0)
    amount = rows.column("amount_minor")
    return {"amount_minor": amount, "ratio": amount / usual, "peak": rows.column("account_amount_max_14d_before") / usual,
            **{name: rows.column(name) for name in OWN}}


def matrix(columns, labels=None):
    return xgboost.DMatrix(np.column_stack(columns).astype(np.float32), labels)


def learned(train, test, labels, **settings):
    """Log odds of the test rows, by trees that were grown on the training rows."""
    settings |= {"objective": "binary:logistic", "nthread": 1, "seed": 0, "verbosity": 1}
    model = xgboost.train(settings, matrix(train, labels.astype(np.float32)), TREES)
    return model.predict(matrix(test), output_margin=True).astype(float)


def book_model(train, test):
    """(c) The book's 15 features and trees."""
    return learned(book_features(train), book_features(test), train.labels, **BOOK_MODEL)


def own_model(train, test):
    """(d) without the rules: weir's own features and trees."""
    known, asked = own_features(train), own_features(test)
    rising = tuple(int(name in RISING) for name in known)
    return learned(list(known.values()), list(asked.values()), train.labels, monotone_constraints=rising, **OWN_MODEL)


def rules_and_model(train, test):
    """(d) The chance that the trees give, beside that of the rules: 1 - prod(1 - chance), as rules are put together."""
    chance = 1 / (1 + np.exp(-own_model(train, test)))
    return 1 - (1 - chance) * (1 - rules(train, test))


CANDIDATES = {
    "a": ("three rules of the book's features", baseline),
    "b": ("weir's rules", rules),
    "c": ("the book's 15 features, XGBoost", book_model),
    "d": ("weir's rules and features, XGBoost", rules_and_model),
    "d-": ("weir's features alone, XGBoost", own_model),
}
