"""Payments with their features out of an exported file, and the weeks they are learned from and tried on."""

import csv
from datetime import date, timedelta

import numpy as np

EPOCH = date(1970, 1, 1)
TEST = tuple(date(2018, 7, day) for day in (4, 11, 18, 25))
# what features, rules and parameters were chosen on: nothing later than these was looked at for that
CHOICE = tuple(date(2018, 5, 16) + timedelta(7 * week) for week in range(6))
WEEK = 7
# a week is learned from, then a week passes until its labels are known
TRAIN_BEFORE = 14
FIXED = ("event_id", "event_time", "account", "amount_minor", "label")


class Unusable(Exception):
    """A file that is not what was expected, or too short."""


def day_of(when):
    return (when - EPOCH).days


class Rows:
    """Payments in the order of the file: `columns` by name, NaN where a value is not known."""

    def __init__(self, accounts, days, seconds, labels, columns):
        self.accounts, self.days, self.seconds, self.labels, self.columns = accounts, days, seconds, labels, columns

    def __len__(self):
        return len(self.labels)

    def at(self, chosen):
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return Rows(self.accounts[chosen], self.days[chosen], self.seconds[chosen], self.labels[chosen], columns)

    def column(self, name):
        if name not in self.columns:
            raise Unusable(f"the file has no column {name!r}, expected it beside {', '.join(sorted(self.columns))}")
        return self.columns[name]


def day_and_second(text):
    """Day since 1970 and second of it of a time such as 2018-07-04T00:00:31.000Z."""
    return day_of(date.fromisoformat(text[:10])), int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])


def read(path, first_day, last_day):
    """The payments of an exported file from one day to another, both included."""
    accounts, times, labels, values, days = [], [], [], [], {}
    with open(path, newline="") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        if tuple(header[:5]) != FIXED:
            raise Unusable(f"{path} begins with {header[:5]}, expected {list(FIXED)}")
        numbers = range(3, len(header))
        for number, line in enumerate(lines, 2):
            if len(line) != len(header):
                raise Unusable(f"{path}:{number}: {len(line)} cells, expected {len(header)}")
            day = days.get(line[1][:10])
            if day is None:
                day = days[line[1][:10]] = day_and_second(line[1])[0]
            if not first_day <= day <= last_day:
                continue
            if line[4] not in ("0", "1"):
                raise Unusable(f"{path}:{number}: label is {line[4]!r}, expected 0 or 1")
            accounts.append(line[2])
            times.append((day, day_and_second(line[1])[1]))
            values.append([number_of(line[at]) for at in numbers])
            labels.append(line[4] == "1")
    if not labels or days and (min(days.values()) > first_day or max(days.values()) < last_day):
        wanted = f"{EPOCH + timedelta(first_day)} to {EPOCH + timedelta(last_day)}"
        raise Unusable(f"{path} does not reach over all days from {wanted}")
    table = np.array(values, dtype=float)
    times = np.array(times, dtype=np.int64)
    columns = {header[at]: table[:, at - 3] for at in numbers if header[at] != "label"}
    return Rows(np.array(accounts), times[:, 0], times[:, 1], np.array(labels), columns)


def number_of(cell):
    """A cell as a number; NaN where it is empty, or is text that no feature is."""
    try:
        return float(cell) if cell else float("nan")
    except ValueError:
        return float("nan")


def split(rows, first):
    """The training week and the test week that begins with `first`, as the book takes them.

    Accounts that are known to be compromised are no longer tried: those with a fraud in the training week and,
    on each day of the test week, those with a fraud on days that ended seven days before it began.
    """
    begin = day_of(first) - TRAIN_BEFORE
    train = np.flatnonzero((rows.days >= begin) & (rows.days < begin + WEEK))
    known, tried = set(rows.accounts[train][rows.labels[train]]), []
    for day in range(WEEK):
        told = (rows.days == begin + WEEK + day - 1) & rows.labels
        known.update(rows.accounts[told])
        today = np.flatnonzero(rows.days == day_of(first) + day)
        tried.append(today[~np.isin(rows.accounts[today], list(known))])
    return rows.at(train), rows.at(np.concatenate(tried))
