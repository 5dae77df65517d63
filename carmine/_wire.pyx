# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The blocking fast path: one call packs a command, writes it, reads and parses its reply (POSIX only).

It works on a socket that carmine.transport opened and whose descriptor it takes over: it closes it with `close()`, or
when it is collected, without a line of Python that a signal could interrupt.
The contract is WireIO in carmine/protocol/abc.py; carmine/transport/socket_io.py is its twin on Python's sockets.

Invariants: a command is packed whole before its first byte is written; `owed` counts the replies that have not come,
and a call that leaves one behind makes the connection unusable for good; the GIL is released around every system
call; signals are honoured whenever one interrupts a call, and soon where one comes just before it waits.
"""

from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EAGAIN, EINTR, errno
from libc.math cimport ceil
from libc.string cimport strerror

from carmine._resp cimport Packer, Parser, Segment

from carmine._resp import encode

from carmine.errors import (
    ConnectionLost,
    NetworkError,
    Outcome,
    ProtocolError,
    ReadTimeout,
    ServerError,
    UsageError,
    WriteTimeout,
    printable,
)
from carmine.protocol.limits import LARGE_ARGUMENT as _LARGE_ARGUMENT
from carmine.protocol.limits import LOOK_UP as _LOOK_UP
from carmine.protocol.values import NEED_DATA as _NEED_DATA

cdef extern from *:
    """
    #include <poll.h>
    #include <sys/socket.h>
    #include <time.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    #ifndef MSG_MORE
    #define MSG_MORE 0
    #endif
    static double carmine_clock(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }
    """
    double carmine_clock() noexcept nogil

cdef extern from "sys/socket.h" nogil:
    ssize_t send(int fd, const void *data, size_t size, int flags)
    ssize_t recv(int fd, void *data, size_t size, int flags)
    int shutdown(int fd, int how)
    int MSG_DONTWAIT, MSG_NOSIGNAL, MSG_MORE, MSG_PEEK, SHUT_RDWR

cdef extern from "unistd.h" nogil:
    int close_fd "close"(int fd)

cdef extern from "poll.h" nogil:
    struct pollfd:
        int fd
        short events, revents
    int poll(pollfd *fds, unsigned long count, int timeout_ms)
    short POLLIN, POLLOUT

cdef object NEED_DATA = _NEED_DATA
cdef object NOT_SENT = Outcome.NOT_SENT
cdef object UNKNOWN = Outcome.UNKNOWN
cdef Py_ssize_t LARGE_ARGUMENT = _LARGE_ARGUMENT

cdef Py_ssize_t READ = 16384            # bytes asked for by a read; four times as much once a read was filled
cdef double QUIET = 1e-3                # a connection not looked at for longer is looked at before it is used
cdef double UNPOLLED = 0.1              # how far a read that the kernel times may overrun the deadline
cdef double LOOK_UP = _LOOK_UP
cdef double FOREVER = float("inf")

cdef enum Use:                          # who is inside: a call is alone, a reader and a sender go side by side
    CALL = 1
    READS = 2
    SENDS = 4


cdef class WireIO:
    """Calls over one blocking socket.

    Args:
        sock: A socket.socket, blocking, with SO_RCVTIMEO set to `timeout` or less. Its descriptor belongs to this
            object now; it changes hands in here, where no signal handler can raise in between.
        parser: The connection's own parser.
        address: Where the socket leads, for error messages.
        timeout: Seconds a call may take when it names no other; None for no limit.

    Attributes:
        owed: Replies that have not come.
        pushes: Pushes that nobody has read.
        place: What counts the connection in its pool; let go when the socket is closed.
        is_stream: Whether everything that comes unasked is a message, as under MONITOR.
        look_after: Seconds since the last look after which a call looks at the socket first.
        max_idle: Seconds of idleness after which the connection is not used again.
    """

    cdef int fd
    cdef Parser parser
    cdef Packer packer
    cdef readonly str address
    cdef readonly Py_ssize_t owed
    cdef readonly object pushes
    cdef public object place
    cdef public bint is_stream
    cdef public double look_after, max_idle
    cdef bint alive, late, must_poll, interrupted, fresh
    cdef int busy                   # a set of Use
    cdef double timeout, began, deadline, last_used, looked
    cdef list early                 # what came before a single command was written whole
    cdef Py_ssize_t want, written, got, max_pushes

    def __cinit__(self):
        self.fd = -1

    def __init__(self, sock, Parser parser not None, str address, timeout):
        self.parser = parser
        self.packer = Packer(LARGE_ARGUMENT)
        self.address = address
        self.pushes = deque()
        self.max_pushes = parser.limits.pushes
        self.timeout = FOREVER if timeout is None else timeout
        self.look_after = QUIET
        self.max_idle = FOREVER
        self.want = READ
        self.alive = True
        self.fresh = True
        self.last_used = self.looked = carmine_clock()
        self.fd = super(type(sock), sock).detach()  # past socket.detach, which is Python

    @property
    def is_usable(self):
        """Whether a call may be made: nothing is owed, nothing was lost."""
        return self.alive and not self.owed and not self.busy

    @property
    def idle_for(self):
        """Seconds since the last call ended."""
        return carmine_clock() - self.last_used

    def set_protocol(self, int version):
        """Read what follows as RESP2 or RESP3."""
        self.parser.protocol = version

    @property
    def push_decode(self):
        """Whether strings of pushes become text; in a stream, all strings."""
        return self.parser.push_decode

    @push_decode.setter
    def push_decode(self, bint value):
        self.parser.push_decode = value

    def close(self):
        """Close the socket and refuse every further call; harmless the second time.

        While a call is under way it is ended, and closes the socket itself: a descriptor that was closed under it could
        be given to another connection, whose bytes it would then read.
        """
        if self.busy:
            self.interrupt()
        else:
            self.release()

    def abandon(self):
        """Close the descriptor and nothing else, in a forked child: the connection is the parent's."""
        self.release()

    def interrupt(self):
        """End the call that another thread has under way, and every later one; that thread closes the socket."""
        self.alive = False
        if self.fd >= 0:
            self.interrupted = True
            shutdown(self.fd, SHUT_RDWR)

    cdef void release(self) noexcept:
        cdef int fd = self.fd
        self.alive = False
        self.fd = -1
        if fd >= 0:
            close_fd(fd)
        if self.place is not None:
            self.place.is_free = True  # a traceback that somebody keeps may keep it alive
            self.place = None

    def __dealloc__(self):
        if self.fd >= 0:
            close_fd(self.fd)

    def execute(self, words, bint decode, timeout=None, bint each=False):
        """Send one command and return its reply, an error reply as a ServerError.

        Args:
            words: The command's name and arguments.
            decode: Whether strings of the reply become text.
            timeout: Seconds for the whole call; None for the connection's own, inf for no limit.
            each: Whether the elements of an array are replies of their own, as after EXEC.

        Raises:
            UsageError: A word cannot be sent, or the connection is closed or in use. Nothing was sent.
            NetworkError: Its outcome says whether the command may have been executed.
            ProtocolError: The peer's bytes are not RESP.
        """
        cdef object value
        cdef bint is_push = False
        self.begin(timeout, CALL)
        try:
            self.packer.add(words)
            self.look()
            self.owed = 1
            self.parser.decode = decode
            self.parser.each = each
            self.flush(None, None)
            if self.early is not None and not self.owed:
                return self.early[0]
            while True:
                value = self.parser.advance(&is_push)
                if value is NEED_DATA:
                    self.fill()
                elif is_push:
                    self.keep(value)
                else:
                    break
            self.owed = 0
            if not self.parser.between_replies():
                self.read_pushes()
            return value
        except ProtocolError as error:
            error.address = self.address
            raise
        finally:
            self.end()

    def execute_many(self, commands, bint decode, list replies not None, timeout=None, bytes modes=None,
                     bint each=False):
        """Send several commands at once and append their replies to `replies`, in order.

        Writing and reading interleave, so that full socket buffers cannot stop both sides. When the call fails,
        `replies` holds those that had come: a prefix.

        Args:
            commands: A sequence of commands, each its words.
            decode: Whether strings of the replies become text.
            replies: Where the replies go; an error reply goes there as a ServerError.
            timeout: Seconds for the whole call; None for the connection's own, inf for no limit.
            modes: One byte for each command that overrules `decode`: 0 bytes, 1 text.
            each: Whether the elements of an array are replies of their own, as after EXEC.

        Raises:
            UsageError: A word cannot be sent, or the connection is closed or in use. Nothing was sent.
            NetworkError: Its outcome says whether commands may have been executed.
            ProtocolError: The peer's bytes are not RESP.
        """
        cdef Py_ssize_t count = 0
        self.begin(timeout, CALL)
        try:
            for words in commands:
                self.packer.add(words)
                count += 1
            if modes is not None and len(modes) != count:
                raise UsageError("modes must hold one byte for each command")
            if not count:
                return
            self.look()
            self.owed = count
            self.parser.decode = decode
            self.parser.each = each
            self.flush(replies, modes)
            self.collect(replies, modes)
            while self.owed:
                self.fill()
                self.collect(replies, modes)
            if not self.parser.between_replies():
                self.read_pushes()
        except ProtocolError as error:
            error.address = self.address
            raise
        finally:
            self.end()

    def probe(self):
        """Return whether an idle connection is still good; pushes that came meanwhile are kept."""
        if not self.is_usable:
            return False
        self.begin(None, CALL)
        try:
            self.look()
            return True
        except (NetworkError, ProtocolError):
            return False
        finally:
            self.end()

    def send(self, words):
        """Send one command whose confirmations come as pushes, as SUBSCRIBE does.

        Another thread may be inside `next_push`, and then hears of a failure as well; nothing is read here.

        Raises:
            UsageError: A word cannot be sent, or the connection is closed or in use. Nothing was sent.
            NetworkError: Its outcome says whether the command may have been executed.
        """
        cdef Py_ssize_t done = 0, length
        cdef double began = carmine_clock()
        cdef double deadline = began + self.timeout
        cdef ssize_t n
        cdef int problem
        cdef const char *data
        cdef bytes out = encode(*words)
        check(self, READS)
        self.busy |= SENDS
        data = PyBytes_AS_STRING(out)
        length = len(out)
        try:
            while done < length:
                PyErr_CheckSignals()
                with nogil:
                    n = send(self.fd, data + done, length - done, MSG_DONTWAIT | MSG_NOSIGNAL)
                    problem = errno
                if n >= 0:
                    done += n
                elif problem == EAGAIN:
                    if not self.wait_writable(deadline):
                        raise WriteTimeout(f"the peer took only {done} bytes within {deadline - began:.3g} s",
                                           outcome=UNKNOWN if done else NOT_SENT, address=self.address)
                elif problem != EINTR:
                    what = ("the connection was closed by another thread" if self.interrupted else
                            f"the connection was lost while a command was sent: {strerror(problem).decode()}")
                    raise ConnectionLost(what, outcome=UNKNOWN if done else NOT_SENT, address=self.address)
        finally:
            self.busy &= ~SENDS
            if done < length:
                self.alive = False  # half a command leaves the connection unusable
            if not self.alive:
                self.close()  # or the reader does, who is woken

    cdef bint wait_writable(self, double deadline) except -1:
        """Wait until the peer takes more; False when the deadline has passed."""
        cdef pollfd asked
        cdef double left
        cdef int n
        while self.fd >= 0:  # closed in a forked child, by a signal handler that has forked
            left = deadline - carmine_clock()
            if not left > 0:
                return False
            asked.fd = self.fd
            asked.events = POLLOUT
            with nogil:
                n = poll(&asked, 1, <int>ceil(min(left, LOOK_UP) * 1000.0))
            if n > 0:
                return True
            PyErr_CheckSignals()
        return True

    def next_push(self, timeout=None):
        """Return the next push, or None when none came in time.

        Args:
            timeout: Seconds to wait; None for no limit, 0 for what has come already.

        Raises:
            NetworkError: The connection is lost.
            ProtocolError: The peer's bytes are not RESP, or a reply came that nobody asked for.
        """
        cdef object value
        cdef bint is_push = False
        if self.pushes:
            return self.pushes.popleft()
        self.begin(FOREVER if timeout is None else timeout, READS)
        try:
            while True:
                self.parser.decode = self.parser.push_decode
                value = self.parser.advance(&is_push)
                if value is NEED_DATA:
                    if not self.wait(POLLIN):
                        return None
                    self.take_available("")
                elif is_push or self.is_stream:
                    return value
                else:
                    self.alive = False
                    raise self.surplus()
        except ProtocolError as error:
            self.alive = False
            error.address = self.address
            raise
        finally:
            self.end()

    cdef int begin(self, object timeout, int use) except -1:
        """Take the connection for one call."""
        check(self, SENDS if use == READS else 0)
        self.written = self.got = 0
        self.began = carmine_clock()
        self.late = False
        self.must_poll = timeout is not None
        self.deadline = self.began + (<double>timeout if self.must_poll else self.timeout)
        self.busy |= use
        self.parser.busy = True
        return 0

    cdef void end(self) noexcept:
        """Give the connection back; what it still owes now will never be read."""
        self.busy &= SENDS
        self.parser.busy = False
        self.packer.reset()
        self.early = None
        if self.owed or self.parser.failure is not None or self.parser.torn:
            self.alive = False
        self.fresh = False
        if not self.alive and self.busy:  # a sender is inside: woken, it closes the socket
            shutdown(self.fd, SHUT_RDWR)
        elif not self.alive:
            self.release()  # at once: the next line of Python may be interrupted, and tracebacks keep frames alive
        self.last_used = carmine_clock()

    cdef int look(self) except -1:
        """Look for what came while the connection was idle: pushes are kept, anything else ends it.

        Time runs from the last look, not from the last use: else a connection that is never idle for a millisecond,
        and that a stray reply has put out of step, would give every caller the reply of the one before, for ever.
        """
        cdef char byte
        cdef ssize_t n
        if self.began - self.looked < self.look_after or self.fresh:
            return 0  # what a server says unasked on a new connection (that it is full) answers the handshake
        self.looked = self.began
        if self.began - self.last_used > self.max_idle:
            raise self.lost("the connection was idle for longer than max_idle_time", 0)
        while True:
            n = recv(self.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
            if n < 0:
                if errno == EINTR:
                    PyErr_CheckSignals()
                    continue
                if errno == EAGAIN:
                    return 0
                raise self.lost("the idle connection was lost", errno)
            if n == 0:
                raise self.lost("the server closed the idle connection", 0)
            self.fill()
            try:
                self.read_pushes()
            except ProtocolError as error:  # nothing was sent: for the caller it is a connection that had died
                raise self.lost(f"the idle connection had bytes that are not RESP ({error.reason})", 0) from None

    cdef int read_pushes(self) except -1:
        """Keep the pushes that have come while no reply is owed; anything else is out of step."""
        cdef Parser parser = self.parser
        cdef bint is_push = False
        while True:
            value = parser.advance(&is_push)
            if value is NEED_DATA:
                if parser.between_replies() or parser.push_begun():  # of a push begun the rest will follow
                    return 0
            if not is_push:
                self.alive = False
                raise self.surplus()
            self.keep(value)

    def surplus(self):
        """Return the error for a reply that no command asked for."""
        return ConnectionLost(
            "a reply came that no command asked for; the connection is closed, since its replies and commands are "
            "out of step", outcome=UNKNOWN if self.written else NOT_SENT, address=self.address)

    cdef int keep(self, object push) except -1:
        """Keep a push until somebody reads it."""
        if len(self.pushes) >= self.max_pushes:
            self.alive = False
            raise ConnectionLost(f"{self.max_pushes} pushes wait unread; the connection is closed",
                                 outcome=UNKNOWN if self.written else NOT_SENT, address=self.address)
        self.pushes.append(push)
        return 0

    cdef int collect(self, list replies, bytes modes) except -1:
        """Parse the replies that have come."""
        cdef object value
        cdef bint is_push = False
        cdef Py_ssize_t first = 0
        if modes is not None:
            first = len(modes) - self.owed
        while self.owed:
            if modes is not None:
                self.parser.decode = PyBytes_AS_STRING(modes)[first] != 0
            value = self.parser.advance(&is_push)
            if value is NEED_DATA:
                return 0
            if is_push:
                self.keep(value)
                continue
            replies.append(value)
            self.owed -= 1
            first += 1
        return 0

    cdef int flush(self, list replies, bytes modes) except -1:
        """Write everything that is packed, reading meanwhile whenever the peer cannot take more."""
        cdef Py_ssize_t done = 0, i
        cdef Segment *segment
        for i in range(self.packer.nsegments):
            segment = &self.packer.segments[i]
            self.write(self.packer.buf + done, segment.upto - done, MSG_MORE, replies, modes)
            self.write(segment.data, segment.length, MSG_MORE, replies, modes)
            done = segment.upto
        self.write(self.packer.buf + done, self.packer.length - done, 0, replies, modes)
        return 0

    cdef int write(self, const char *data, Py_ssize_t length, int flags, list replies, bytes modes) except -1:
        cdef ssize_t n
        cdef int problem
        flags |= MSG_DONTWAIT | MSG_NOSIGNAL
        while length:
            with nogil:
                n = send(self.fd, data, length, flags)
                problem = errno
            if n >= 0:
                self.written += n
                data += n
                length -= n
            elif problem == EINTR:
                PyErr_CheckSignals()
            elif problem == EAGAIN:
                if not self.wait(POLLIN | POLLOUT):
                    raise WriteTimeout(
                        f"the peer took only {self.written} bytes within {self.deadline - self.began:.3g} s",
                        outcome=UNKNOWN if self.written else NOT_SENT, address=self.address)
                if self.take_available(" while a command was sent"):  # once, then the deadline is looked at again
                    if replies is None:
                        if self.early is None:
                            self.early = []
                        replies = self.early
                    self.collect(replies, modes)
                    if not self.owed:
                        self.read_pushes()
            else:
                raise self.lost("the connection was lost while a command was sent", problem)
        return 0

    cdef bint take_available(self, str when) except -1:
        """Read once what has come, without waiting; False when there is nothing."""
        cdef Py_ssize_t size
        cdef ssize_t n
        cdef int problem
        cdef char *into = self.parser.room(self.want, &size)
        with nogil:
            n = recv(self.fd, into, size, MSG_DONTWAIT)
            problem = errno
        if n > 0:
            self.got += n
            self.parser.took(n)
            return True
        if n == 0:
            raise self.lost("the server closed the connection" + when, 0)
        if problem == EINTR:
            PyErr_CheckSignals()
            return True
        if problem == EAGAIN:
            return False
        raise self.lost("the connection was lost" + when, problem)

    cdef int fill(self) except -1:
        """Read once, waiting until the deadline.

        The kernel times the read (SO_RCVTIMEO is the connection's own timeout, or LOOK_UP if that is less) while that
        overruns the deadline by at most 0.1 s; after that, after a signal, and for any other timeout, poll() comes
        first. Either looks for signals every LOOK_UP seconds.
        """
        cdef Py_ssize_t size
        cdef ssize_t n
        cdef int problem, flags
        cdef char *into = self.parser.room(self.want, &size)
        while True:
            flags = 0
            if not self.must_poll:
                self.must_poll = carmine_clock() - self.began > UNPOLLED
            if self.must_poll and self.deadline != FOREVER:
                flags = MSG_DONTWAIT
                if not self.wait(POLLIN):
                    raise self.too_late()
            PyErr_CheckSignals()  # one that came since the call left Python would not interrupt the system call
            with nogil:
                n = recv(self.fd, into, size, flags)
                problem = errno
            if n > 0:
                self.got += n
                self.parser.took(n)
                if n == size and self.want < READ * 4:
                    self.want = READ * 4
                return 0
            if n == 0:
                raise self.lost("the server closed the connection", 0)
            if problem == EINTR:
                PyErr_CheckSignals()
                self.must_poll = True  # the kernel would measure its whole timeout again
            elif problem == EAGAIN:
                if carmine_clock() >= self.deadline:
                    raise self.too_late()
            else:
                raise self.lost("the connection was lost", problem)

    cdef bint wait(self, short events) except -1:
        """Wait until the socket is ready; False when the deadline has passed.

        What has come by then is still taken, for this thread may have been late itself; but not for longer than
        UNPOLLED, or a peer that sends without an end, or takes a byte at a time, would keep the call for ever.
        """
        cdef pollfd asked
        cdef double left
        cdef int n, problem, ms
        asked.events = events
        while True:
            PyErr_CheckSignals()  # as in fill()
            asked.fd = self.fd
            if asked.fd < 0:  # abandoned in a forked child, by a signal handler that has forked
                raise self.lost("", 0)
            left = self.deadline - carmine_clock()
            if not left > 0:
                if self.late and not left > -UNPOLLED:
                    return False
                self.late = True
            ms = <int>ceil(min(left, LOOK_UP) * 1000.0) if left > 0 else 0
            with nogil:
                n = poll(&asked, 1, ms)
                problem = errno
            if n > 0:
                return True
            if n == 0:
                if not left > LOOK_UP:  # so that a deadline of nan has passed
                    return False
            elif problem != EINTR:
                raise self.lost("the connection was lost", problem)

    def too_late(self):
        """Return the error for a reply that was not complete in time."""
        return ReadTimeout(
            f"no complete reply within {self.deadline - self.began:.3g} s: {self.written} bytes sent, "
            f"{self.got} received, {self.owed} replies owed",
            outcome=UNKNOWN if self.written else NOT_SENT, address=self.address)

    def lost(self, str what, int problem):
        """Return the error for a dead connection; the server's last words are part of it."""
        cdef bint is_push = False
        cdef object said = None
        if self.interrupted:
            what = "the connection was closed by another thread"
        elif problem:
            what = f"{what}: {strerror(problem).decode()}"
        self.alive = False
        try:
            if self.owed and self.parser.failure is None:
                said = self.parser.advance(&is_push)
            elif self.early:
                said = self.early[0]
        except ProtocolError:
            pass
        if isinstance(said, ServerError):
            what = f"{what}; it had said: {printable(str(said), 200)}"
        return ConnectionLost(what, outcome=UNKNOWN if self.written else NOT_SENT, address=self.address)


cdef inline int check(WireIO self, int beside) except -1:
    """Refuse what cannot begin: the connection is closed, out of step, or in a use other than `beside`."""
    if self.busy & ~beside:
        raise UsageError(f"the connection to {self.address} is in use by another call")
    if not self.alive:
        if self.interrupted:  # between two calls, or between our caller's borrowing and this one
            raise ConnectionLost("the connection was closed by another thread", address=self.address)
        raise UsageError(f"the connection to {self.address} is closed")
    if self.owed:
        raise UsageError(f"the connection to {self.address} still owes {self.owed} replies")
    return 0
