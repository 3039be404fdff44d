"""The server's end of an HTTP/2 connection: bytes in, events out, and frames to send.

h2 keeps the states of streams and the flow-control windows. Our own is what it leaves to others
or does in a way that does not suit a server with many clients: fields are compressed and checked
elsewhere (it only sees that there are some); PING, PRIORITY and GOAWAY never reach it (behind a
GOAWAY, its own or the client's, it would not let streams end); nor do frames whose fault is to
end one stream only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamReset, TrailersReceived, WindowUpdated
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from uwgate.conf.groups.http2 import Http2Options
from uwgate.gateways.http2.limits import Event, FrameLimits
from uwgate.gateways.wire.hpack import NO_TABLE, Fields, HeaderDecoder
from uwgate.gateways.wire.http2 import (
    ACK,
    HEADER_SIZE,
    MAX_FRAME,
    PREFACE,
    ConnectionFault,
    Frame,
    FrameSplitter,
    Kind,
    encode_frame,
)

STREAM_WINDOW = 65535  # bytes; the protocol's own first value, so nobody has to be told
# Bytes by which the windows of a connection's uploads may grow, all of them together.
GROWTH = 8 << 20
ALL_STREAMS = 0x7FFFFFFF  # the largest stream; in a GOAWAY: all that are on their way still count
REMEMBERED = 512  # closed streams of which h2 knows how they ended
PRUNE_EVERY = 64  # new streams between two looks for closed ones
_KNOWN_SETTINGS = frozenset((1, 2, 3, 4, 5, 6, 8))
_SETTING_SIZE = 6
# What h2 sees of a list of fields.
_SOME_REQUEST = [(b":method", b"GET")]
_FINAL = [(b":status", b"200")]
_INTERIM = [(b":status", b"100")]


@dataclass(slots=True)
class Opened:
    """A request begins; ``ended``: it has no body."""

    stream: int
    fields: Fields
    ended: bool


@dataclass(slots=True)
class Body:
    """Bytes of a request's body. ``size`` is what they take of the windows."""

    stream: int
    data: bytes
    size: int
    ended: bool


@dataclass(slots=True)
class Trailers:
    """The fields behind a request's body, which has ended."""

    stream: int
    fields: Fields


@dataclass(slots=True)
class Reset:
    """A stream is over, for the client wants it or has broken a rule."""

    stream: int
    code: int
    by_client: bool


@dataclass(slots=True)
class Roomier:
    """More may be sent: on one stream, or (0) on any."""

    stream: int


@dataclass(slots=True)
class Leaving:
    """The client opens no more streams."""

    code: int


Happening = Opened | Body | Trailers | Reset | Roomier | Leaving


class _Decoder:
    """In the place of h2's decoder: keeps the fields, and gives h2 a list that it likes."""

    max_header_list_size = 0  # h2 writes it; ours is the HeaderDecoder's
    header_table_size = 0
    max_allowed_table_size = 0

    def __init__(self, decoder: HeaderDecoder) -> None:
        self._decoder = decoder
        self.fields: Fields = ()

    def decode(self, data: bytes, raw: bool = False) -> list[tuple[bytes, bytes]]:
        self.fields = self._decoder.decode(data)
        return _SOME_REQUEST


class _Encoder:
    """In the place of h2's encoder: sends the block that was prepared."""

    header_table_size = 0  # h2 writes it; we use no table

    def __init__(self) -> None:
        self.block = b""
        self._first = True

    def encode(self, headers: object) -> bytes:
        if self._first:
            self._first = False
            return NO_TABLE + self.block
        return self.block


class _Engine(H2Connection):
    """h2's connection, without its count of streams: that is ours."""

    MAX_CLOSED_STREAMS = REMEMBERED

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self._opened = 0

    @property
    def open_inbound_streams(self) -> int:
        # h2 asks for each new stream, and walks over all of them to answer and to tidy up. The
        # answer is ours to find: it would end the connection, not refuse the stream.
        self._opened += 1
        if self._opened % PRUNE_EVERY == 0:
            _ = super().open_inbound_streams
        return 0


