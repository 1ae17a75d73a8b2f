"""The book's features computed once more, as plainly as its definitions read: what the comparison is
tried on. Shares no code with weir."""

from array import array
from collections import defaultdict

from book import DAY_S, DELAY_S, payments

WINDOWS_DAYS = (1, 7, 30)


class History:
    """Times and values of one customer's or terminal's payments, in the order of time."""

    def __init__(self):
        self.times, self.values = array("q"), array("q")

    def add(self, second, value):
        self.times.append(second)
        self.values.append(value)

    def window(self, after, to):
        """Number and sum of the values later than `after` and not later than `to`."""
        count = total = 0
        for at in range(len(self.times) - 1, -1, -1):
            if self.times[at] <= after:
                break
            if self.times[at] <= to:
                count += 1
                total += self.values[at]
        return count, total


def answers(folder, wanted, rows_max):
    """(number, second, features) of each wanted row, as `Comparison.decided` takes them."""
    customers, terminals = defaultdict(History), defaultdict(History)
    for number, second, customer, terminal, cents, fraud in payments(folder):
        if number >= rows_max:
            return
        of_customer, of_terminal = customers[customer], terminals[terminal]
        of_customer.add(second, cents)
        of_terminal.add(second, int(fraud))
        if not wanted(number):
            continue
        features = []
        for days in WINDOWS_DAYS:
            count, total = of_customer.window(second - days * DAY_S, second)
            features += [count, total / count]
        for days in WINDOWS_DAYS:
            # of payments that are seven days old the label is known
            count, frauds = of_terminal.window(second - DELAY_S - days * DAY_S, second - DELAY_S)
            features += [count, frauds / count if count else 0]
        yield number, second, features
