"""The audio and video tags of an FLV file."""

import struct

HEADER = 9
TAG_HEADER = 11
AUDIO, VIDEO = 8, 9
GAP = 33


def tags(file):
    """(type, time in ms, payload) of each."""
    with open(file, "rb") as source:
        data = source.read()
    at = HEADER + 4
    while at + TAG_HEADER <= len(data):
        kind = data[at]
        length, low = struct.unpack(">I", b"\0" + data[at + 1 : at + 4])[0], data[at + 4 : at + 7]
        time = int.from_bytes(data[at + 7 : at + 8] + low, "big")
        body = at + TAG_HEADER
        if kind in (AUDIO, VIDEO):
            yield kind, time, data[body : body + length]
        at = body + length + 4


def endless(file):
    """The tags again and again, with times that go on."""
    every = list(tags(file))
    length = max(time for _, time, _ in every) + GAP
    begin = 0
    while True:
        for kind, time, payload in every:
            yield kind, begin + time, payload
        begin += length
