#!/usr/bin/env python3
"""Compares weir's windowed features with those of the book's own files, over four months of payments.

The payments and the disputes that follow from the frauds are put on the topics of a new data folder,
decided about in the order of their times, and the decisions' features are compared row by row with
the 14 features that the authors of the "Fraud Detection Handbook" published for four weeks of them.
Which rows may differ, and by how much, is in load-tests/handbook/compare.py.

    load-tests/handbook.py                      everything
    HANDBOOK_ROWS=20000 load-tests/handbook.py  only the first rows
    load-tests/handbook.py --kafka              through a broker, paced, by two processes: see below
    load-tests/handbook.py --backtest           what a backtest exports, instead of decisions
    load-tests/handbook.py --self-test          is the comparison itself right? needs no weir
    load-tests/handbook.py --decided DIR        compares what a data folder has already

Through a broker a decision reads terminals as they were some moments ago. How many rows differ is told, and
each must be explained by the age that its decision records (load-tests/handbook/ages.py).

Exit codes: 0 it holds, or there is no data set; 1 it does not hold, or something failed; 2 wrong
usage, or not available; 128 and the signal's number when stopped by one.
"""

import argparse
import contextlib
import csv
import datetime
import json
import os
import sqlite3
import subprocess
import sys
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "handbook"))

import broker  # noqa: E402
import self_test  # noqa: E402
from ages import Ages  # noqa: E402
from book import COLUMNS, FEATURE_FILES, Unusable, expected, facts  # noqa: E402
from compare import Comparison  # noqa: E402
from decisions import Contract, Damaged, Folder, counted  # noqa: E402
from kafka_lib import BIN, CHILDREN, ROOT, Failed, build, concluded, say  # noqa: E402

TOPOLOGY = HERE / "handbook" / "topology"
MAPS = (HERE / "maps" / "handbook.toml", HERE / "maps" / "handbook-disputes.toml")
DATA_SET = "handbook-transactions"
ALL_ROWS = 1 << 62
# how long a process may make no progress, and how long it may take at all
STALL_S = 180
LONGEST_S = 3 * 3600
LOOK_S = 0.25
SHOW_S = 5


def show(text):
    """Progress, beside what is the result."""
    print(text, file=sys.stderr, flush=True)


def records_of(data, topics):
    """Records of the topics so far."""
    return counted(lambda: Folder(data), lambda folder: sum(folder.count(topic) for topic in topics))


def follow(words, log, data, topics, told, total):
    """Runs to the end, showing how many records the topics have; seconds it took."""
    began = moved = shown = time.monotonic()
    reached = records_of(data, topics)
    with open(log, "ab") as out:
        process = CHILDREN.start(words, stdout=out, stderr=out)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
            break
        now, count = time.monotonic(), records_of(data, topics)
        if count != reached:
            reached, moved = count, now
        if now - shown >= SHOW_S:
            shown = now
            show(f"{told} {reached:,} of {total:,}")
        if now - moved > STALL_S or now - began > LONGEST_S:
            process.kill()
            process.wait()
            raise Failed(f"weir {words[3]} is not done after {now - began:.0f} s, without progress for the last "
                         f"{now - moved:.0f} s ({told} {reached:,} of {total:,}); see {log}")
    if process.returncode != 0:
        last = log.read_text(errors="replace").strip().splitlines()[-5:]
        raise Failed(f"weir {words[3]} ended with {process.returncode}: {' | '.join(last)}")
    return time.monotonic() - began


def decide(args, work, known):
    """The data folder with everything decided about."""
    data = work / "data"
    places = ["--topology", TOPOLOGY, "--data", data]
    limit = ["--limit", known.rows] if args.rows < ALL_ROWS else []
    weir = [args.weir, "--log"]
    took = 0.0
    for map_file, topic, total, told in ((MAPS[0], "transactions", known.rows, "payments loaded:"),
                                         (MAPS[1], "disputes", known.frauds, "disputes loaded:")):
        words = [*weir, "warn", "replay", *places, "--map", map_file, *limit, args.folder / "transactions.csv.zst"]
        took += follow(words, work / "replay.log", data, [topic], told, total)
    show(f"{known.rows:,} payments and {known.frauds:,} disputes loaded in {took:.1f} s")
    total = known.rows + known.frauds
    words = [*weir, "info", "run", *places, "--roles", "score", "--until-end"]
    took = follow(words, work / "run.log", data, ["decisions"], "decided:", total)
    show(f"decided about in {took:.1f} s, {total / took:,.0f} a second")
    return data


