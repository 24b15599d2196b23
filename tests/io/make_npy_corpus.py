#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the files of tests/io/corpus/npy with NumPy (1.24.2 wrote those that are there).

    make_npy_corpus.py <folder>

Element k, counted in C's order, is k - 5 in signed types, k in unsigned ones, k odd in bool. numpy.save
writes them, but for other versions than 1.0, which numpy.lib.format.write_array can.
"""
import pathlib
import sys

import numpy as np

folder = pathlib.Path(sys.argv[1])


def values(descr, shape):
    k = np.arange(int(np.prod(shape, dtype=int)))
    kind = np.dtype(descr).kind
    x = k % 2 == 1 if kind == "b" else k if kind == "u" else k - 5
    return x.astype(descr).reshape(shape)


def write(name, array, version=None):
    with open(folder / f"{name}.npy", "wb") as file:
        np.lib.format.write_array(file, array, version=version)


for code in ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]:
    np.save(folder / f"{code}.npy", values(code, (2, 3)))
np.save(folder / "f4_big.npy", values(">f4", (2, 3, 4)))
np.save(folder / "f4_fortran.npy", np.asfortranarray(values("<f4", (2, 3, 4))))
np.save(folder / "i2_big_fortran.npy", np.asfortranarray(values(">i2", (2, 3, 4))))
np.save(folder / "f4_scalar.npy", values("f4", ()))
np.save(folder / "f4_line.npy", values("f4", (12,)))
np.save(folder / "f4_empty.npy", values("f4", (0, 3)))
write("f4_version2", values("f4", (2, 3)), (2, 0))
write("f4_version3", values("f4", (2, 3)), (3, 0))
# What ml_dtypes' arrays are to NumPy: void, but for the order of bytes in the name, which NumPy's own
# void has not. 1, -2 and NaN as bfloat16; 1, -2 and 448 as float8_e4m3fn.
np.save(folder / "void2.npy", np.array([0x3F80, 0xC000, 0x7FC0], "<u2").view("V2"))
np.save(folder / "void1.npy", np.array([0x38, 0xC0, 0x7E], "u1").view("V1"))
# Objects are pickles, which are programs.
np.save(folder / "objects.npy", np.array([1, "a"], dtype=object), allow_pickle=True)
np.save(folder / "structured.npy", np.zeros(2, dtype=[("a", "<f4"), ("b", "<i2")]))
np.save(folder / "complex.npy", np.zeros(2, dtype="<c8"))
