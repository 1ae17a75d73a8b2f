"""Whether the age of the profiles that a decision read explains what it differs in.

A decision says that everything which was decided `profile_age_ms` before it was in the profiles that it
read. What was decided later may have been missing: such a payment or such a verdict may be short in a
count or a share, and nothing else may. Everything is judged by times that decisions carry themselves.
"""

from array import array
from collections import defaultdict

from book import COLUMNS, DAY_S, DELAY_S, payments

UNKNOWN = -1
WHOLE_TOLERANCE = 1e-6


class Ages:
    """When each payment and each dispute was decided about, and how old the profiles were for each payment."""

    def __init__(self, folder, rows_max):
        self.seconds, self.terminals = array("q"), array("l")
        self.at_terminal = defaultdict(lambda: array("l"))
        for number, second, _, terminal, _, _ in payments(folder):
            if number >= rows_max:
                break
            self.seconds.append(second)
            self.terminals.append(terminal)
            self.at_terminal[terminal].append(number)
        rows = len(self.seconds)
        self.payment_ms, self.dispute_ms, self.age_ms = (array("q", [UNKNOWN]) * rows for _ in range(3))

    def decided(self, decision):
        """Notes when a payment or a dispute was decided about."""
        number = int(decision["subject_id"].removeprefix("dispute-"))
        if decision["kind"] == "TRANSACTION":
            self.payment_ms[number] = decision["decided_at"]
        else:
            self.dispute_ms[number] = decision["decided_at"]

    def aged(self, number, age_ms):
        """Notes how old the profiles were that the decision about a payment read."""
        self.age_ms[number] = UNKNOWN if age_ms is None else age_ms

    def explain(self, number, index, found, expected):
        """Whether column `index` of row `number` is what its profiles could have said."""
        days = COLUMNS[index].terminal_days
        if days is None or self.age_ms[number] == UNKNOWN or found[index] is None:
            return False
        known_ms = self.payment_ms[number] - self.age_ms[number]
        to = self.seconds[number] - DELAY_S
        payments_missing = verdicts_missing = 0
        for other in self.at_terminal[self.terminals[number]]:
            if to - days * DAY_S < self.seconds[other] <= to:
                payment_missing = self.payment_ms[other] >= known_ms
                payments_missing += payment_missing
                # a verdict on a payment that is missing is missing as well
                verdicts_missing += self.dispute_ms[other] != UNKNOWN and (payment_missing or self.dispute_ms[other] >= known_ms)
        count = index if COLUMNS[index].kind == "count" else index - 1
        if not expected[count] - payments_missing <= found[count] <= expected[count]:
            return False
        if index == count:
            return True
        frauds, frauds_right = found[index] * found[count], expected[index] * expected[count]
        if abs(frauds - round(frauds)) > WHOLE_TOLERANCE:
            return False
        return round(frauds_right) - verdicts_missing <= round(frauds) <= round(frauds_right)

    def spread(self):
        """The ages in milliseconds: half of the decisions, 99 of 100, the oldest."""
        ages = sorted(age for age in self.age_ms if age != UNKNOWN)
        return [ages[min(len(ages) - 1, int(len(ages) * share))] for share in (0.5, 0.99, 1.0)] if ages else None