def feature_places():
    """Where a decision has the features of the columns, and how many it has."""
    path = TOPOLOGY / "features.toml"
    with open(path, "rb") as file:
        names = [feature["name"] for feature in tomllib.load(file)["feature"]]
    wanted = [column.feature for column in COLUMNS if column.feature]
    absent = [name for name in wanted if name not in names]
    if absent:
        raise Failed(f"{path} has no feature {absent[0]!r}")
    return [names.index(name) for name in wanted], len(names)


def contract_of_decisions():
    return Contract(json.loads((ROOT / "schemas" / "decision.avsc").read_text()))


def read_times(folder, ages):
    """When everything was decided about."""
    contract = contract_of_decisions()
    for payload in folder.payloads("decisions"):
        decision = {}
        contract.read(payload, contract.begin(payload), decision, contract.names[0], "decided_at")
        ages.decided(decision)


def read_decisions(folder, comparison):
    """Every decision about a payment goes into the comparison; how many there were."""
    contract = contract_of_decisions()
    places, size = feature_places()
    payments, sets, shown = 0, set(), time.monotonic()
    for payload in folder.payloads("decisions"):
        decision = {}
        at = contract.read(payload, contract.begin(payload), decision, contract.names[0], "subject_id")
        if decision["kind"] != "TRANSACTION":
            continue
        payments += 1
        number = int(decision["subject_id"])
        if comparison.place(number) is None:
            continue
        at = contract.read(payload, at, decision, contract.after("subject_id"), contract.names[-1])
        if at != len(payload):
            raise Damaged(f"decision {decision['decision_id']} has {len(payload) - at} bytes left over")
        features = decision["features"]
        sets.add(decision["feature_set"])
        if len(features) != size or len(sets) != 1:
            raise Failed(f"the decision about transaction {number} has {len(features)} features of set "
                         f"{decision['feature_set']}, expected the {size} of {TOPOLOGY / 'features.toml'}, all of one set")
        second, rest = divmod(decision["event_time"], 1000)
        if rest:
            raise Failed(f"transaction {number} was at {decision['event_time']} ms, expected whole seconds")
        if comparison.ages:
            comparison.ages.aged(number, decision["profile_age_ms"])
        comparison.decided(number, second, [features[place] for place in places])
        if time.monotonic() - shown >= SHOW_S:
            shown = time.monotonic()
            show(f"compared: {comparison.compared:,} of {comparison.rows:,}")
    return payments


