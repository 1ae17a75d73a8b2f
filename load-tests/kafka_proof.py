#!/usr/bin/env python3
"""The proof on a real broker: mixed input at 10,000 events/s through weir while it, its rivals and
the broker are disturbed. Each scenario has topics of its own and ends with the judge's verdict.

    load-tests/mixed.sh --kafka [--quick] [--scenario NAME]... [--protocol classic|consumer|both] [DATA_SETS]
    load-tests/mixed.sh --kafka --store cassandra [--quick] [DATA_SETS]

Without a broker in WEIR_TEST_BROKERS it starts one with scripts/services and stops it whatever
happens. Without the data sets (default ../shared/data) simulated events take their place.
HANDBOOK_ROWS limits the largest data set, SEED says where the kills fall, VERIFY how many decisions
are decided again. Exit code 0 only if everything holds.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from kafka_lib import Failed, Input, ROOT, World, broker_session_s, build, concluded, say
from kafka_scenarios import NEEDS_BROKER, Options, QUICK, SCENARIOS, STORE_SCENARIOS, seconds_of
from kafka_control import CONTROL_SCENARIOS
from kafka_state import STATE_SCENARIOS

SCENARIOS = SCENARIOS | STATE_SCENARIOS | CONTROL_SCENARIOS
ALL = SCENARIOS | STORE_SCENARIOS

# of the consumer protocol: each costs the dead member's session
SLOW_KILLS = 2


def arguments():
    parser = argparse.ArgumentParser(prog="load-tests/mixed.sh --kafka", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_sets", nargs="?", default="../shared/data")
    parser.add_argument("--scenario", action="append", choices=[*ALL], help="only this one; may be repeated")
    parser.add_argument("--store", choices=["cassandra"], help="tables in a cluster: the scenarios that are about it, or those named")
    parser.add_argument("--protocol", choices=["classic", "consumer", "both"], help="of the group; default: what each scenario is for")
    parser.add_argument("--quick", action="store_true", help="some minutes: fewer events and kills, classic only")
    parser.add_argument("--kills", type=int, help="kills of weir in a scenario (10; 3 with --quick)")
    parser.add_argument("--seconds", type=float, help="of load at 10,000/s where a scenario asks for no more (25; 12 with --quick)")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and data")
    parser.add_argument("--no-build", action="store_true", help="take the programs as they are")
    return parser.parse_args()


def chosen(args):
    """Pairs of scenario and protocol, in the order of the table."""
    usual_ones = STORE_SCENARIOS if args.store else SCENARIOS
    asked = args.scenario or (QUICK if args.quick and not args.store else [*usual_ones])
    pairs = []
    for protocol in ("classic", "consumer"):
        for name, (_, usual) in ALL.items():
            wanted = {None: usual, "both": ("classic", "consumer")}.get(args.protocol, (args.protocol,))
            if args.protocol is None and (args.quick or (args.scenario and not usual)):
                wanted = ("classic",)
            if not args.scenario and not usual:
                continue
            if name in asked and protocol in wanted:
                pairs.append((name, protocol))
    return pairs


def run_one(name, protocol, options, work, brokers, given):
    """A row of the summary, and whether it holds."""
    say(f"\n== {name}, {protocol} protocol: {ALL[name][0].__doc__.splitlines()[0]}")
    began = time.monotonic()
    world = None
    try:
        world = World(work, brokers, given, name, protocol, options.store)
        world.begin()
        result = ALL[name][0](world, options)
        row = [name, protocol, f"{result.events:,}", str(result.kills), seconds_of(result.recovery), "holds", result.note]
        say(f"   {result.events:,} events, {result.note}; recovery max/median {seconds_of(result.recovery)} s: the judge agrees "
            f"({time.monotonic() - began:.0f} s)")
        return row, True
    except Failed as error:
        say(f"   FAILED: {error} ({time.monotonic() - began:.0f} s; logs in {work / f'{name}-{protocol}'})")
        return [name, protocol, "-", "-", "-", "FAILED", str(error).splitlines()[0][:160]], False
    finally:
        if world:
            world.close([f"{name}.{protocol}.", f"{name}.{protocol}-killed."] if name == "strict" else [world.prefix])


def table(rows):
    head = ["scenario", "protocol", "events", "kills", "recovery max/median s", "verdict", ""]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(6)]
    for row in [head, *rows]:
        say("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[6]]).rstrip())


def prove(args, work):
    brokers = os.environ["WEIR_TEST_BROKERS"]
    pairs = chosen(args)
    given = Input(args.data_sets, work)
    given.prepare(most=700_000)
    options = Options(seed=int(os.environ.get("SEED", 1)), verify=int(os.environ.get("VERIFY", 50_000)), quick=args.quick,
                      kills=args.kills or (3 if args.quick else 10), seconds=args.seconds or ((4 if args.store else 12) if args.quick else 25),
                      store=args.store)
    kills = options.kills
    rows, holds, began = [], True, time.monotonic()
    for name, protocol in pairs:
        if name in NEEDS_BROKER and "WEIR_TEST_SERVICES" not in os.environ:
            rows.append([name, protocol, "-", "-", "-", "left out", "the broker is not ours to disturb"])
            continue
        slow = protocol == "consumer" and broker_session_s() > 15 and not args.kills
        options.kills = min(kills, SLOW_KILLS) if slow else kills
        row, good = run_one(name, protocol, options, work, brokers, given)
        rows.append(row)
        holds = holds and good
    say("")
    table(rows)
    say(f"\n{'proved' if holds else 'NOT PROVED'} in {(time.monotonic() - began) / 60:.1f} min")
    return 0 if holds else 1


def main():
    args = arguments()
    given = Path(args.data_sets)
    # a relative folder is relative to where the script was called
    args.data_sets = given if given.is_absolute() else (ROOT if args.data_sets == "../shared/data" else Path.cwd()) / given
    build(args.no_build)
    if not os.environ.get("WEIR_TEST_BROKERS"):
        services = ROOT / "scripts" / "services"
        wanted = ["--kafka", "--cassandra"] if args.store else ["--kafka"]
        os.execv(services, [str(services), "run", *wanted, "--", sys.executable, str(Path(__file__).resolve()), *sys.argv[1:]])

    return concluded(prove, args, "weir-proof", args.keep)


if __name__ == "__main__":
    sys.exit(main())
