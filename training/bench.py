#!/usr/bin/env python3
"""Times LightGBM, and Treelite's compiler where it is installed, on one model: a row at a time and in a batch.

One thread, random rows of which one value in ten is missing; medians of slices, in microseconds a row. "C API" calls
LightGBM's single-row function without Python's checks around it. "compiled" is the model as C code, built by tl2cgen
(pip install treelite tl2cgen) with the system's compiler and called through its own batch interface; it takes a minute
or so and is skipped with --no-compile.

example:
  python3 training/bench.py --model model.txt --rows 4096

exit: 0 measured, 1 LightGBM is not installed or cannot read the model, 2 wrong arguments
"""

import argparse
import ctypes
import os
import statistics
import sys
import tempfile
import time


SLICE = 128


def median(rounds, slices, call):
    """Microseconds a row, of slices so short that most of them are not interrupted."""
    times = []
    for _ in range(rounds):
        for part in slices:
            start = time.perf_counter()
            call(part)
            times.append((time.perf_counter() - start) * 1e6 / len(part))
    return statistics.median(times)


def sliced(rows):
    return [rows[at:at + SLICE] for at in range(0, len(rows), SLICE)]


def single_row(lightgbm, np, booster, rows):
    """LightGBM's fast single-row call, prepared once."""
    library = lightgbm.basic._LIB
    handle = ctypes.c_void_p()
    width = rows.shape[1]
    library.LGBM_BoosterPredictForMatSingleRowFastInit(
        booster._handle, ctypes.c_int(1), ctypes.c_int(0), ctypes.c_int(-1), ctypes.c_int(1), ctypes.c_int(width),
        ctypes.c_char_p(b"num_threads=1"), ctypes.byref(handle))
    answer, length = ctypes.c_double(), ctypes.c_int64()
    places = [ctypes.c_void_p(row.ctypes.data) for row in rows]
    to, count = ctypes.byref(answer), ctypes.byref(length)
    call = library.LGBM_BoosterPredictForMatSingleRowFast
    empty = library.LGBM_GetLastError

    def ask(part):
        for place in part:
            call(handle, place, count, to)

    def nothing(part):
        for _ in part:
            empty()

    # what the way through ctypes costs is taken off
    return median(11, sliced(places), ask) - median(11, sliced(places), nothing)


def compiled(booster_file, np, rows, folder):
    import tl2cgen
    import treelite
    model = treelite.frontend.load_lightgbm_model(booster_file)
    library = os.path.join(folder, "model.so")
    tl2cgen.export_lib(model, toolchain="gcc", libpath=library, params={"parallel_comp": 8}, verbose=False)
    predictor = tl2cgen.Predictor(library, nthread=1)
    parts = [tl2cgen.DMatrix(part, dtype="float64") for part in sliced(rows)]
    times = []
    for _ in range(7):
        for part in parts:
            start = time.perf_counter()
            predictor.predict(part, pred_margin=True)
            times.append((time.perf_counter() - start) * 1e6 / SLICE)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="LightGBM's text")
    parser.add_argument("--rows", type=int, default=4096, help="random rows, a multiple of 128 (default 4096)")
    parser.add_argument("--no-compile", action="store_true", help="without Treelite")
    args = parser.parse_args()
    if not os.path.isfile(args.model) or args.rows < SLICE or args.rows % SLICE:
        parser.error(f"--model {args.model}: no such file, or --rows {args.rows} is not a multiple of {SLICE}")
    try:
        import lightgbm
        import numpy as np
        booster = lightgbm.Booster(model_file=args.model)
    except Exception as error:  # not installed, or whatever it says of the file
        print(f"LightGBM: {error}", file=sys.stderr)
        return 1
    rng = np.random.default_rng(20240611)
    rows = rng.normal(size=(args.rows, booster.num_feature()))
    rows[rng.random(rows.shape) < 0.1] = np.nan
    python = median(1, sliced(rows[:512]), lambda part: [booster.predict(row[None, :], num_threads=1) for row in part])
    batch = median(7, sliced(rows), lambda part: booster.predict(part, num_threads=1, raw_score=True))
    one = single_row(lightgbm, np, booster, rows)
    print(f"LightGBM {lightgbm.__version__}, one row, Python       {python:8.2f} µs a row")
    print(f"LightGBM {lightgbm.__version__}, one row, C API        {one:8.2f} µs")
    print(f"LightGBM {lightgbm.__version__}, batches of {SLICE}        {batch:8.2f} µs")
    contrib = median(3, [rows[:4]], lambda part: booster.predict(part, num_threads=1, pred_contrib=True))
    print(f"LightGBM {lightgbm.__version__}, TreeSHAP              {contrib:8.1f} µs")
    if args.no_compile:
        return 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(f"compiled C, batches of {SLICE}            {compiled(args.model, np, rows, folder):8.2f} µs")
    except Exception as error:  # not installed, or no compiler
        print(f"compiled C: not measured: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
