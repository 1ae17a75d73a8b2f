"""The comparison tried on answers that are known: right ones hold, each wrong one is found."""

import random
import sqlite3
import struct
import tempfile
import time
from pathlib import Path

import twin
from ages import Ages
from book import COLUMNS, DAY_S, DELAY_S, expected, facts, payments
from compare import Comparison
from decisions import Contract, Damaged, Folder

WHOLE_ROWS = 20_000
# beyond those, every so many-th row of both files is computed as well
EVERY = 23
WRONG_ROWS = 300
AGED_ROWS = 900
ALL = 1 << 62

SAMPLE = {
    "type": "record", "name": "Sample", "namespace": "weir", "fields": [
        {"name": "id", "type": "string"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "values", "type": {"type": "array", "items": ["null", "long", "double"]}},
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0},
        {"name": "parts", "type": {"type": "array", "items": {
            "type": "record", "name": "Part", "fields": [{"name": "again", "type": "Kind"}]}}},
    ],
}
# "ab", B, a block of two and one of one with its size, -65, one part
SAMPLE_BODY = (b"\x04ab" b"\x02" b"\x04\x00\x02\x06" b"\x01\x12\x04" + struct.pack("<d", 2.5) + b"\x00"
               b"\x81\x01" b"\x02\x00\x00")
SAMPLE_VALUE = {"id": "ab", "kind": "B", "values": [None, 3, 2.5], "time": -65, "parts": [{"again": "A"}]}


class Wrong(Exception):
    """The comparison or the reader does not do what it is for."""


def check(condition, what):
    if not condition:
        raise Wrong(what)


def refused(what, attempt):
    try:
        attempt()
    except Damaged:
        return
    raise Wrong(f"{what} was read, expected it to be refused")


def reading():
    """Bytes that were put together by hand."""
    contract = Contract(SAMPLE)
    payload = contract.frame + SAMPLE_BODY

    def read(payload):
        value = {}
        at = contract.read(payload, contract.begin(payload), value, "id", "parts")
        return value, at

    check(read(payload) == (SAMPLE_VALUE, len(payload)), f"{payload.hex()} is read as {read(payload)}")
    for cut in range(len(payload)):
        refused(f"a record cut at {cut}", lambda: read(payload[:cut]))
    refused("a record of another contract", lambda: read(b"\xc3\x01" + bytes(8) + SAMPLE_BODY))

    def stored(key, payload, headers=()):
        body = struct.pack("<qiIH", 7, -1 if key is None else len(key), len(payload), len(headers)) + (key or b"") + payload
        for name, value in headers:
            body += struct.pack("<H", len(name)) + name + struct.pack("<I", len(value)) + value
        return body

    with tempfile.TemporaryDirectory(prefix="weir-handbook.") as folder:
        db = sqlite3.connect(Path(folder) / "weir.db")
        db.execute("CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT, partitions INTEGER)")
        db.execute("CREATE TABLE batch (id INTEGER PRIMARY KEY, count INTEGER, body BLOB)")
        db.execute("INSERT INTO topic VALUES (5, 'decisions', 2), (6, 'escalations', 2)")
        for partition, offset, count, body in [
                (0, 0, 2, stored(b"k", b"one") + stored(None, b"two", [(b"n", b"value")])),
                (0, 2, 1, stored(b"key", b"three")), (1, 0, 1, stored(b"", b"four"))]:
            db.execute("INSERT INTO batch VALUES (?, ?, ?)", (5 << 55 | partition << 43 | offset, count, body))
        db.execute("INSERT INTO batch VALUES (?, 2, ?)", (6 << 55, stored(b"k", b"one")))
        db.commit()
        db.close()
        data = Folder(Path(folder))
        check(data.count("decisions") == 4, f"{data.count('decisions')} records counted, expected 4")
        found = list(data.payloads("decisions"))
        check(found == [b"one", b"two", b"three", b"four"], f"a folder is read as {found}")
        refused("a batch with fewer records than it says", lambda: list(data.payloads("escalations")))
        data.close()


class Trial:
    """A few rows with their right answers, to be spoiled one at a time."""

    def __init__(self, books, ties, answers):
        self.books, self.ties, self.answers = books, ties, answers

    def outcome(self, spoil=None):
        """The comparison after all answers; `spoil` gets (number, second, features) and gives what is decided instead."""
        comparison = Comparison(self.books, self.ties, self.answers.__contains__)
        for number, (second, features) in self.answers.items():
            answer = (number, second, list(features))
            for decided in [answer] if spoil is None else spoil(*answer):
                comparison.decided(*decided)
        return comparison

    def found(self, what, spoil, column=None):
        comparison = self.outcome(spoil)
        wrong = [COLUMNS[index].name for index, tally in enumerate(comparison.tallies) if tally.different]
        check(not comparison.holds(), f"{what} was accepted")
        if column is not None:
            check(wrong == [COLUMNS[column].name], f"{what} was found in {wrong}, expected {COLUMNS[column].name}")


