# SPDX-License-Identifier: Apache-2.0
"""NumPy as the other side of interop/dlpack.h: `dlpack_numpy.py LIBRARY`, the library of dlpack_numpy.cc.

Prints SKIPPED with the missing name where there is no NumPy of 1.22 (from_dlpack) or later.
"""
import ctypes
import gc
import sys

try:
    import numpy as np
    if not hasattr(np, "from_dlpack"):
        raise ImportError("numpy.from_dlpack (NumPy 1.22)")
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(0)

library = ctypes.CDLL(sys.argv[1])
python = ctypes.pythonapi
python.PyCapsule_New.restype = ctypes.py_object
python.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
python.PyCapsule_GetPointer.restype = ctypes.c_void_p
python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
python.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
UNUSED, USED = b"dltensor", b"used_dltensor"  # must outlive the capsules, which keep the pointers


class Producer:
    """A tensor of the library's, as NumPy expects it."""

    def __init__(self, dtype, rows, cols):
        make = getattr(library, f"make_{dtype}")
        make.restype, make.argtypes = ctypes.c_void_p, [ctypes.c_size_t] * 2
        self.tensor = make(rows, cols)

    def __dlpack__(self, stream=None):
        return python.PyCapsule_New(self.tensor, UNUSED, None)

    def __dlpack_device__(self):
        return (1, 0)


def change(dtype, array):
    """What the library says to NumPy's tensor, whose deleter it calls afterwards."""
    capsule = array.__dlpack__()
    tensor = python.PyCapsule_GetPointer(capsule, UNUSED)
    python.PyCapsule_SetName(capsule, USED)
    function = getattr(library, f"change_{dtype}")
    function.restype, function.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    message = function(tensor).decode()
    library.end_of_tensor(ctypes.c_void_p(tensor))
    return message


def check(condition, what):
    if not condition:
        sys.exit(f"failed: {what}")


for dtype in ("float32", "float16"):
    # halfway's matrix in NumPy, which outlives its producer and frees it.
    array = np.from_dlpack(Producer(dtype, 3, 4))
    gc.collect()
    expected = (10 * np.arange(3)[:, None] + np.arange(4) + 0.5).astype(dtype)
    check(array.dtype == dtype and np.array_equal(array, expected), f"{dtype}: values, {array}")
    part = array[1:, ::2]
    del array
    gc.collect()
    check(library.matrices_alive() == 1, f"{dtype}: freed while NumPy has a view of it")
    check(np.array_equal(part, expected[1:, ::2]), f"{dtype}: the view, {part}")
    del part
    gc.collect()
    check(library.matrices_alive() == 0, f"{dtype}: not freed")

    # NumPy's memory in halfway: dense, strided, transposed, a vector.
    whole = np.arange(48, dtype=dtype).reshape(6, 8)
    for name, x in (("dense", whole.copy()), ("strided", whole.copy()[1:5:2, 1::3]),
                    ("transposed", whole.copy().T), ("vector", whole.copy()[:, 3]), ("empty", whole[:0])):
        expected = 2 * x + (np.arange(x.shape[0], dtype=dtype)[:, None] if x.ndim == 2 else 0)
        references = sys.getrefcount(x)
        check(change(dtype, x) == "", f"{dtype}, {name}")
        check(np.array_equal(x, expected), f"{dtype}, {name}: {x} instead of {expected}")
        check(sys.getrefcount(x) == references, f"{dtype}, {name}: NumPy's array is kept")

    # What has no matrix_view is refused.
    check("none below 0" in change(dtype, whole[::-1]), "negative strides")
    check("in one place" in change(dtype, np.lib.stride_tricks.as_strided(whole, (3, 3), (0, whole.itemsize))),
          "overlapping rows")
    check("ndim (3)" in change(dtype, np.zeros((2, 2, 2), dtype)), "three dimensions")
    check("must be" in change(dtype, np.zeros((2, 2), "float64")), "another type")

print("NumPy", np.__version__, "and halfway share memory both ways")
