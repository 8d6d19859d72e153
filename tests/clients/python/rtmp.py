"""RTMP on a socket, as far as a client needs it: handshake, chunks, messages, acknowledgements.

Written for the tests from the specification; it shares nothing with the server.
"""

import os
import socket
import struct
import threading
from dataclasses import dataclass, field

SET_CHUNK_SIZE, ACKNOWLEDGEMENT, USER_CONTROL, WINDOW_SIZE = 1, 3, 4, 5
AUDIO, VIDEO = 8, 9
DATA_AMF3, OBJECT_AMF3, COMMAND_AMF3 = 15, 16, 17
DATA_AMF0, OBJECT_AMF0, COMMAND_AMF0 = 18, 19, 20

HANDSHAKE = 1536
PING, PONG = 6, 7
CONTROL_CHUNKS = 2
OUR_CHUNK_SIZE = 4096
EXTENDED = 0xFFFFFF


@dataclass
class Message:
    kind: int
    stream: int
    payload: bytes
    time: int = 0


@dataclass
class Chunks:
    """The state of a received chunk stream."""

    time: int = 0
    delta: int = 0
    length: int = 0
    kind: int = 0
    stream: int = 0
    extended: bool = False
    partial: bytearray = field(default_factory=bytearray)


class Connection:
    """A connection after the handshake."""

    def __init__(self, host, port, timeout):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming = self.socket.makefile("rb")
        self.sending = threading.Lock()
        self.chunk_streams = {}
        self.their_chunk_size = 128
        self.window = None
        self.received = self.acknowledged = 0
        self._handshake()
        self.socket.settimeout(None)
        self._control(SET_CHUNK_SIZE, struct.pack(">I", OUR_CHUNK_SIZE))

    def _handshake(self):
        c1 = bytes(8) + os.urandom(HANDSHAKE - 8)
        self.socket.sendall(b"\x03" + c1)
        s0, s1, s2 = self._take(1), self._take(HANDSHAKE), self._take(HANDSHAKE)
        if s0 != b"\x03" or s2[8:] != c1[8:]:
            raise ConnectionError("the server does not echo our handshake")
        self.socket.sendall(s1)

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It is closed already.
        self.socket.close()

    def send(self, message, chunk_stream):
        """Sends a message in one piece; any thread may."""
        size = 128 if message.kind == SET_CHUNK_SIZE else OUR_CHUNK_SIZE
        time = min(message.time, EXTENDED)
        header = bytes([chunk_stream]) + struct.pack(">I", time)[1:]
        header += struct.pack(">I", len(message.payload))[1:]
        header += bytes([message.kind]) + struct.pack("<I", message.stream)
        extended = struct.pack(">I", message.time) if time == EXTENDED else b""
        out = bytearray(header + extended + message.payload[:size])
        for at in range(size, len(message.payload), size):
            out += bytes([0xC0 | chunk_stream]) + extended + message.payload[at : at + size]
        with self.sending:
            self.socket.sendall(out)

    def _control(self, kind, payload):
        self.send(Message(kind, 0, payload), CONTROL_CHUNKS)

    def receive(self):
        """The next message that is not for the connection itself; EOFError at the end."""
        while True:
            message = self._chunk()
            if message is not None and not self._serve(message):
                return message

    def _serve(self, message):
        payload = message.payload
        if message.kind == SET_CHUNK_SIZE:
            self.their_chunk_size = struct.unpack(">I", payload)[0]
        elif message.kind == WINDOW_SIZE:
            self.window = struct.unpack(">I", payload)[0]
        elif message.kind == USER_CONTROL and payload[:2] == struct.pack(">H", PING):
            self._control(USER_CONTROL, struct.pack(">H", PONG) + payload[2:])
        elif message.kind not in (ACKNOWLEDGEMENT, 2, 6):
            return False
        return True

    def _chunk(self):
        """Reads one chunk; the message that it completes."""
        first = self._take(1)[0]
        number = first & 0x3F
        if number == 0:
            number = 64 + self._take(1)[0]
        elif number == 1:
            number = 64 + struct.unpack("<H", self._take(2))[0]
        chunks = self.chunk_streams.setdefault(number, Chunks())
        self._header(chunks, first >> 6)
        left = chunks.length - len(chunks.partial)
        chunks.partial += self._take(min(left, self.their_chunk_size))
        if len(chunks.partial) < chunks.length:
            return None
        payload, chunks.partial = bytes(chunks.partial), bytearray()
        return Message(chunks.kind, chunks.stream, payload, chunks.time)

    def _header(self, chunks, form):
        begins = not chunks.partial
        if form < 3:
            time = int.from_bytes(self._take(3), "big")
            chunks.extended = time == EXTENDED
        if form < 2:
            chunks.length = int.from_bytes(self._take(3), "big")
            chunks.kind = self._take(1)[0]
        if form == 0:
            chunks.stream = struct.unpack("<I", self._take(4))[0]
        if chunks.extended:
            time = struct.unpack(">I", self._take(4))[0]
        if form == 0:
            chunks.time, chunks.delta = time, 0
        elif begins:
            if form < 3:
                chunks.delta = time
            chunks.time += chunks.delta

    def _take(self, count):
        data = self.incoming.read(count)
        if len(data) < count:
            raise EOFError
        self.received += count
        if self.window and self.received - self.acknowledged >= self.window // 2:
            self.acknowledged = self.received
            self._control(ACKNOWLEDGEMENT, struct.pack(">I", self.received & 0xFFFFFFFF))
        return data