def wrong_answers(trial, rng, two_apart):
    """Spoils one value, row or decision at a time. `two_apart`: tied rows whose count the book has one higher or lower."""
    numbers = [number for number in trial.answers if number not in trial.ties]
    tried = 0
    for index, column in enumerate(COLUMNS):
        chosen = rng.choice(numbers)
        at = index - 2
        if at < 0:
            # weekend and night are spoiled by another time, below
            continue
        right = trial.answers[chosen][1][at]
        steps = {"count": [1, -1], "share": [1e-9, -1e-9], "mean": [2e-7 * max(1.0, right / 100)]}[column.kind]
        for value in [right + step for step in steps] + [None, float("nan"), float("inf")]:
            def spoil(number, second, features):
                if number == chosen:
                    features[at] = value
                return [(number, second, features)]
            trial.found(f"{value} instead of {right} in {column.name} of transaction {chosen}", spoil, index)
            tried += 1
    chosen = rng.choice(numbers)
    day, hour = 86_400, 3_600
    for column, moved in ((0, lambda second: second + flip_weekend(second) * day),
                          (1, lambda second: second - second % day + (3 if second % day >= 7 * hour else 12) * hour)):
        trial.found(f"another time of transaction {chosen}", lambda number, second, features: [
            (number, moved(second) if number == chosen else second, features)], column)
    trial.found(f"no decision about transaction {chosen}", lambda number, second, features: [
        (number, second, features)] if number != chosen else [])
    trial.found(f"two decisions about transaction {chosen}", lambda number, second, features: [
        (number, second, features)] * (2 if number == chosen else 1))
    tried += 4
    for chosen, more in two_apart:
        for index, change in ((0, more), (1, 1.0)):
            # the count one further away than the tie explains, and a mean that no payment of the tie explains
            def spoil(number, second, features):
                if number == chosen:
                    features[index] += change
                return [(number, second, features)]
            trial.found(f"a difference of transaction {chosen} that its tie does not explain", spoil)
            tried += 1
    return tried


def flip_weekend(second):
    """Days to a day that is one of the weekend if this is not, and the other way round."""
    weekday = (second // 86_400 + 3) % 7
    return 5 - weekday if weekday < 5 else -2


def aged_answers(folder, books, rng):
    """What the age of profiles explains, to the millisecond, and what it does not; how much was tried."""
    ages = Ages(folder, ALL)
    frauds = {number for number, _, _, _, _, fraud in payments(folder) if fraud}
    for number, second in enumerate(ages.seconds):
        ages.payment_ms[number] = second * 1000
        if number in frauds:
            ages.dispute_ms[number] = (second + DELAY_S) * 1000
    count, share, tried = len(COLUMNS) - 2, len(COLUMNS) - 1, 0
    while tried < AGED_ROWS:
        book = rng.choice(books)
        number = book.first + rng.randrange(book.size)
        right = [values[number - book.first] for values in book.values]
        to = ages.seconds[number] - DELAY_S
        known = [other for other in ages.at_terminal[ages.terminals[number]]
                 if to - 30 * DAY_S < ages.seconds[other] <= to and other in frauds]
        newest = max((ages.dispute_ms[other] for other in known), default=0)
        needed = ages.payment_ms[number] - newest
        # an age of seven days would be one of the payments too
        if needed >= DELAY_S * 1000:
            continue
        missing = sum(ages.dispute_ms[other] == newest for other in known)

        def explained(index, value, age):
            ages.aged(number, age)
            found = list(right)
            found[index] = value
            return ages.explain(number, index, found, right)

        short = right[share] - missing / right[count]
        for what, index, value, age, wanted in (
                ("what came last was missing", share, short, needed, True),
                ("it was there already", share, short, needed - 1, False),
                ("more was missing than came last", share, right[share] - (missing + 1) / right[count], needed, False),
                ("half a verdict was missing", share, right[share] - 0.5 / right[count], needed, False),
                ("there was one too many", share, right[share] + 1 / right[count], needed, False),
                ("its age is not known", share, short, None, False),
                ("an old payment was missing", count, right[count] - 1, needed, False),
                ("everything was missing", count, 0, ages.payment_ms[number], True),
                ("a customer's own was missing", 2, right[2] - 1, ages.payment_ms[number], False)):
            check(explained(index, value, age) == wanted, f"transaction {number}, {what}: explained is {not wanted}")
            tried += 1
    return tried


def run(folder, seed, say):
    """Raises `Wrong` with what is not as it should be."""
    began = time.monotonic()
    rng = random.Random(seed)
    reading()
    say("reading: bytes made by hand are read, cut and foreign ones are refused")
    known = facts(folder, ALL)
    books = expected(folder, ALL)
    check(len(books) == 2, f"{len(books)} feature files, expected 2")
    whole = Comparison(books, known.ties, lambda number: number < WHOLE_ROWS or number % EVERY == 0 or number in known.ties)
    answers = {}
    for number, second, features in twin.answers(folder, lambda number: whole.place(number) is not None, ALL):
        whole.decided(number, second, features)
        answers[number] = (second, features)
    wrong = [f"{column.name}: {tally}" for column, tally in zip(COLUMNS, whole.tallies) if tally.different]
    check(whole.holds(), f"the twin's own answers were refused: {wrong or whole.missing()}")
    empty = [column.name for column, tally in zip(COLUMNS, whole.tallies) if tally.not_zero == 0]
    check(not empty, f"{empty} are 0 in every row: nothing was tried on them")
    tied = sum(tally.different_tied for tally in whole.tallies)
    say(f"right: {whole.compared:,} rows computed once more agree with the book in {len(COLUMNS)} columns, "
        f"{tied} values of rows that share customer and second are one payment apart")
    chosen = set(rng.sample(sorted(answers), WRONG_ROWS)) | (known.ties.keys() & answers.keys())
    trial = Trial(books, known.ties, {number: answers[number] for number in sorted(chosen)})
    check(trial.outcome().holds(), "a part of the right answers was refused")
    apart = []
    for number in known.ties.keys() & chosen:
        book, _, at = whole.place(number)
        more = answers[number][1][0] - book.values[2][at]
        if more:
            apart.append((number, int(more)))
    check(apart, "no tied row differs from the book, expected some to try the tie on")
    tried = wrong_answers(trial, rng, apart)
    aged = aged_answers(folder, books, rng)
    say(f"aged: {aged} answers of older profiles were explained or refused as they should be")
    say(f"wrong: each of {tried} wrong answers was found (seed {seed}), in {time.monotonic() - began:.0f} s")
