# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The Cython twin of carmine.protocol's parser (docs/protocol.md is the grammar).

One extension of four files, since what Cython adds to each weighs more than most of them (ADR 9): the texts of numbers
are in _numbers.pxi, the encoder and key slots in _pack.pxi, a command and a pipeline's queue in _command.pxi.

It follows the pure twin paragraph by paragraph and raises the same errors at the same offsets. Values wait on one
stack until their aggregate is complete, so a declared count never allocates: the stack grows with received bytes.
No pointer into a buffer is kept across a call that may move it.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_New, PyDict_SetItem
from cpython.exc cimport PyErr_Clear
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_FromLongLong
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memchr, memcpy, memmove

from carmine.errors import DecodeError, ProtocolError, UsageError, server_error
from carmine.protocol import limits as _limits
from carmine.protocol.values import NEED_DATA as _NEED_DATA, Attributed, Push, Verbatim, map_of, set_of

cdef extern from "Python.h":
    int resize_bytes "_PyBytes_Resize"(PyObject **obj, Py_ssize_t size)
    PyObject *PyBytes_New "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    char *PyBytes_DATA "PyBytes_AS_STRING"(PyObject *obj)
    Py_ssize_t Py_REFCNT(PyObject *obj)
    # as above, but the reference is ours, and NULL is looked at
    PyObject *bytes_or_null "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size)
    PyObject *text_or_null "PyUnicode_DecodeUTF8"(const char *data, Py_ssize_t size, const char *errors)
    PyObject *int_or_null "PyLong_FromLongLong"(long long value)
    bint is_int "PyLong_CheckExact"(PyObject *obj)
    bint is_float "PyFloat_CheckExact"(PyObject *obj)

include "_numbers.pxi"
include "_pack.pxi"
include "_command.pxi"

__all__ = [
    "Command",
    "Parser",
    "Reply",
    "ReplyQueue",
    "Spec",
    "encode",
    "encode_many",
    "flags_of",
    "key_slot",
    "modes_of",
    "rows_of",
    "settle_each",
    "words_of",
]

cdef object NEED_DATA = _NEED_DATA
cdef object GO_ON = object()        # what a step returns that completed no value

cdef Py_ssize_t LARGE_BULK = _limits.LARGE_BULK
cdef Py_ssize_t MAX_HEADER = _limits.MAX_HEADER
cdef Py_ssize_t MAX_NUMBER = _limits.MAX_NUMBER
cdef Py_ssize_t NUMBER_KEYS = _limits.NUMBER_KEYS
cdef Py_ssize_t SMALL = 16384       # bytes of a buffer at rest
cdef bytes OK_BYTES = b"OK"
cdef str OK_TEXT = "OK"

# What a type byte is, per protocol version; 0 where no reply begins like this.
cdef enum:
    LINE = 1, NUMBER, BULK, AGGREGATE, HEADER

cdef unsigned char TYPES[2][256]
cdef unsigned char NULL_OK[256]

cdef int _make_tables() except -1:
    for version in range(2):
        for byte in range(256):
            TYPES[version][byte] = 0
    for byte in range(256):
        NULL_OK[byte] = byte in _limits.NULLABLE
    for byte in b"+-":
        TYPES[0][byte] = TYPES[1][byte] = LINE
    TYPES[0][c":"] = TYPES[1][c":"] = HEADER
    TYPES[0][c"$"] = TYPES[1][c"$"] = BULK
    TYPES[0][c"*"] = TYPES[1][c"*"] = AGGREGATE
    for byte in b"_#.":
        TYPES[1][byte] = HEADER
    for byte in b",(":
        TYPES[1][byte] = NUMBER
    for byte in b"=!;":
        TYPES[1][byte] = BULK
    for byte in b"%~|>":
        TYPES[1][byte] = AGGREGATE
    return 0

_make_tables()


cdef class _Window:
    """Memory lent out by Parser.get_buffer: it lives as long as the views of it, whatever the parser does."""

    cdef object owner
    cdef char *data
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.size, 0, flags)


