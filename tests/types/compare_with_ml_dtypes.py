#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares conversions with those of ml_dtypes (and of numpy, for float16), pattern by pattern.

    compare_with_ml_dtypes.py path/to/convert_filter [stride]

All values of each format, the middles between them, and what lies next to both, as float32 and as
float64; and every stride-th float32 (4096 by default; 1 takes some minutes a format). Ends with 77,
which CTest reports as skipped, where ml_dtypes is missing.

Four differences of ml_dtypes 0.5.4 are known, and excepted:
- a NaN's sign and payload, which it does not promise;
- the NaNs of formats without one (float6, float4), of which it makes -0;
- numbers of float64 that are not of float32, which it rounds twice, by way of float32;
- into float8_e8m0fnu, numbers above 2^-127 and below 1.5 * 2^-127, which it rounds up to 2^-126.
In the last two MPFR agrees with this library (tests/ops/convert_exact_test.cc).
"""
import subprocess
import sys

try:
    import ml_dtypes
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

FORMATS = ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
           "float8_e5m2fnuz", "float8_e8m0fnu", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn"]


def differences(program, name, numbers):
    """How many of `numbers` become other patterns, and the first of them."""
    dtype = np.dtype(getattr(ml_dtypes, name, None) or name)
    raw = np.uint16 if dtype.itemsize == 2 else np.uint8
    got = np.frombuffer(
        subprocess.run([program, name, numbers.dtype.name], input=numbers.tobytes(),
                       stdout=subprocess.PIPE, check=True).stdout, dtype=raw)
    with np.errstate(all="ignore"):
        theirs = numbers.astype(dtype)
    expected = theirs.view(raw)
    if got.size != numbers.size:
        raise RuntimeError(f"{name}: {numbers.size} numbers gave {got.size} patterns")
    differ = got != expected
    has_nan = not name.startswith(("float6", "float4"))
    ignored = np.isnan(numbers)
    if has_nan:  # both must be NaN
        ignored &= np.isnan(got.view(dtype).astype(np.float32)) & np.isnan(
            theirs.astype(np.float32))
    with np.errstate(all="ignore"):
        ignored |= numbers != numbers.astype(np.float32)
    if name == "float8_e8m0fnu":
        ignored |= (numbers > 2.0**-127) & (numbers < 1.5 * 2.0**-127)
    wrong = np.flatnonzero(differ & ~ignored)
    first = ""
    if wrong.size:
        i = wrong[0]
        first = f"{float(numbers[i]).hex()} gives {got[i]:#x}, there {expected[i]:#x}"
    return wrong.size, first


def around_every_value(name, number):
    """The format's values, the middles between them, and their neighbours in type `number`."""
    dtype = np.dtype(getattr(ml_dtypes, name, None) or name)
    raw = np.uint16 if dtype.itemsize == 2 else np.uint8
    bits = {"float6_e2m3fn": 6, "float6_e3m2fn": 6, "float4_e2m1fn": 4}.get(
        name, 8 * dtype.itemsize)
    with np.errstate(all="ignore"):
        values = np.arange(1 << bits).astype(raw).view(dtype).astype(np.float64)
    values = np.unique(values[np.isfinite(values)])
    steps = np.diff(values)
    middles = values[:-1] + steps / 2
    beyond = [values[-1] + steps[-1] / 2, values[0] - steps[0] / 2, values[-1] + steps[-1]]
    points = np.concatenate([values, middles, beyond, [np.inf, -np.inf, np.nan, -0.0]])
    with np.errstate(all="ignore"):
        points = points.astype(number)
        return np.concatenate([points, np.nextafter(points, number(np.inf)),
                               np.nextafter(points, number(-np.inf))])


def main():
    program = sys.argv[1]
    stride = int(sys.argv[2]) if len(sys.argv) > 2 else 4096
    total = 0
    for name in FORMATS:
        for number in (np.float32, np.float64):
            count, first = differences(program, name, around_every_value(name, number))
            total += count
            print(f"{name} from {number.__name__}, around every value: {count} differ {first}")
        count = 0
        block = 1 << 24
        for begin in range(0, 1 << 32, block * stride):
            end = min(begin + block * stride, 1 << 32)
            numbers = np.arange(begin, end, stride, dtype=np.uint64).astype(np.uint32)
            here, first = differences(program, name, numbers.view(np.float32))
            if here and not count:
                print(f"first: {first}")
            count += here
        total += count
        print(f"{name} from float32, every {stride}: {count} differ", flush=True)
    sys.exit(1 if total else 0)


main()
