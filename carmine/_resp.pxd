# What the blocking fast path (_wire.pyx) sees of the parser and the packer.
cimport cython
from cpython.object cimport PyObject


cdef struct Segment:
    Py_ssize_t upto         # the packed bytes before this argument end here
    PyObject *owner         # what keeps `data` alive and unchanged in size, owned
    const char *data
    Py_ssize_t length


@cython.final
cdef class Packer:
    cdef char *buf
    cdef char small[320]            # `buf` until more is needed
    cdef Py_ssize_t cap, length
    cdef Segment *segments
    cdef Py_ssize_t nsegments, segments_cap
    cdef Py_ssize_t by_reference    # arguments of at least this many bytes are not copied

    cdef int add(self, object words) except -1
    cdef int add_word(self, object word) except -1
    cdef int add_int(self, object word) except -1
    cdef int add_buffer(self, object word) except -1
    cdef int add_data(self, object owner, const char *data, Py_ssize_t length) except -1
    cdef int reserve(self, Py_ssize_t more) except -1
    cdef void reset(self) noexcept


cdef struct Frame:
    int kind                # type byte of the aggregate; 0 for a value that waits for its attributes
    bint in_push            # the parser's flag before this frame
    Py_ssize_t remaining    # values still to come; below 0 for a streamed aggregate
    Py_ssize_t base         # where its values begin on the value stack
    PyObject *bad           # the parser's undecodable string before this frame, owned


@cython.final
cdef class Parser:
    cdef PyObject *store            # the bytes object whose memory is `buf`, owned
    cdef char *buf
    cdef Py_ssize_t cap, start, end, scanned
    cdef Py_ssize_t lent            # bytes that get_buffer gave last
    cdef long long base             # offset of the buffer's first byte in the stream
    cdef Frame *frames
    cdef Py_ssize_t depth, frames_cap
    cdef PyObject **values
    cdef Py_ssize_t nvalues, values_cap
    cdef int body                   # type byte of a bulk whose header was read, else 0
    cdef Py_ssize_t body_len
    cdef long long streamed         # bytes of the streamed string's chunks so far
    cdef PyObject *large            # the bytes object that a large bulk is received into, owned
    cdef Py_ssize_t large_got, large_cap
    cdef object bad, failure, limits_
    cdef bint in_push, ended
    cdef bint is_push               # the step just done completed a push
    cdef bint busy                  # somebody is inside a call
    cdef bint torn                  # a call is changing the state; after it: it was interrupted
    cdef int version
    cdef Py_ssize_t max_depth, max_line
    cdef long long max_bulk, max_elements
    cdef public bint decode, push_decode, each, attributes

    cdef object advance(self, bint *is_push)
    cdef char *room(self, Py_ssize_t want, Py_ssize_t *size) except NULL
    cdef int took(self, Py_ssize_t count) except -1
    cdef bint push_begun(self) noexcept
    cdef bint between_replies(self) noexcept

    cdef object parse(self, bint *is_push)
    cdef object run(self)
    cdef object take_line(self)
    cdef long long odd_count(self, int kind, int sort, const char *p, Py_ssize_t length) except? -9
    cdef object text(self, const char *data, Py_ssize_t length)
    cdef bint has_body(self) except -1
    cdef object take_body(self)
    cdef bint fills_large(self) noexcept
    cdef int grow_large(self) except -1
    cdef int reserve(self, Py_ssize_t want) except -1
    cdef int check_free(self) except -1
    cdef int fail(self, str reason, Py_ssize_t position) except -1
    cdef int poison(self, str reason, long long offset, bytes excerpt) except -1
    cdef int refuse(self) except -1
    cdef int push_value(self, object value) except -1
    cdef int grow_values(self) except -1
    cdef int open_frame(self, int kind, Py_ssize_t remaining, Py_ssize_t position) except -1
    cdef object close_frame(self)
    cdef object take_map(self, Py_ssize_t base)
    cdef list take(self, Py_ssize_t base)
    cdef void drop(self, Py_ssize_t base) noexcept
    cdef void clear(self) noexcept
