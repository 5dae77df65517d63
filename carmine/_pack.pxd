# What the blocking fast path (_wire.pyx) sees of the packer.
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
