"""The Cython twin of carmine.commands._command, part of the extension carmine._resp: Spec, Command, Reply, queue.

1,000 queued GETs, sent and read, cost 2.9 times the wire with the pure classes and 1.6 with these
(bench/results); the definitions are alike, and every test runs over both.
"""

cimport cython
from cpython.ref cimport Py_INCREF

cdef extern from "Python.h":
    bint PyExceptionInstance_Check(object value)

from carmine.errors import UsageError

cdef extern from *:
    """
    static PyObject *carmine_new_tuple(PyObject *cls, Py_ssize_t size) {
        return ((PyTypeObject *)cls)->tp_alloc((PyTypeObject *)cls, size);
    }
    """
    tuple new_tuple "carmine_new_tuple"(object cls, Py_ssize_t size)

cdef extern from "Python.h":
    void PyTuple_SET_ITEM(object row, Py_ssize_t at, object value)

cdef object PENDING = object()


@cython.final
cdef class Spec:
    """The facts of one command name and reply shape; made once, at import, and shared.

    Attributes:
        name: The name in capitals, such as "CONFIG GET".
        flags: Bits of `carmine.commands.flags`.
        decode: Turns the raw reply into the command's result; None where the raw reply is the result.
        text: How strings of the reply are read: None as the client says, True always str, False always bytes.
        block: Where a blocking command says how long it may wait (see `carmine.commands.flags`), or None.
        keys: Where its keys stand among its words, for routing.
    """

    cdef readonly str name
    cdef readonly int flags
    cdef readonly object decode, text, block
    cdef readonly tuple keys

    def __init__(self, str name not None, int flags=0, *, decode=None, text=None, block=None, tuple keys=()):
        self.name = name
        self.flags = flags
        self.decode = decode
        self.text = text
        self.block = block
        self.keys = keys

    def __repr__(self):
        """Show the name."""
        return f"Spec({self.name!r})"

    def __reduce__(self):
        """Refuse to be pickled or copied."""
        raise TypeError("a Spec is neither copied nor pickled: all commands of its name share it")


@cython.final
cdef class Command:
    """One command, ready to go out; immutable by convention.

    Attributes:
        spec: The facts of its name.
        words: Its name and arguments.
    """

    cdef readonly Spec spec
    cdef readonly tuple words

    def __init__(self, Spec spec not None, tuple words not None):
        self.spec = spec
        self.words = words

    def __class_getitem__(cls, item):
        """Accept the type of the result, which only type checkers read."""
        return cls

    def __repr__(self):
        """Show the name and how many arguments follow, never the arguments."""
        return f"<Command {self.spec.name} with {len(self.words) - 1} more words>"

    def __reduce__(self):
        """Refuse to be pickled or copied."""
        raise TypeError("a Command is neither copied nor pickled: call its function again, with the same arguments")


@cython.final
@cython.freelist(1024)
cdef class Reply:
    """The reply that a queued command will have: an entry of a pipeline's queue, and what its caller holds."""

    cdef readonly Spec spec
    cdef readonly tuple words
    cdef object outcome

    def __init__(self, Spec spec not None, tuple words not None):
        self.spec = spec
        self.words = words
        self.outcome = PENDING

    def __class_getitem__(cls, item):
        """Accept the type of the value, which only type checkers read."""
        return cls

    @property
    def value(self):
        """The reply.

        Raises:
            UsageError: The pipeline has not been sent.
            CarmineError: What befell this command.
        """
        if self.outcome is PENDING:
            raise UsageError(f"the reply of {self.spec.name} is not here yet; it comes when the pipeline is sent")
        if PyExceptionInstance_Check(self.outcome):
            raise self.outcome
        return self.outcome

    @property
    def error(self):
        """What befell this command; None if it went well or was not sent yet."""
        return self.outcome if PyExceptionInstance_Check(self.outcome) else None

    @property
    def is_settled(self):
        """Whether the reply, or an error in its place, is here."""
        return self.outcome is not PENDING

    def settle(self, outcome):
        """Put the value, or the exception to be raised, in place; for the pipeline alone."""
        self.outcome = outcome

    def __repr__(self):
        """Show the command's name and whether the reply is here, never the value."""
        state = "settled" if self.is_settled else "pending"
        return f"<Reply of {self.spec.name}, {state}>"

    def __reduce__(self):
        """Refuse to be pickled or copied."""
        raise TypeError("a Reply is neither copied nor pickled: take its value, once the pipeline was sent")


@cython.final
cdef class ReplyQueue:
    """The entries of a pipeline, in order.

    Args:
        refused: Flag bits of commands that have no place in it.
        refuse: Called with the Spec of such a command; raises.
    """

    cdef list entries
    cdef int refused
    cdef object refuse

    def __init__(self, int refused, refuse):
        self.entries = []
        self.refused = refused
        self.refuse = refuse

    def add(self, Spec spec not None, tuple words not None):
        """Queue a command and return the Reply it will have."""
        cdef Reply reply
        if spec.flags & self.refused:
            self.refuse(spec)
        reply = Reply.__new__(Reply)
        reply.spec = spec
        reply.words = words
        reply.outcome = PENDING
        self.entries.append(reply)
        return reply

    def take(self):
        """Return the entries and begin anew."""
        entries = self.entries
        self.entries = []
        return entries

    def __len__(self):
        """Return how many entries wait."""
        return len(self.entries)


def flags_of(list entries not None):
    """Return the flag bits that every entry has, and those that at least one has."""
    cdef Reply entry
    cdef int common = -1, some = 0
    for entry in entries:
        common &= entry.spec.flags
        some |= entry.spec.flags
    return common, some


def words_of(list entries not None):
    """Return the words of each entry."""
    cdef Reply entry
    return [entry.words for entry in entries]


def modes_of(list entries not None, bint text):
    """Return one byte per entry that says whether its reply's strings are text; None where all are as `text`."""
    cdef Reply entry
    for entry in entries:
        if entry.spec.text is not None:
            break
    else:
        return None
    return bytes([text if entry.spec.text is None else entry.spec.text for entry in entries])


def settle_each(list entries not None, list replies not None, slowly):
    """Give entries their raw replies; `slowly(entry, reply)` takes those that need shaping, and errors."""
    cdef Py_ssize_t i
    cdef Reply entry
    for i in range(min(len(entries), len(replies))):
        entry = entries[i]
        reply = replies[i]
        if entry.spec.decode is None and not PyExceptionInstance_Check(reply):
            entry.outcome = reply
        else:
            slowly(entry, reply)


def rows_of(type cls not None, list items not None):
    """Return each pair of a list as `cls`, a named tuple of two; the list itself where one is no pair."""
    cdef Py_ssize_t i, n = len(items)
    cdef list pair, rows = [None] * n
    cdef tuple row
    if not issubclass(cls, tuple):
        raise TypeError("rows are named tuples")
    for i in range(n):
        if type(items[i]) is not list or len(<list>items[i]) != 2:
            return items
        pair = <list>items[i]
        row = new_tuple(<object>cls, 2)
        first, second = pair[0], pair[1]
        Py_INCREF(first)
        PyTuple_SET_ITEM(row, 0, first)
        Py_INCREF(second)
        PyTuple_SET_ITEM(row, 1, second)
        rows[i] = row
    return rows
