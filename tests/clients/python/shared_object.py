"""Shared-object messages: body {name, version, flags, events}, see the events below."""

import struct

from pyamf import util

import values

USE, RELEASE, REQUEST_CHANGE, CHANGE, SUCCESS, SEND, STATUS = 1, 2, 3, 4, 5, 6, 7
CLEAR, REMOVE, REQUEST_REMOVE, USE_SUCCESS, SLOT_VERSION, ECHO, REQUEST_CLEAR = range(8, 15)
PERSISTENT = 2


def write(name, version, persistent, events):
    """A message's body; events are pairs of type and data."""
    flags = PERSISTENT if persistent else 0
    body = bytearray(_text(name) + struct.pack(">III", version, flags, 0))
    for kind, data in events:
        body += struct.pack(">BI", kind, len(data)) + data
    return bytes(body)


def change(slot, value, object_encoding):
    return REQUEST_CHANGE, _text(slot) + values.encode([value], object_encoding)


def remove(slot):
    return REQUEST_REMOVE, _text(slot)


def send(handler, arguments, object_encoding):
    return SEND, values.encode([handler, *arguments], object_encoding)


def read(body):
    """A message as the test reads it: name, version, persistent, events."""
    stream = util.BufferedByteStream(body)
    name = _read_text(stream)
    version, flags, _ = struct.unpack(">III", stream.read(12))
    events = []
    while stream.remaining():
        kind, length = struct.unpack(">BI", stream.read(5))
        data = util.BufferedByteStream(stream.read(length) if length else b"")
        events.extend(_event(kind, data))
    return {
        "name": name,
        "version": version,
        "persistent": bool(flags & PERSISTENT),
        "events": events,
    }


def _event(kind, data):
    if kind == USE_SUCCESS:
        yield {"code": "connect"}
    elif kind == CLEAR:
        yield {"code": "clear"}
    elif kind == CHANGE:
        # Several pairs may stand in one event.
        while data.remaining():
            yield {"code": "change", "slot": _read_text(data), "value": _read_value(data)}
    elif kind == SUCCESS:
        yield {"code": "success", "slot": _read_text(data)}
    elif kind == ECHO:
        yield {"code": "success", "slot": _read_text(data), "value": _read_value(data)}
    elif kind == REMOVE:
        yield {"code": "delete", "slot": _read_text(data)}
    elif kind == STATUS:
        yield {"code": "status", "info": {"code": _read_text(data), "level": _read_text(data)}}
    elif kind == SEND:
        handler, *arguments = values.decode(data.read(data.remaining()))
        yield {
            "code": "message",
            "handler": handler,
            "args": [values.to_json(argument) for argument in arguments],
        }
    else:
        yield {"code": "unknown", "type": kind, "hex": data.read(data.remaining()).hex()}


def _read_value(data):
    return values.to_json(values.decode_one(data))


def _read_text(data):
    return data.read(data.read_ushort()).decode() if data.remaining() else ""


def _text(text):
    data = text.encode()
    return struct.pack(">H", len(data)) + data
