"""The Cython twin of carmine.protocol's encoder and key slots; part of the extension carmine._resp.

A command is packed whole or not at all, each argument from one look at it. A large one is not copied: the packer holds
what keeps its bytes in their place.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.string cimport memchr, memcpy, strlen

from carmine.errors import UsageError
from carmine.protocol._encoder import argument_error as _argument_error, command_words as _command_words
from carmine.protocol._encoder import secret_bytes as _secret_bytes

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bytes PyUnicode_AsUTF8String(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    double PyFloat_AS_DOUBLE(object value)
    char *PyOS_double_to_string(double value, char format, int precision, int flags, int *kind) except NULL
    int Py_DTSF_ADD_DOT_0
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object value) except? 0xFFFFFFFFFFFFFFFF

cdef Py_ssize_t KEPT = 1 << 20      # a buffer above this size is given back, or shrinks, when its content has


cdef inline char *put_header(char *at, char kind, Py_ssize_t count) noexcept:
    """Write a type byte, a count and CRLF, at most 23 bytes; return where they end."""
    cdef Py_ssize_t digits = 1, rest = count
    at[0] = kind
    if count < 10:
        at[1] = c"0" + <char>count
        at[2] = c"\r"
        at[3] = c"\n"
        return at + 4
    while rest > 9:
        rest //= 10
        digits += 1
    rest = digits
    while rest:
        at[rest] = c"0" + <char>(count % 10)
        count //= 10
        rest -= 1
    at[digits + 1] = c"\r"
    at[digits + 2] = c"\n"
    return at + digits + 3


cdef class Packer:
    """Commands as the bytes that go out; arguments from `by_reference` bytes on are kept as they are."""

    def __cinit__(self, Py_ssize_t by_reference=-1):
        self.buf = self.small
        self.cap = sizeof(self.small)
        self.by_reference = by_reference if by_reference > 0 else PY_SSIZE_T_MAX

    def __dealloc__(self):
        self.reset()
        if self.buf is not self.small:
            PyMem_Free(self.buf)
        PyMem_Free(self.segments)

    cdef int add(self, object words) except -1:
        """Append one command; on an error the packer must be reset."""
        cdef tuple fixed = words if type(words) is tuple else _command_words(words)
        if not fixed:
            raise UsageError("a command needs a name")
        self.reserve(24)
        self.length = put_header(self.buf + self.length, c"*", len(fixed)) - self.buf
        for word in fixed:
            self.add_word(word)
        return 0

    cdef int add_word(self, object word) except -1:
        cdef const char *data
        cdef Py_ssize_t length
        cdef double real
        cdef char *text
        if type(word) is bytes:
            return self.add_data(word, PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word))
        if isinstance(word, str):
            if PyUnicode_IS_COMPACT_ASCII(word):
                return self.add_data(word, <const char *>PyUnicode_DATA(word), PyUnicode_GET_LENGTH(word))
            try:
                if len(word) < 1024:
                    data = PyUnicode_AsUTF8AndSize(word, &length)
                    return self.add_data(word, data, length)
                # the UTF-8 form of a long text is not to stay with the text
                encoded = PyUnicode_AsUTF8String(word)
            except UnicodeEncodeError:
                raise _argument_error(word) from None
            return self.add_data(encoded, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))
        if isinstance(word, int):
            return self.add_int(word)
        if isinstance(word, float):
            real = PyFloat_AS_DOUBLE(word)
            if real != real:
                raise _argument_error(word)
            text = PyOS_double_to_string(real, c"r", 0, Py_DTSF_ADD_DOT_0, NULL)
            try:
                return self.add_data(None, text, strlen(text))
            finally:
                PyMem_Free(text)
        if isinstance(word, bytes):
            return self.add_data(word, PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word))
        if isinstance(word, (bytearray, memoryview)):
            return self.add_buffer(word)
        revealed = _secret_bytes(word)  # raises for what is no Secret
        return self.add_data(revealed, PyBytes_AS_STRING(revealed), PyBytes_GET_SIZE(revealed))

    cdef int add_int(self, object word) except -1:
        cdef char digits[24]
        cdef Py_ssize_t at = 24
        cdef int overflow = 0
        cdef long long number
        cdef unsigned long long positive
        if word is True or word is False:
            raise _argument_error(word)
        number = PyLong_AsLongLongAndOverflow(word, &overflow)
        if overflow:
            try:
                positive = PyLong_AsUnsignedLongLong(word)
            except OverflowError:
                raise _argument_error(word) from None
        else:
            positive = <unsigned long long>number if number >= 0 else -<unsigned long long>number
        while True:
            at -= 1
            digits[at] = c"0" + <char>(positive % 10)
            positive //= 10
            if not positive:
                break
        if number < 0 and not overflow:
            at -= 1
            digits[at] = c"-"
        return self.add_data(None, digits + at, 24 - at)

    cdef int add_buffer(self, object word) except -1:
        """Append a bytes-like object; while it goes out by reference, its export keeps it from changing size."""
        cdef Py_buffer view
        try:
            held = memoryview(word)
            PyObject_GetBuffer(held, &view, PyBUF_SIMPLE)
        except (TypeError, ValueError, BufferError):
            raise _argument_error(word) from None
        try:
            self.add_data(held, <const char *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        return 0

    cdef int add_data(self, object owner, const char *data, Py_ssize_t length) except -1:
        """Append one bulk string."""
        cdef Segment *grown
        cdef Py_ssize_t cap
        cdef bint copied = length < self.by_reference or owner is None
        cdef char *at
        self.reserve(length + 32 if copied else 32)
        at = put_header(self.buf + self.length, c"$", length)
        if copied:
            memcpy(at, data, length)
            at += length
        else:
            if self.nsegments == self.segments_cap:
                cap = max(self.segments_cap * 2, 4)
                grown = <Segment *>PyMem_Realloc(self.segments, cap * sizeof(Segment))
                if grown is NULL:
                    raise MemoryError
                self.segments = grown
                self.segments_cap = cap
            Py_INCREF(owner)
            self.segments[self.nsegments] = Segment(at - self.buf, <PyObject *>owner, data, length)
            self.nsegments += 1
        at[0] = c"\r"
        at[1] = c"\n"
        self.length = at + 2 - self.buf
        return 0

    cdef int reserve(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t cap
        cdef char *grown
        if self.cap - self.length >= more:
            return 0
        cap = max(self.cap * 2, 1024)
        while cap - self.length < more:
            cap *= 2
        if self.buf is self.small:
            grown = <char *>PyMem_Malloc(cap)
            if grown is not NULL:
                memcpy(grown, self.buf, self.length)
        else:
            grown = <char *>PyMem_Realloc(self.buf, cap)
        if grown is NULL:
            raise MemoryError
        self.buf = grown
        self.cap = cap
        return 0

    cdef void reset(self) noexcept:
        """Forget everything packed, and give back a buffer that has grown large."""
        cdef PyObject *owner
        self.length = 0
        while self.nsegments:
            self.nsegments -= 1
            owner = self.segments[self.nsegments].owner
            Py_XDECREF(owner)
        if self.cap > KEPT:
            PyMem_Free(self.buf)
            self.buf = self.small
            self.cap = sizeof(self.small)


def encode(*words):
    """Return one command as an array of bulk strings.

    Args:
        *words: The command's name and arguments: str goes out as UTF-8, bytes-like objects as they are, int and
            float as decimal text.

    Raises:
        UsageError: A word is nothing the protocol can carry (None, bool, nan, an int of more than 64 bits, a
            container), or there is none.
    """
    cdef Packer packer = Packer.__new__(Packer)
    packer.add(words)
    return PyBytes_FromStringAndSize(packer.buf, packer.length)


def encode_many(commands):
    """Return several commands, each a sequence of words, as one run of bytes; refused whole if one is bad."""
    cdef Packer packer = Packer.__new__(Packer)
    for words in commands:
        packer.add(words)
    return PyBytes_FromStringAndSize(packer.buf, packer.length)


cdef unsigned short CRC16[256]

cdef int _make_crc() except -1:
    cdef int byte, _bit, crc
    for byte in range(256):
        crc = byte << 8
        for _bit in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
        CRC16[byte] = crc
    return 0

_make_crc()


def key_slot(key):
    """Return the slot of a key, 0 to 16383.

    Only the hash tag counts where there is one: the bytes between the first "{" and the next "}", if any.

    Source: Redis Cluster specification, "Hash tags".
    """
    cdef bytes data
    cdef const unsigned char *p
    cdef const unsigned char *mark
    cdef Py_ssize_t start = 0, end, i
    cdef unsigned int crc = 0
    if isinstance(key, str):
        try:
            data = PyUnicode_AsUTF8String(key)
        except UnicodeEncodeError:
            raise UsageError("a str with a lone surrogate is no key; it has no UTF-8 form") from None
    elif isinstance(key, (bytes, bytearray, memoryview)):
        data = memoryview(key).tobytes()
    else:
        raise UsageError(f"a {type(key).__name__} is no key; send str or bytes")
    p = <const unsigned char *>PyBytes_AS_STRING(data)
    end = PyBytes_GET_SIZE(data)
    mark = <const unsigned char *>memchr(p, c"{", end)
    if mark is not NULL:
        i = mark - p + 1
        mark = <const unsigned char *>memchr(p + i, c"}", end - i)
        if mark is not NULL and mark - p > i:
            start = i
            end = mark - p
    for i in range(start, end):
        crc = ((crc << 8) & 0xFFFF) ^ CRC16[(crc >> 8) ^ p[i]]
    return crc & 0x3FFF
