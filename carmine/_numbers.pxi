"""The Cython twin of carmine.protocol._numbers, part of carmine._resp; narrower than int() and float()."""

from cpython.long cimport PyLong_FromLongLong
from cpython.object cimport PyObject
from libc.string cimport memcmp

cdef extern from "Python.h":
    double PyOS_string_to_double(const char *text, char **end, PyObject *overflow) except? -1.0

cdef object DIGITS_AT_ONCE = 10 ** 4000     # below CPython's limit of 4,300 digits for int()


cdef object parse_integer(const char *data, Py_ssize_t length):
    """Return the integer of an optional sign and ASCII digits, of any length, or None."""
    cdef Py_ssize_t i = 0, stop
    cdef bint negative = False
    cdef unsigned long long small = 0
    if length and (data[0] == c"-" or data[0] == c"+"):
        negative = data[0] == c"-"
        i = 1
    if i == length:
        return None
    for stop in range(i, length):
        if data[stop] < c"0" or data[stop] > c"9":
            return None
    if length - i <= 18:
        while i < length:
            small = small * 10 + (data[i] - c"0")
            i += 1
        return PyLong_FromLongLong(-<long long>small if negative else <long long>small)
    stop = i + (length - i - 1) % 4000 + 1
    value = int(data[i:stop])
    while stop < length:
        value = value * DIGITS_AT_ONCE + int(data[stop:stop + 4000])
        stop += 4000
    return -value if negative else value


cdef bint is_digit(char byte) noexcept:
    return c"0" <= byte <= c"9"


cdef double[16] POWERS = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15]


cdef object parse_double(const char *data, Py_ssize_t length):
    """Return the float, or None: strtod() would take hex, spaces, bare dots and "infinity" too."""
    cdef char *end
    cdef double value
    cdef Py_ssize_t first = length and (data[0] == c"-" or data[0] == c"+"), dot = -1, i = 0
    cdef unsigned long long digits = 0
    if length - first == 3 and (memcmp(data + first, b"inf", 3) == 0 or memcmp(data + first, b"nan", 3) == 0):
        if first and data[0] == c"+":
            return None
    elif length == first or not is_digit(data[first]):
        return None
    for i in range(first, length):
        if is_digit(data[i]):
            digits = digits * 10 + (data[i] - c"0")
        elif data[i] == c"." and is_digit(data[i - 1]) and is_digit(data[i + 1]) and dot < 0:
            dot = i
        else:
            break
    else:
        if length - first < 16:  # one division of exact numbers rounds as it should
            value = digits / POWERS[length - 1 - dot if dot > 0 else 0]
            return -value if data[0] == c"-" else value
    if data[i] == c".":
        return None
    value = PyOS_string_to_double(data, &end, NULL)  # which stops at the line's CR
    return value if end == data + length else None