def exported(args, work):
    """The payments' lines that a backtest exports: cells by column."""
    path = work / "features.csv"
    words = [args.weir, "--log", "warn", "backtest", "--topology", TOPOLOGY, "--data", args.folder / "transactions.csv.zst",
             "--map", MAPS[0], "--map", MAPS[1], "--export", path, "--json", work / "backtest.json"]
    if args.rows < ALL_ROWS:
        words += ["--limit", args.rows]
    with open(work / "backtest.log", "ab") as out:
        process = CHILDREN.start(words, stdout=out, stderr=out)
        try:
            code = process.wait(LONGEST_S)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise Failed(f"weir backtest is not done after {LONGEST_S} s") from error
    last = (work / "backtest.log").read_text(errors="replace").strip().splitlines()[-1:]
    if code != 0:
        raise Failed(f"weir backtest ended with {code}: {' | '.join(last)}")
    show(" ".join(last))
    with open(path, newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def read_exported(args, work, comparison, known):
    """Every exported payment goes into the comparison; what is wrong beside the columns."""
    wanted = [column.feature for column in COLUMNS if column.feature]
    payments = frauds = 0
    for line in exported(args, work):
        payments += 1
        frauds += line["label"] == "1"
        number = int(line["event_id"].removeprefix("tx-"))
        if comparison.place(number) is not None:
            second = int(datetime.datetime.fromisoformat(line["event_time"]).timestamp())
            comparison.decided(number, second, [float(line[name]) if line[name] else None for name in wanted])
    found = (("payments", payments, known.rows), ("frauds", frauds, known.frauds))
    return [f"{have:,} {what} exported, expected {want:,}" for what, have, want in found if have != want]


def problems_of(comparison, folder, known, payments):
    """What is wrong beside the columns."""
    problems = []
    missing, first = comparison.missing()
    if missing:
        problems.append(f"{missing:,} rows have no decision, the first is transaction {first}")
    if comparison.repeated:
        problems.append(f"{comparison.repeated:,} rows were decided about again, the first is transaction "
                        f"{comparison.repeated_first}")
    wanted = {"decisions about payments": known.rows, "transactions": known.rows, "disputes": known.frauds,
              "decisions": known.rows + known.frauds, "dead-letters": 0}
    for what, found in {"decisions about payments": payments, **folder.counts()}.items():
        if found != wanted[what]:
            problems.append(f"{found:,} {what}, expected {wanted[what]:,}")
    return problems


def table(report):
    width = max(len(column["name"]) for column in report["columns"])
    say(f"{'column'.ljust(width)}  {'rows':>8}  {'not 0':>8}  {'different':>9}  {'tied':>4}  {'aged':>5}  "
        f"{'largest':>8}  {'relative':>8}")
    for column in report["columns"]:
        verdict = "holds" if column["holds"] else "DIFFERS" if column["different"] else "INCOMPLETE"
        say(f"{column['name'].ljust(width)}  {column['rows']:>8,}  {column['not_zero']:>8,}  {column['different']:>9,}  "
            f"{column['different_tied']:>4}  {column['different_aged']:>5}  {column['largest_absolute']:>8.1e}  {column['largest_relative']:>8.1e}  "
            f"{verdict}")
        for example in column["examples"]:
            decided = "nothing" if example["decided"] is None else example["decided"]
            say(f"  transaction {example['transaction']}: {decided}, the book has {example['book']}")
    for problem in report["problems"]:
        say(problem)
    say(f"\n{report['compared']:,} of {report['rows']:,} rows compared; {report['ties']} of them share customer and second: "
        "only those may be one payment apart (tied)")
    vacuous = sum(column["not_zero"] == 0 for column in report["columns"])
    if vacuous:
        say(f"{vacuous} columns are 0 in all of these rows: a terminal's windows end seven days before the payment")
    if report.get("ages_ms"):
        half, most, oldest = report["ages_ms"]
        say(f"{report['aged']:,} rows differ by what was decided within the age of their profiles (aged), which was "
            f"{half} ms for half of them, {most} ms for 99 of 100, {oldest} ms at most")
    say("weir's features are the book's: proved" if report["holds"] else "NOT PROVED")


def compare(args, folder, known, ages=None):
    """The report. `ages`: of the profiles that the decisions read, where they were not up to date."""
    books = expected(args.folder, known.rows)
    comparison = Comparison(books, known.ties, lambda number: number < known.rows, ages)
    try:
        if ages:
            read_times(folder, ages)
        payments = read_decisions(folder, comparison)
        problems = problems_of(comparison, folder, known, payments)
    finally:
        folder.close()
    return report_of(comparison, known, problems, ages)


def report_of(comparison, known, problems, ages=None):
    """What the comparison found, and what is wrong beside it."""
    columns = []
    for column, tally in zip(COLUMNS, comparison.tallies):
        holds = tally.different == 0 and tally.rows == comparison.rows
        columns.append({"name": column.name, **vars(tally), "holds": holds})
    ties = sum(comparison.place(number) is not None for number in known.ties)
    report = {"rows": comparison.rows, "compared": comparison.compared, "ties": ties, "columns": columns,
              "problems": problems, "holds": comparison.holds() and not problems}
    if ages:
        report |= {"aged": len(comparison.aged), "ages_ms": ages.spread()}
    return report


def prove(args, work):
    try:
        known = facts(args.folder, args.rows)
        if args.backtest:
            comparison = Comparison(expected(args.folder, known.rows), known.ties, lambda number: number < known.rows, None)
            problems = read_exported(args, work, comparison, known)
            args.report = report_of(comparison, known, problems)
        elif args.kafka:
            store = broker.decide(args.weir, TOPOLOGY, args.folder, work, known.rows, known.rows + known.frauds, show)
            args.report = compare(args, store, known, Ages(args.folder, known.rows))
        else:
            args.report = compare(args, opened(args.decided or decide(args, work, known)), known)
    except (Damaged, Unusable, Failed, sqlite3.Error, ValueError, KeyError, OSError) as error:
        args.report = {"holds": False, "problems": [str(error)]}
        raise Failed(str(error)) from error
    if not args.json:
        table(args.report)
    return 0 if args.report["holds"] else 1


def compared(args):
    """The same for a folder that is there: nothing is started, nothing is left behind."""
    try:
        return prove(args, None)
    except Failed as error:
        say(f"FAILED: {error}")
        return 1


def opened(data):
    if not (data / "weir.db").is_file():
        raise Failed(f"{data} has no weir.db, expected a data folder")
    return Folder(data)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_sets", nargs="?", help="folder of the public data sets (default: ../shared/data)")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object on standard output")
    parser.add_argument("--weir", type=Path, metavar="FILE", help="this weir, instead of building one")
    parser.add_argument("--decided", type=Path, metavar="DIR", help="compare what this data folder has already")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the run, also when it holds")
    parser.add_argument("--self-test", action="store_true", help="try the comparison on right and wrong answers")
    parser.add_argument("--kafka", action="store_true", help="through a broker, paced, by two processes")
    parser.add_argument("--backtest", action="store_true", help="what a backtest exports, instead of decisions")
    args = parser.parse_args()
    given = os.environ.get("HANDBOOK_ROWS")
    args.rows = ALL_ROWS
    if given is not None:
        if not given.isdecimal() or int(given) < 1:
            parser.error(f"HANDBOOK_ROWS is {given!r}, expected a number of rows from 1 on")
        args.rows = int(given)
    # a relative folder is relative to where the script was called
    sets = Path(args.data_sets).resolve() if args.data_sets else (ROOT / "../shared/data").resolve()
    args.folder = sets / DATA_SET
    args.decided = args.decided and args.decided.resolve()
    args.weir = args.weir and args.weir.resolve()
    return args


