"""The data set of the handbook: its payments, and its own 14 features for those of four weeks.

Seconds are since 1970 in UTC, amounts in cents.
"""

import datetime
import shutil
import subprocess
from array import array
from dataclasses import dataclass

DAY_S = 86_400
# from a payment to the word on it
DELAY_S = 7 * DAY_S
FEATURE_FILES = ("features-2018-04-01_2018-04-14.csv.zst", "features-2018-07-25_2018-08-07.csv.zst")
# the longest that unpacking a file may take once nobody reads any more
PATIENCE_S = 30


class Unusable(Exception):
    """A data set that is not what its description says, or cannot be read."""


@dataclass(frozen=True)
class Column:
    name: str
    kind: str             # "flag" and "count": exact; "mean": in units; "share": 0 to 1
    feature: str | None   # which of features.toml has it; None: it follows from the time
    # of a customer's: the column with the number of payments, which a tie may change by one
    tied_to: int | None = None
    # of a terminal's: how far its window reaches, which ends DELAY_S before the payment
    terminal_days: int | None = None


def columns():
    made = [Column("TX_DURING_WEEKEND", "flag", None), Column("TX_DURING_NIGHT", "flag", None)]
    for days in (1, 7, 30):
        count = len(made)
        made.append(Column(f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW", "count", f"account_payments_count_{days}d", count))
        made.append(Column(f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW", "mean", f"account_amount_mean_{days}d", count))
    for days in (1, 7, 30):
        made.append(Column(f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW", "count", f"terminal_payments_count_{days}d",
                           terminal_days=days))
        made.append(Column(f"TERMINAL_ID_RISK_{days}DAY_WINDOW", "share", f"terminal_fraud_rate_{days}d", terminal_days=days))
    return tuple(made)


COLUMNS = columns()


def of_time(second):
    """The two columns that follow from the time."""
    days, rest = divmod(second, DAY_S)
    # the first day of 1970 was a Thursday
    return int((days + 3) % 7 >= 5), int(rest // 3600 <= 6)


def lines(path, header):
    """The lines of a packed CSV file after its header, which is checked, each as its cells."""
    if shutil.which("zstd") is None:
        raise Unusable("zstd is not installed, expected it to unpack the data set (apt install zstd)")
    process = subprocess.Popen(["zstd", "-dcq", str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    whole = False
    try:
        first = process.stdout.readline().rstrip("\n")
        if first != header:
            raise Unusable(f"{path} begins with {first!r}, expected {header!r}")
        for line in process.stdout:
            yield line.rstrip("\n").split(",")
        whole = True
    finally:
        # whoever has read enough ends it in the middle
        process.stdout.close()
        if not whole:
            process.kill()
        code = process.wait(PATIENCE_S)
    if code != 0:
        raise Unusable(f"zstd ended with {code} on {path}")


def payments(folder):
    """(number, second, customer, terminal, cents, fraud) of each row, in the order of time."""
    header = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,TX_FRAUD_SCENARIO"
    midnights, before = {}, 0
    for expected, row in enumerate(lines(folder / "transactions.csv.zst", header)):
        number, time, customer, terminal, amount, fraud, _ = row
        date = time[:10]
        midnight = midnights.get(date)
        if midnight is None:
            day = datetime.datetime.fromisoformat(date).replace(tzinfo=datetime.timezone.utc)
            midnight = midnights[date] = int(day.timestamp())
        second = midnight + int(time[11:13]) * 3600 + int(time[14:16]) * 60 + int(time[17:19])
        units, cents = amount.split(".")
        if int(number) != expected or second < before or len(cents) != 2:
            raise Unusable(f"row {expected} of the payments is {row}, expected that number, no earlier a time than "
                           "the row's before it and an amount with two decimals")
        before = second
        yield expected, second, int(customer), int(terminal), int(units) * 100 + int(cents), fraud == "1"


@dataclass
class Facts:
    """What the comparison has to know of the raw rows."""
    rows: int
    frauds: int
    ties: dict  # number of a row: cents of the rows with its customer and second


def facts(folder, rows_max):
    """Of the first `rows_max` rows. What shares customer and second with a row beyond them is a tie as well."""
    rows = frauds = 0
    ties, second, group = {}, None, {}

    def close():
        for same in group.values():
            if len(same) > 1:
                for number, _ in same:
                    ties[number] = [cents for other, cents in same if other != number]

    for number, time, customer, _, cents, fraud in payments(folder):
        if time != second:
            close()
            if number >= rows_max:
                group = {}
                break
            second, group = time, {}
        group.setdefault(customer, []).append((number, cents))
        if number < rows_max:
            rows += 1
            frauds += fraud
    close()
    return Facts(rows, frauds, ties)


class Expected:
    """The book's features of a range of rows without gaps, below `rows_max`: an array for each column."""

    def __init__(self, path, rows_max):
        self.first, self.size = None, 0
        self.values = [array("d") for _ in COLUMNS]
        header = ",".join(["TRANSACTION_ID"] + [column.name for column in COLUMNS])
        for row in lines(path, header):
            number = int(row[0])
            if number >= rows_max:
                break
            if self.first is None:
                self.first = number
            if number != self.first + self.size or len(row) != len(COLUMNS) + 1:
                raise Unusable(f"{path}: row {self.size} is {row}, expected transaction {self.first + self.size} "
                               f"with {len(COLUMNS)} values")
            for values, cell in zip(self.values, row[1:]):
                values.append(float(cell))
            self.size += 1


def expected(folder, rows_max):
    """Both files, as far as they are of the first `rows_max` rows."""
    books = [Expected(folder / name, rows_max) for name in FEATURE_FILES]
    return [book for book in books if book.size > 0]