class Protocol:
    """One connection's protocol. ``max_head`` bounds the fields of a request in bytes."""

    def __init__(
        self, options: Http2Options, max_head: int, *, connect_protocol: bool = False
    ) -> None:
        self.limits = FrameLimits(options)
        self.frames = 0  # received
        self._has_settings = False  # the client's first frame
        # Twice: fields within reach of the limit shall get an answer that says so.
        self._decoder = _Decoder(HeaderDecoder(2 * max_head))
        self._encoder = _Encoder()
        self._splitter = FrameSplitter(2 * max_head, options.http2_max_continuations)
        self._now = 0.0
        self._out: list[bytes] = []  # frames, before those that h2 still holds
        self._pending = 0
        self._engine = engine = _Engine(
            H2Configuration(
                client_side=False,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        engine.decoder = self._decoder  # type: ignore[assignment]  # the part of it that is used
        engine.encoder = self._encoder  # type: ignore[assignment]
        settings = {
            SettingCodes.MAX_CONCURRENT_STREAMS: options.http2_max_streams,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            SettingCodes.MAX_FRAME_SIZE: MAX_FRAME,
            SettingCodes.MAX_HEADER_LIST_SIZE: max_head,
        }
        if connect_protocol:
            settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        engine.local_settings = Settings(client=False, initial_values=settings)
        engine.max_inbound_frame_size = MAX_FRAME
        engine.initiate_connection()
        # Larger than all streams' windows together, so that no upload waits for another's; twice,
        # since what was taken is announced only when it is half of the window.
        window = 2 * (options.http2_max_streams * STREAM_WINDOW + GROWTH)
        engine.increment_flow_control_window(window - STREAM_WINDOW)
        engine.receive_data(PREFACE)

    # What the client sends

    @property
    def is_waiting(self) -> bool:
        """A frame or header block of the client has begun and is not complete."""
        return self._splitter.is_waiting

    @property
    def last_stream(self) -> int:
        """The highest stream that the client has opened."""
        return self._engine.highest_inbound_stream_id

    def receive(self, data: bytes, now: float) -> Iterator[Happening]:
        """What ``data`` brings about; to be used up before anything else is received.

        Raises:
            ConnectionFault: the connection is to be ended (``fail``).
        """
        self._now = now
        for frame in self._splitter.feed(data):
            self.frames += 1
            self._pending += HEADER_SIZE + 8  # it may be answered by a PING, RST_STREAM, ...
            if not self._has_settings:
                if frame.kind != Kind.SETTINGS or frame.flags & ACK:
                    raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "no SETTINGS at first")
                self._has_settings = True
            handler = _HANDLERS.get(frame.kind)
            if handler is None:
                self.limits.count(Event.EMPTY, now)  # section 5.5: ignored
            else:
                yield from handler(self, frame)

    def _pass_on(self, data: bytes) -> Iterator[Happening]:
        """Have h2 handle a frame."""
        try:
            events = self._engine.receive_data(data)
        except ProtocolError as error:
            raise ConnectionFault(ErrorCodes(error.error_code), str(error)) from error
        for event in events:
            if isinstance(event, RequestReceived):
                ended = event.stream_ended is not None
                yield Opened(event.stream_id, self._decoder.fields, ended)
            elif isinstance(event, DataReceived):
                ended = event.stream_ended is not None
                yield Body(event.stream_id, event.data, event.flow_controlled_length, ended)
            elif isinstance(event, WindowUpdated):
                yield Roomier(event.stream_id)
            elif isinstance(event, TrailersReceived):
                yield Trailers(event.stream_id, self._decoder.fields)
            elif isinstance(event, StreamReset):
                self.limits.count(Event.RESET, self._now)
                yield Reset(event.stream_id, event.error_code, event.remote_reset)

    def _data(self, frame: Frame) -> Iterator[Happening]:
        if len(frame.data) == HEADER_SIZE and not self.is_open(frame.stream):
            self.limits.count(Event.EMPTY, self._now)
        for event in self._pass_on(frame.data):
            if isinstance(event, Body) and not event.data and not event.ended:
                self.limits.count(Event.EMPTY, self._now)
            yield event

    def _headers(self, frame: Frame) -> Iterator[Happening]:
        if frame.stream <= self.last_stream and not self.is_open(frame.stream):
            self.limits.count(Event.RESET, self._now)  # h2 answers it with one, at best
        return self._pass_on(frame.data)

    def _priority(self, frame: Frame) -> Iterator[Happening]:
        """Section 5.3.2: priorities are deprecated, and were but advice."""
        self.limits.count(Event.PRIORITY, self._now)
        payload = frame.payload
        if not frame.stream:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "PRIORITY of the connection")
        if len(payload) != 5:
            return self._provoked(frame.stream, ErrorCodes.FRAME_SIZE_ERROR)
        if int.from_bytes(payload[:4], "big") & ALL_STREAMS == frame.stream:
            return self._provoked(frame.stream, ErrorCodes.PROTOCOL_ERROR)
        return iter(())

    def _rst_stream(self, frame: Frame) -> Iterator[Happening]:
        if len(frame.payload) != 4:
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "malformed RST_STREAM")
        if not frame.stream or frame.stream > self.last_stream or not frame.stream & 1:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "RST_STREAM of an idle stream")
        if not self.is_open(frame.stream):
            self.limits.count(Event.EMPTY, self._now)  # it may have met our own end of the stream
            return iter(())
        return self._pass_on(frame.data)

    def _settings(self, frame: Frame) -> Iterator[Happening]:
        self.limits.count(Event.SETTINGS, self._now)
        payload = frame.payload
        if frame.stream:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "SETTINGS of a stream")
        if len(payload) % _SETTING_SIZE or (frame.flags & ACK and payload):
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "malformed SETTINGS")
        # Section 6.5.2: unknown ones are ignored. h2 would remember them for good.
        known = b"".join(
            one
            for one in (payload[i : i + 6] for i in range(0, len(payload), _SETTING_SIZE))
            if int.from_bytes(one[:2], "big") in _KNOWN_SETTINGS
        )
        yield from self._pass_on(encode_frame(Kind.SETTINGS, frame.flags, 0, known))
        yield Roomier(0)  # the windows of all streams may have grown

    def _push_promise(self, frame: Frame) -> Iterator[Happening]:
        raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    def _ping(self, frame: Frame) -> Iterator[Happening]:
        payload = frame.payload
        if frame.stream:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "PING of a stream")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "malformed PING")
        self.limits.count(Event.PING, self._now)
        if not frame.flags & ACK:
            self._emit(encode_frame(Kind.PING, ACK, 0, payload))
        return iter(())

    def _goaway(self, frame: Frame) -> Iterator[Happening]:
        payload = frame.payload
        if frame.stream:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "GOAWAY of a stream")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "malformed GOAWAY")
        self.limits.count(Event.EMPTY, self._now)
        yield Leaving(int.from_bytes(payload[4:8], "big"))

    def _window_update(self, frame: Frame) -> Iterator[Happening]:
        self.limits.count(Event.WINDOW_UPDATE, self._now)
        payload = frame.payload
        if len(payload) != 4:
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "malformed WINDOW_UPDATE")
        if int.from_bytes(payload, "big") & 0x7FFFFFFF:
            return self._pass_on(frame.data)
        if not frame.stream:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        return self._provoked(frame.stream, ErrorCodes.PROTOCOL_ERROR)

    def _provoked(self, stream: int, code: ErrorCodes) -> Iterator[Happening]:
        """The client has broken a rule that ends a stream (section 5.4.2)."""
        if stream > self.last_stream:
            raise ConnectionFault(code, "stream error on an idle stream")
        self.limits.count(Event.RESET, self._now)
        if self.reset(stream, code):
            yield Reset(stream, code, by_client=False)

    # What we send

    def is_open(self, stream: int) -> bool:
        """Something may still be sent on the stream."""
        found = self._engine.streams.get(stream)
        return found is not None and not found.closed

    def room(self, stream: int) -> int:
        """Bytes that one DATA frame may have now."""
        engine = self._engine
        return min(engine.local_flow_control_window(stream), engine.max_outbound_frame_size)

    def send_head(
        self, stream: int, block: bytes, *, end: bool = False, interim: bool = False
    ) -> None:
        """Send a response's fields (``wire.hpack``)."""
        self._pending += HEADER_SIZE + len(block)
        self._encoder.block = block
        self._engine.send_headers(stream, _INTERIM if interim else _FINAL, end)

    def send_data(self, stream: int, data: bytes | memoryview, *, end: bool) -> None:
        """Send at most ``room`` bytes of a response's body."""
        self._pending += HEADER_SIZE + len(data)
        self._engine.send_data(stream, data, end)
        self.limits.sent_data()

    def reset(self, stream: int, code: ErrorCodes) -> bool:
        """End a stream; False if it has ended already."""
        if not self.is_open(stream):
            return False
        self._engine.reset_stream(stream, code)
        return True

    def took(self, stream: int, size: int) -> None:
        """``size`` bytes of the windows are free again."""
        if size:
            self._engine.acknowledge_received_data(size, stream)

    def widen(self, stream: int, size: int) -> None:
        """Let the client send more at a time on a stream that is open."""
        if self.is_open(stream):
            self._engine.increment_flow_control_window(size, stream)

    def go_away(self, last: int, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Tell the client that streams above ``last`` are not served."""
        payload = last.to_bytes(4, "big") + int(code).to_bytes(4, "big")
        self._emit(encode_frame(Kind.GOAWAY, 0, 0, payload))

    def fail(self, fault: ConnectionFault) -> None:
        """Tell the client why the connection ends."""
        if self._engine.state_machine.state is not ConnectionState.CLOSED:  # h2 has said it
            self.go_away(self.last_stream, fault.code)

    def _emit(self, frame: bytes) -> None:
        """Send a frame of our own, behind what is to be sent already."""
        self._out += (self._engine.data_to_send(), frame)

    @property
    def pending(self) -> int:
        """Bytes of frames that ``output`` would give, more or less."""
        return self._pending

    def output(self) -> bytes:
        """What is to be sent; it is forgotten here."""
        self._pending = 0
        if self._out:
            self._out.append(self._engine.data_to_send())
            data = b"".join(self._out)
            self._out.clear()
            return data
        return self._engine.data_to_send()


_HANDLERS: dict[int, Callable[[Protocol, Frame], Iterator[Happening]]] = {
    Kind.DATA: Protocol._data,
    Kind.HEADERS: Protocol._headers,
    Kind.PRIORITY: Protocol._priority,
    Kind.RST_STREAM: Protocol._rst_stream,
    Kind.SETTINGS: Protocol._settings,
    Kind.PUSH_PROMISE: Protocol._push_promise,
    Kind.PING: Protocol._ping,
    Kind.GOAWAY: Protocol._goaway,
    Kind.WINDOW_UPDATE: Protocol._window_update,
}