def skipped(args):
    """Why there is nothing to do."""
    absent = [name for name in ("transactions.csv.zst", *FEATURE_FILES) if not (args.folder / name).is_file()]
    return f"skipped: {args.folder / absent[0]} is not there" if absent else None


def tried(args):
    seed = int(os.environ.get("SEED", 1))
    try:
        self_test.run(args.folder, seed, say)
    except (self_test.Wrong, Damaged, Unusable, sqlite3.Error, OSError) as error:
        say(f"FAILED (seed {seed}): {error}")
        return 1
    return 0


def main():
    args = arguments()
    why = skipped(args)
    if why:
        print(json.dumps({"holds": None, "skipped": why}) if args.json else why)
        return 0
    if args.self_test:
        return tried(args)
    if args.weir is None and args.decided is None:
        build()
        args.weir = BIN / "weir"
    if args.kafka and not os.environ.get("WEIR_TEST_BROKERS"):
        services = ROOT / "scripts" / "services"
        os.execv(services, [str(services), "run", "--kafka", "--", sys.executable, str(Path(__file__).resolve()), *sys.argv[1:]])
    args.report = {"holds": False, "problems": ["stopped"]}
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        code = compared(args) if args.decided else concluded(prove, args, "weir-handbook", args.keep)
    if args.json:
        print(json.dumps(args.report))
    return code


if __name__ == "__main__":
    sys.exit(main())
