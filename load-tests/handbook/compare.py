"""Decided features against the book's.

Flags and counts must be equal, shares within 1e-12, means within 1e-9 of themselves (of one unit,
where they are less: the book's own have the residue of a running sum). Of rows that share customer
and second the book's order is arbitrary: there a customer's count may differ by one, and the mean
by exactly the payment that is counted in one of the two and not in the other. Through a broker the
profiles that a decision reads may lack what was decided just before it: see ages.py.
"""

import math
from dataclasses import dataclass, field

from book import COLUMNS, of_time

SHARE_TOLERANCE = 1e-12
MEAN_TOLERANCE = 1e-9
# of the sum of a tied row's payments, in units: far above the residue, far below a cent
SUM_TOLERANCE = 1e-6
SHOWN_MAX = 3
# whether a row is to be compared, and was
LEFT_OUT, WANTED, DECIDED = range(3)


@dataclass
class Tally:
    """What was seen of one column. The largest differences leave out those that a tie explains."""
    rows: int = 0
    not_zero: int = 0              # rows for which the book has more to say than 0
    different: int = 0
    different_tied: int = 0
    different_aged: int = 0        # explained by the age of the profiles
    largest_absolute: float = 0.0
    largest_relative: float = 0.0  # among those that are not zero
    examples: list = field(default_factory=list)

    def differs(self, value, right):
        if value is None or not math.isfinite(value):
            return
        absolute = abs(value - right)
        self.largest_absolute = max(self.largest_absolute, absolute)
        if right:
            self.largest_relative = max(self.largest_relative, absolute / abs(right))


class Comparison:
    """`wanted` says of a row's number whether it is to be compared; `ages`, if there are any, explain differences."""

    def __init__(self, books, ties, wanted, ages=None):
        self.books, self.ties, self.ages = books, ties, ages
        self.states = [bytearray(WANTED if wanted(number) else LEFT_OUT
                                 for number in range(book.first, book.first + book.size)) for book in books]
        self.rows = sum(state.count(WANTED) for state in self.states)
        self.tallies = [Tally() for _ in COLUMNS]
        self.compared = 0
        # rows that were decided about again
        self.repeated, self.repeated_first = 0, None
        self.aged = set()

    def place(self, number):
        """The book of a row that is to be compared, the states of its rows, and the row's place there."""
        for book, state in zip(self.books, self.states):
            at = number - book.first
            if 0 <= at < book.size:
                return (book, state, at) if state[at] != LEFT_OUT else None
        return None

    def decided(self, number, second, features):
        """`features`: those of the columns that are not of the time, in their order; means in cents, None where
        there is no value."""
        place = self.place(number)
        if place is None:
            return
        book, state, at = place
        if state[at] == DECIDED:
            self.repeated += 1
            self.repeated_first = number if self.repeated_first is None else self.repeated_first
            return
        state[at] = DECIDED
        self.compared += 1
        found = list(of_time(second))
        for column, value in zip(COLUMNS[len(found):], features, strict=True):
            found.append(value / 100 if column.kind == "mean" and value is not None else value)
        expected = [values[at] for values in book.values]
        for index, column in enumerate(COLUMNS):
            tally, value, right = self.tallies[index], found[index], expected[index]
            tally.rows += 1
            tally.not_zero += right != 0
            if value == right:
                continue
            if agrees(column.kind, value, right):
                tally.differs(value, right)
            elif tied(index, found, expected, self.ties.get(number, ())):
                tally.different_tied += 1
            elif self.ages and self.ages.explain(number, index, found, expected):
                tally.different_aged += 1
                self.aged.add(number)
            else:
                tally.different += 1
                tally.differs(value, right)
                if len(tally.examples) < SHOWN_MAX:
                    shown = value if value is None or math.isfinite(value) else str(value)
                    tally.examples.append({"transaction": number, "decided": shown, "book": right})

    def missing(self):
        """How many rows have no decision, and the first of them."""
        first = [book.first + at for book, state in zip(self.books, self.states) for at in [state.find(WANTED)] if at >= 0]
        return self.rows - self.compared, min(first, default=None)

    def holds(self):
        whole = self.rows > 0 and self.compared == self.rows and self.repeated == 0
        return whole and all(tally.different == 0 and tally.rows == self.rows for tally in self.tallies)


def agrees(kind, value, right):
    if value is None or not math.isfinite(value):
        return False
    if kind == "share":
        return abs(value - right) <= SHARE_TOLERANCE
    if kind == "mean":
        return abs(value - right) <= MEAN_TOLERANCE * max(1.0, abs(right))
    return value == right


def tied(index, found, expected, mates):
    """Whether the difference is that of one payment of the same customer and second; `mates` are their cents."""
    column = COLUMNS[index]
    if not mates or column.tied_to is None or found[column.tied_to] is None or found[index] is None:
        return False
    more = found[column.tied_to] - expected[column.tied_to]
    if more not in (1, -1):
        return False
    if column.kind == "count":
        return True
    sums = found[column.tied_to] * found[index] - expected[column.tied_to] * expected[index]
    return any(abs(sums - more * cents / 100) <= SUM_TOLERANCE for cents in mates)