cdef class Parser:
    """Parse a stream of RESP2 or RESP3 replies.

    Args:
        protocol: 2 or 3. A RESP3 type on a RESP2 stream is a ProtocolError. May be set between two replies.
        decode: Give strings as text (True) or bytes. May be set before each reply.
        limits: Bounds on what is accepted.
        attributes: Wrap a value that has attributes in Attributed; False drops them.
    """

    def __cinit__(self):
        self.version = 3  # every other field is right as it is: zero, NULL or None

    def __init__(self, int protocol=3, bint decode=False, limits=_limits.DEFAULT_LIMITS, bint attributes=False):
        self.protocol = protocol
        self.decode = self.push_decode = decode
        self.each = False
        self.attributes = attributes
        self.limits_ = limits
        self.max_depth, self.max_bulk, self.max_elements, self.max_line, _ = _limits.bounded(limits)

    def __dealloc__(self):
        self.clear()
        PyMem_Free(self.frames)
        PyMem_Free(self.values)

    @property
    def protocol(self):
        """The RESP version of the stream, 2 or 3."""
        return self.version

    @protocol.setter
    def protocol(self, int version):
        if version != 2 and version != 3:
            raise ValueError("protocol must be 2 or 3")
        self.version = version

    @property
    def limits(self):
        """The bounds on what is accepted."""
        return self.limits_

    @property
    def is_idle(self):
        """Whether the stream stands between two replies, with no byte left over."""
        return self.between_replies()

    @property
    def is_in_push(self):
        """Whether what has come of the next reply is the beginning of a push; `carmine.transport` asks."""
        return self.push_begun()

    cdef bint push_begun(self) noexcept:
        if self.depth:
            return self.frames[0].kind == c">"
        return not self.body and self.start < self.end and self.buf[self.start] == c">"

    @cython.binding(False)
    def feed(self, data):
        """Take over bytes of the stream; what comes after a ProtocolError is ignored.

        Raises:
            ProtocolError: The stream had ended.
        """
        cdef Py_buffer view
        cdef Py_ssize_t done = 0, space
        cdef char *into
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)  # which may run anything, another call of this parser too
        try:
            self.check_free()
            if self.failure is not None or self.torn:
                return
            if self.ended and view.len:
                self.fail("bytes came after the end of the stream", self.end)
            self.lent = 0
            self.torn = True  # until every byte is in
            while done < view.len:
                into = self.room(view.len - done, &space)
                if space > view.len - done:
                    space = view.len - done
                memmove(into, <char *>view.buf + done, space)
                self.took(space)
                done += space
            self.torn = False
        finally:
            PyBuffer_Release(&view)

    def get_buffer(self, Py_ssize_t hint):
        """Return memory to receive into; `received` says how much of it was used."""
        cdef _Window window = _Window.__new__(_Window)
        self.check_free()
        window.data = self.room(min(max(hint, SMALL), LARGE_BULK), &window.size)
        window.owner = <object>(self.large if self.fills_large() else self.store)
        self.lent = window.size
        return memoryview(window)

    def received(self, Py_ssize_t count):
        """Take over the first `count` bytes of the memory that `get_buffer` gave.

        Raises:
            ValueError: That is more than it gave, or it was not asked since the last bytes.
            ProtocolError: The stream had ended.
        """
        self.check_free()
        if not 0 <= count <= self.lent:
            raise ValueError("more bytes than get_buffer gave")
        self.lent = 0
        if self.ended and count:
            self.fail("bytes came after the end of the stream", self.end)
        if self.failure is None and not self.torn:
            self.took(count)

    def feed_eof(self):
        """Say that the stream has ended; replies that were not read before are lost.

        Raises:
            ProtocolError: It ended inside a reply.
        """
        self.check_free()
        if self.failure is not None or self.torn:
            self.refuse()
        if not self.between_replies():
            self.fail("the stream ended inside a reply", self.end)
        self.ended = True

    @cython.binding(False)
    def next_reply(self):
        """Return the next reply or push, or NEED_DATA.

        An error reply is returned as a ServerError. A text that is not UTF-8 makes its whole reply a DecodeError;
        with `each` set, only the element of the outer array that holds it.

        Raises:
            ProtocolError: The stream is not RESP, or exceeds a limit; the same for ever after.
        """
        cdef bint is_push = False
        cdef object value
        self.check_free()
        self.lent = 0  # what comes next may belong elsewhere once a bulk has begun
        self.busy = True
        try:
            value = self.advance(&is_push)
        except BaseException:
            self.busy = False
            raise
        self.busy = False
        return value

    cdef int check_free(self) except -1:
        """Refuse a second user: a parser belongs to one connection, which has one user at a time."""
        if self.busy:
            raise UsageError("this parser is in use by another thread")
        return 0

    cdef object advance(self, bint *is_push):
        """Return the next reply or push, or NEED_DATA; for the one that holds `busy`."""
        cdef object value
        is_push[0] = False
        if self.failure is not None or self.torn:
            self.refuse()
        self.torn = True  # stays so when anything is raised: half a reply is never gone on with
        value = self.parse(is_push)
        self.torn = False
        return value

    cdef object parse(self, bint *is_push):
        cdef object value
        cdef Frame *top
        cdef Py_ssize_t length
        while True:
            # One step: a body, or a line. It ends with a value to deliver, or goes on.
            if self.body:
                if not self.has_body():
                    return NEED_DATA
                value = self.take_body()
            else:
                value = self.run() if self.depth and self.bad is None else GO_ON
                if value is GO_ON:
                    value = self.take_line()
                    if value is NEED_DATA:
                        return NEED_DATA
            if value is GO_ON:
                continue
            # Deliver the value: into the open aggregate, which may complete it, or to the caller.
            while True:
                if self.is_push:  # no reply, no element: it leaves the replies around it as they are
                    self.is_push = False
                    is_push[0] = True
                    return value
                if not self.depth:
                    if self.bad is not None:
                        value = self.bad
                        self.bad = None
                    return value
                top = &self.frames[self.depth - 1]
                if self.bad is not None and self.each and self.depth == 1 and top.kind == c"*":
                    value = self.bad
                    self.bad = None
                self.push_value(value)
                if top.remaining > 1:
                    top.remaining -= 1
                    break
                if top.remaining < 0:
                    length = self.nvalues - top.base
                    if length > (self.max_elements * 2 if top.kind == c"%" else self.max_elements):
                        self.fail("an aggregate has more elements than the limit", self.start)
                    break
                value = self.close_frame()
                if value is GO_ON:
                    break

    cdef object run(self):
        """Take bulk strings, integers, doubles and arrays of them, until something else comes.

        Most of every long reply is these; whatever is rarer, wrong or incomplete is left to the other steps. Returns a
        value that completes more than an inner array, else GO_ON.
        """
        cdef const char *at = self.buf + self.start
        cdef const char *end = self.buf + self.end
        cdef const char *p
        cdef Frame *top = &self.frames[self.depth - 1]
        cdef bint as_text = self.push_decode if self.in_push else self.decode
        cdef object value = None, number
        cdef PyObject *one
        cdef Py_ssize_t n
        cdef int digit
        while top.remaining > 0 and end - at >= 4:
            if top.remaining == 1 and (top.kind != c"*" or self.depth == 1):
                break
            if self.nvalues == self.values_cap:
                self.grow_values()
            p = at + 1
            if at[0] == c"$" or at[0] == c":" or at[0] == c"*":
                n = p[0] - c"0"
                if not 0 <= n <= 9:
                    break
                p += 1
                while n and p < end and p - at < 19:
                    digit = p[0] - c"0"
                    if not 0 <= digit <= 9:
                        break
                    n = n * 10 + digit
                    p += 1
                if end - p < 2 or p[0] != c"\r" or p[1] != c"\n":
                    break
                p += 2
            elif at[0] != c"," or self.version != 3:
                break
            if at[0] == c"$":
                if n > self.max_bulk or n > end - p - 2 or p[n] != c"\r" or p[n + 1] != c"\n":
                    break
                one = text_or_null(p, n, NULL) if as_text else bytes_or_null(p, n)
                p += n + 2
            elif at[0] == c":":
                one = int_or_null(n)
            elif at[0] == c"*":
                if not n or n > self.max_elements or self.depth >= self.max_depth:
                    break
                self.open_frame(c"*", n, 0)
                top = &self.frames[self.depth - 1]
                at = p
                continue
            else:
                while p < end and p - at < 32 and p[0] != c"\r":
                    p += 1
                if end - p < 2 or p[0] != c"\r" or p[1] != c"\n":
                    break
                number = parse_double(at + 1, p - at - 1)
                if number is None:
                    break
                one = <PyObject *>number
                Py_INCREF(number)
                p += 2
            if one is NULL:
                PyErr_Clear()
                break
            at = p
            self.values[self.nvalues] = one
            self.nvalues += 1
            top.remaining -= 1
            while not top.remaining:  # an inner array is complete
                value = self.take(top.base)
                Py_XDECREF(top.bad)
                top.bad = NULL
                self.depth -= 1
                top = &self.frames[self.depth - 1]
                if top.remaining < 0 or top.remaining == 1 and (top.kind != c"*" or self.depth == 1):
                    self.start = at - self.buf
                    return value
                self.push_value(value)
                top.remaining -= 1
        self.start = at - self.buf
        return GO_ON

    cdef object take_line(self):
        """Return the value of the line that begins here, or open what it is the header of."""
        cdef object value
        cdef const char *p
        cdef char *cr
        cdef unsigned char kind
        cdef int sort
        cdef Py_ssize_t at, stop, length, limit
        cdef long long count
        cdef Frame *top
        if self.start >= self.end:
            return NEED_DATA
        p = self.buf + self.start
        kind = p[0]
        sort = TYPES[self.version - 2][kind]
        if not sort:
            self.fail(f"no RESP{self.version} type begins like this", self.start)
        if kind == c";" or self.depth and self.frames[self.depth - 1].kind == c"$":
            if kind != c";" or not self.depth or self.frames[self.depth - 1].kind != c"$":
                self.fail("a chunk and a streamed string belong together", self.start)
        # The common line: a plain decimal of up to 18 digits, complete.
        count = -1
        if sort >= BULK:
            at = self.start + 1
            stop = at + 18 if at + 18 < self.end else self.end
            count = 0
            while at < stop and c"0" <= self.buf[at] <= c"9":
                count = count * 10 + (self.buf[at] - c"0")
                at += 1
            length = at - self.start - 1
            if (not length or at + 1 >= self.end or self.buf[at] != c"\r" or self.buf[at + 1] != c"\n"
                    or (p[1] == c"0" and length > 1)):
                count = -1
            else:
                stop = at + 2
        if count < 0:
            limit = self.max_line if sort == LINE else MAX_NUMBER if sort == NUMBER else MAX_HEADER
            at = self.start + 1 if self.scanned < self.start + 1 else self.scanned
            cr = <char *>memchr(self.buf + at, c"\r", self.end - at) if at < self.end else NULL
            at = cr - self.buf if cr is not NULL else self.end
            if at - self.start - 1 > limit:
                self.fail("a line is longer than the limit", self.start)
            if cr is NULL or at + 1 >= self.end:
                self.scanned = at
                return NEED_DATA
            if self.buf[at + 1] != c"\n":
                self.fail("a CR is not followed by LF", self.start)
            length = at - self.start - 1
            stop = at + 2
        p += 1  # the line is p[:length]; the next one begins at `stop`
        if kind == c":":
            value = PyLong_FromLongLong(count) if count >= 0 else parse_integer(p, length)
            if value is None or (length > 18 and not -(1 << 63) <= value < (1 << 63)):
                self.fail("an integer is not a signed 64-bit decimal", self.start)
            self.start = stop
        elif sort == LINE:
            if memchr(p, c"\n", length) is not NULL:
                self.fail("a line holds LF", self.start)
            if kind == c"+":
                value = self.text(p, length)
            else:
                value = server_error(PyUnicode_DecodeUTF8(p, length, "replace"))
            self.start = stop
        elif sort == BULK or sort == AGGREGATE:
            if count < 0:
                count = self.odd_count(kind, sort, p, length)
            if sort == BULK:
                if count > (self.max_bulk - self.streamed if kind == c";" else self.max_bulk):
                    self.fail("a bulk string is longer than the limit", self.start)
                if count == -2:
                    self.open_frame(kind, -1, self.start)
                    self.streamed = 0
                    self.start = stop
                    return GO_ON
                if count >= 0 and (kind != c";" or count):
                    if kind == c"=" and count < 4:
                        self.fail("a verbatim string is shorter than its format", self.start)
                    self.start = stop
                    self.body = kind
                    self.body_len = count
                    if kind == c";":
                        self.streamed += count
                    return GO_ON
                self.start = stop
                value = None
                if kind == c";":
                    value = self.close_frame()
            elif count == -1:
                self.start = stop
                value = None
            else:
                if count > self.max_elements:
                    self.fail("an aggregate has more elements than the limit", self.start)
                length = -1 if count < 0 else count * 2 if kind == c"%" or kind == c"|" else count
                self.open_frame(kind, length, self.start)
                self.start = stop
                if count:
                    return GO_ON
                value = self.close_frame()
        elif kind == c"_":
            if length:
                self.fail("a null is not empty", self.start)
            value = None
            self.start = stop
        elif kind == c"#":
            if length != 1 or (p[0] != c"t" and p[0] != c"f"):
                self.fail("a boolean is neither t nor f", self.start)
            value = p[0] == c"t"
            self.start = stop
        elif kind == c",":
            value = parse_double(p, length)
            if value is None:
                self.fail("a double is not a decimal number, inf or nan", self.start)
            self.start = stop
        elif kind == c"(":
            value = parse_integer(p, length)
            if value is None:
                self.fail("a big number is not a decimal", self.start)
            self.start = stop
        else:  # the end mark
            if length:
                self.fail("an end mark is not empty", self.start)
            if not self.depth or self.frames[self.depth - 1].remaining >= 0:
                self.fail("an end mark stands outside a streamed aggregate", self.start)
            top = &self.frames[self.depth - 1]
            if top.kind == c"%" and (self.nvalues - top.base) % 2:
                self.fail("a streamed map ends after a key", self.start)
            value = self.close_frame()
            self.start = stop
        return value

    cdef long long odd_count(self, int kind, int sort, const char *p, Py_ssize_t length) except? -9:
        """Return the length or count of a header that is no short decimal; -1 is null, -2 streamed."""
        if length == 2 and p[0] == c"-" and p[1] == c"1" and NULL_OK[kind]:
            return -1
        if length == 1 and p[0] == c"?" and self.version == 3 and kind in (c"$", c"*", c"%", c"~"):
            return -2
        number = parse_integer(p, length)
        if number is None or not c"1" <= p[0] <= c"9":
            self.fail("a length is not a plain decimal", self.start)
        return 1 << 62 if number >= 1 << 62 else number  # above every limit

    cdef object text(self, const char *data, Py_ssize_t length):
        """Return a string of the reply as it was asked for."""
        if length == 2 and data[0] == c"O" and data[1] == c"K":
            return OK_TEXT if (self.push_decode if self.in_push else self.decode) else OK_BYTES
        if not (self.push_decode if self.in_push else self.decode):
            return PyBytes_FromStringAndSize(data, length)
        try:
            return PyUnicode_DecodeUTF8(data, length, NULL)
        except UnicodeDecodeError:
            bad = DecodeError(PyBytes_FromStringAndSize(data, length))
            if self.bad is None:
                self.bad = bad
            return bad

    cdef bint has_body(self) except -1:
        """Whether the bulk's body and its CRLF have come; one that is long goes into its own object from now on."""
        cdef Py_ssize_t have
        if self.large is not NULL:
            return self.large_got == self.body_len and self.end - self.start >= 2
        have = self.end - self.start
        if have >= self.body_len + 2:
            return True
        if self.body_len > LARGE_BULK:
            have = min(have, self.body_len)
            self.large_cap = min(self.body_len, max(LARGE_BULK, have))
            self.large = PyBytes_New(NULL, self.large_cap)
            memcpy(PyBytes_DATA(self.large), self.buf + self.start, have)
            self.large_got = have
            self.start += have
        return False

    cdef object take_body(self):
        """Return the value of the bulk whose body is complete; a chunk goes to its string, as bytes."""
        cdef int kind = self.body
        cdef Py_ssize_t length = self.body_len, tail = self.start
        cdef const char *data = self.buf + self.start
        cdef object whole = None, value
        cdef bint as_text = self.push_decode if self.in_push else self.decode
        if self.large is not NULL:
            whole = <object>self.large
            data = PyBytes_AS_STRING(whole)
        else:
            tail += length
        if self.buf[tail] != c"\r" or self.buf[tail + 1] != c"\n":
            self.fail("a bulk string does not end with CRLF", tail)
        if kind == c"=" and data[3] != c":":
            self.poison("a verbatim string has no colon after its format", self.base + tail - length,
                        PyBytes_FromStringAndSize(data, min(length, 40)))
        if kind == c"!":
            value = server_error(PyUnicode_DecodeUTF8(data, length, "replace"))
        elif kind == c"=":
            value = Verbatim(data[:3].decode("latin-1"), self.text(data + 4, length - 4))
        elif kind == c"$" and as_text:
            value = self.text(data, length)
        elif whole is None:
            value = PyBytes_FromStringAndSize(data, length)
        else:
            value = whole
        Py_XDECREF(self.large)  # `whole` has its own reference
        self.large = NULL
        self.body = 0
        self.start = tail + 2
        if kind == c";":
            self.push_value(value)
            return GO_ON
        return value

    cdef bint fills_large(self) noexcept:
        return self.large is not NULL and self.large_got < self.body_len

    cdef char *room(self, Py_ssize_t want, Py_ssize_t *size) except NULL:
        """Return where the next bytes of the stream go, and how many fit there."""
        if self.fills_large():
            if self.large_got == self.large_cap:
                self.grow_large()
            size[0] = self.large_cap - self.large_got
            return PyBytes_DATA(self.large) + self.large_got
        self.reserve(want)
        size[0] = self.cap - self.end
        return self.buf + self.end

    cdef int took(self, Py_ssize_t count) except -1:
        """Note that `count` bytes came where room() said."""
        if self.fills_large():
            self.large_got += count
            self.base += count
        else:
            self.end += count
        return 0

    cdef int grow_large(self) except -1:
        """Double the object that a large bulk is received into: never past twice what has come."""
        cdef Py_ssize_t cap = min(self.body_len, self.large_cap * 2)
        cdef PyObject *grown
        if Py_REFCNT(self.large) > 1:  # a view of it is alive
            grown = PyBytes_New(NULL, cap)
            memcpy(PyBytes_DATA(grown), PyBytes_DATA(self.large), self.large_got)
            Py_XDECREF(self.large)
            self.large = grown
        elif resize_bytes(&self.large, cap) < 0:  # which lets go of it
            self.torn = True
            PyErr_Clear()
            raise MemoryError
        self.large_cap = cap
        return 0

    cdef int reserve(self, Py_ssize_t want) except -1:
        """Make place for `want` bytes behind the ones that are not parsed yet."""
        cdef Py_ssize_t have = self.end - self.start, cap = self.cap
        cdef PyObject *grown
        if cap > KEPT and have + want <= KEPT // 4:
            cap = 0
        elif have and cap - self.end >= want:
            return 0
        if cap >= have + want and self.start >= have:  # to move them costs no more than to have parsed the others
            if have:
                memmove(self.buf, self.buf + self.start, have)
        else:
            cap = max(cap * 2, SMALL)
            while cap < have + want:
                cap *= 2
            grown = PyBytes_New(NULL, cap)
            if have:
                memcpy(PyBytes_DATA(grown), self.buf + self.start, have)
            Py_XDECREF(self.store)
            self.store = grown
            self.buf = PyBytes_DATA(grown)
            self.cap = cap
        self.base += self.start
        self.scanned = max(self.scanned - self.start, 0)
        self.start = 0
        self.end = have
        return 0

    cdef bint between_replies(self) noexcept:
        return (self.start == self.end and not self.depth and not self.body and self.failure is None
                and not self.torn)

    cdef int fail(self, str reason, Py_ssize_t position) except -1:
        """Poison the parser for what stands at `position` of the buffer."""
        cdef bytes excerpt = b""
        if position < self.end:
            excerpt = PyBytes_FromStringAndSize(self.buf + position, min(40, self.end - position))
        return self.poison(reason, self.base + position, excerpt)

    cdef int poison(self, str reason, long long offset, bytes excerpt) except -1:
        """Refuse the stream, now and for ever."""
        self.failure = ProtocolError(reason, offset=offset, excerpt=excerpt)
        self.clear()
        raise self.failure

    cdef int refuse(self) except -1:
        """Raise the error that ended the stream."""
        cdef long long offset = self.base + self.start
        if self.failure is None:
            self.clear()  # first: it may have been interrupted by a lack of memory
            self.poison("an earlier call was interrupted inside a reply", offset, b"")
        raise self.failure.with_traceback(None)

    cdef int push_value(self, object value) except -1:
        if self.nvalues == self.values_cap:
            self.grow_values()
        Py_INCREF(value)
        self.values[self.nvalues] = <PyObject *>value
        self.nvalues += 1
        return 0

    cdef int grow_values(self) except -1:
        cdef Py_ssize_t cap = max(self.values_cap * 2, 16)
        cdef PyObject **grown = <PyObject **>PyMem_Realloc(self.values, cap * sizeof(PyObject *))
        if grown is NULL:
            raise MemoryError
        self.values = grown
        self.values_cap = cap
        return 0

    cdef int open_frame(self, int kind, Py_ssize_t remaining, Py_ssize_t position) except -1:
        cdef Frame *grown
        cdef Frame *frame
        cdef Py_ssize_t cap
        if self.depth >= self.max_depth:
            self.fail("a reply is nested deeper than the limit", position)
        if self.depth == self.frames_cap:
            cap = max(self.frames_cap * 2, 8)
            grown = <Frame *>PyMem_Realloc(self.frames, cap * sizeof(Frame))
            if grown is NULL:
                raise MemoryError
            self.frames = grown
            self.frames_cap = cap
        frame = &self.frames[self.depth]
        frame.kind = kind
        frame.remaining = remaining
        frame.base = self.nvalues
        frame.in_push = self.in_push
        frame.bad = NULL
        if self.bad is not None:
            Py_INCREF(self.bad)
            frame.bad = <PyObject *>self.bad
        self.depth += 1
        if kind == c">":
            self.in_push = True
        return 0

    cdef object close_frame(self):
        """Turn the innermost frame into its value; GO_ON when it was an attribute, which is none."""
        cdef Frame *frame = &self.frames[self.depth - 1]
        cdef int kind = frame.kind
        cdef Py_ssize_t base = frame.base
        cdef bint in_push = frame.in_push
        cdef object bad = None, result
        cdef bytes whole
        if frame.bad is not NULL:
            bad = <object>frame.bad
            Py_DECREF(bad)
            frame.bad = NULL
        self.depth -= 1
        if kind == c"*":
            return self.take(base)
        if kind == c"%":
            return self.take_map(base)
        if kind == c"~":
            return set_of(self.take(base))
        if kind == c"$":
            whole = b"".join(self.take(base))
            return self.text(PyBytes_AS_STRING(whole), PyBytes_GET_SIZE(whole))
        if kind == 0:
            items = self.take(base)
            return Attributed(items[1], items[0]) if len(items) == 2 else items[0]
        self.bad = bad
        if kind == c">":
            self.in_push = in_push
            self.is_push = True
            result = Push(self.take(base))
            while self.depth and self.frames[self.depth - 1].kind == 0:
                frame = &self.frames[self.depth - 1]
                base = frame.base
                Py_XDECREF(frame.bad)
                frame.bad = NULL
                self.depth -= 1
                items = self.take(base)
                if items:
                    result = Attributed(result, items[0])
            return result
        # An attribute: its frame becomes one that waits for the value, below which the attributes themselves wait.
        result = self.take_map(base)
        self.open_frame(0, 1, self.start)
        if self.attributes:
            self.push_value(result)
        return GO_ON

    cdef object take_map(self, Py_ssize_t base):
        """Move the keys and values from `base` on into a map, by the rule of map_of()."""
        cdef object result = PyDict_New()
        cdef PyObject **at = self.values + base
        cdef Py_ssize_t n = self.nvalues - base, i = 0, numbers = 0
        try:
            while i < n:
                if is_int(at[i]) or is_float(at[i]):
                    numbers += 1
                    if numbers > NUMBER_KEYS:
                        break
                PyDict_SetItem(result, <object>at[i], <object>at[i + 1])
                i += 2
        except TypeError:
            pass
        if len(result) * 2 != n:
            return map_of(self.take(base))
        self.drop(base)
        return result

    cdef list take(self, Py_ssize_t base):
        """Move the values from `base` on into a list."""
        cdef Py_ssize_t i, n = self.nvalues - base
        cdef list items = PyList_New(n)
        for i in range(n):
            # the list takes over the stack's reference
            PyList_SET_ITEM(items, i, <object>self.values[base + i])
        self.nvalues = base
        return items

    cdef void drop(self, Py_ssize_t base) noexcept:
        """Let go of the values from `base` on."""
        cdef PyObject *value
        while self.nvalues > base:
            self.nvalues -= 1
            value = self.values[self.nvalues]
            Py_XDECREF(value)

    cdef void clear(self) noexcept:
        """Let go of the buffer and of everything half parsed."""
        cdef PyObject *held
        self.drop(0)
        while self.depth:
            self.depth -= 1
            held = self.frames[self.depth].bad
            self.frames[self.depth].bad = NULL
            Py_XDECREF(held)
        held = self.large
        self.large = NULL
        Py_XDECREF(held)
        held = self.store
        self.store = self.buf = NULL
        self.cap = 0
        Py_XDECREF(held)
        self.body = 0
        self.start = self.end = self.scanned = 0
        self.bad = None
