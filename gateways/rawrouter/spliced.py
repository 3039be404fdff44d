"""A flow whose bytes stay in the kernel while there are many of them.

Few bytes are copied: that takes two system calls, as splicing does, and no pipe. A read that
fills the buffer says that there is more, and from then on the kernel moves it through a pipe,
until the source has nothing left.
"""

from __future__ import annotations

import errno
import os

from uwgate.gateways.flow import Broken, Flow, Stream
from uwgate.gateways.rawrouter.pipes import Pipe, Pipes

MOST = 1 << 20  # bytes asked for at a time; a pipe takes less
FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
# Some kinds of sockets cannot be spliced (splice(2), EINVAL).
UNABLE = frozenset((errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP))


class SplicedFlow(Flow):
    """See the module. ``close`` must be called."""

    __slots__ = ("_can_splice", "_held", "_is_bulk", "_pipe", "_pipes")

    def __init__(
        self, source: Stream, sink: Stream, buffer: memoryview, pipes: Pipes, pending: bytes = b""
    ) -> None:
        super().__init__(source, sink, buffer, pending)
        self._pipes = pipes
        self._pipe: Pipe | None = None  # only while there is something in it
        self._held = 0  # bytes in the pipe
        self._can_splice = True
        self._is_bulk = False

    @property
    def is_blocked(self) -> bool:
        return self._held > 0 or super().is_blocked

    @property
    def is_bulk(self) -> bool:
        return self._is_bulk

    def throw_away(self) -> None:
        super().throw_away()
        self._can_splice = self._is_bulk = False
        self.close()

    def close(self) -> None:
        """Give the pipe back; what is in it is lost."""
        if self._pipe is not None:
            self._pipes.give_back(self._pipe, is_empty=not self._held)
            self._pipe = None
            self._held = 0

    def pump(self) -> bool:
        more = super().pump()
        if self._pipe is not None and not self._held:
            self.close()
        return more

    def _flush(self) -> bool:
        # What is pending came before the first splice.
        return super()._flush() and (not self._held or self._empty_pipe())

    def _move(self) -> bool:
        if self._is_bulk:
            if self._pipe is None:
                self._pipe = self._pipes.take()
            if self._pipe is not None:
                return self._splice(self._pipe)
        before = self.came
        goes_on = super()._move()
        self._is_bulk = self._can_splice and self.came - before == len(self._buffer)
        return goes_on

    def _splice(self, pipe: Pipe) -> bool:
        """The same as ``_move``. The pipe is empty, so a full one is never what it waits for."""
        try:
            count = os.splice(self._source.fileno(), pipe.writer, MOST, flags=FLAGS)
        except BlockingIOError:
            return False
        except OSError as error:
            return self._give_up(error, Broken.SOURCE)
        self.came += count
        if not count:
            return self._end()
        self._is_bulk = count >= len(self._buffer)
        self._held = count
        return self._empty_pipe()

    def _empty_pipe(self) -> bool:
        """Send what is in the pipe; False if some of it is left."""
        pipe, sink = self._pipe, self._sink
        assert pipe is not None
        assert sink is not None
        while self._held:
            try:
                count = os.splice(pipe.reader, sink.fileno(), self._held, flags=FLAGS)
            except BlockingIOError:
                return False
            except OSError as error:
                return self._give_up(error, Broken.SINK)
            self.went += count
            self._held -= count
        return True

    def _give_up(self, error: OSError, end: Broken) -> bool:
        """Splicing has failed: so has that end, or only splicing; True if there is more to do."""
        if error.errno not in UNABLE:
            self._fail(end, error)
            return False
        self._can_splice = self._is_bulk = False
        if self._held:  # copied from now on, and first what is in the pipe
            assert self._pipe is not None
            self.pending = memoryview(os.read(self._pipe.reader, self._held))
            self._held = 0
            return self._push()
        return True
