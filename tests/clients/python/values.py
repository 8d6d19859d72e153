"""ActionScript values as bytes, by py3amf, and as JSON for the test.

JSON has some values of its own: null, booleans, numbers, strings, arrays, objects. Other values are objects
with a "$": {"$": "undefined"}, {"$": "date", "ms": 0}, {"$": "bytes", "hex": "00ff"},
{"$": "xml", "text": "<a/>"}, {"$": "array", "value": {}} (an array with names),
{"$": "collection", "value": []}, {"$": "typed", "class": "a.B", "value": {}},
{"$": "number", "text": "nan"}.
"""

import datetime
import math
from xml.etree import ElementTree

import pyamf
from pyamf import amf3, util
from pyamf.flex import ArrayCollection

PRIMITIVE = (type(None), bool, int, float, str, pyamf.UndefinedType)
EPOCH = datetime.datetime(1970, 1, 1)


def encode(values, object_encoding):
    """AMF0 values in a row. With objectEncoding 3, objects are AMF3 behind a 0x11, as a Flash
    Player sends them."""
    stream = util.BufferedByteStream()
    for value in values:
        # An encoder for each value: values share no references.
        encoder = pyamf.get_encoder(pyamf.AMF0, stream)
        encoder.use_amf3 = object_encoding == 3 and not isinstance(value, PRIMITIVE)
        encoder.writeElement(value)
    return stream.getvalue()


def decode(data):
    """The AMF0 values in a row of bytes."""
    stream = util.BufferedByteStream(data)
    values = []
    while stream.remaining():
        values.append(decode_one(stream))
    return values


def decode_one(stream):
    """The next AMF0 value of a stream. A 0x11 holds for one value."""
    return pyamf.get_decoder(pyamf.AMF0, stream).readElement()


def from_json(value):
    """A value of the test for py3amf."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("$")
    if kind is None:
        return pyamf.ASObject({key: from_json(item) for key, item in value.items()})
    return FROM_JSON[kind](value)


def to_json(value):
    """A value of py3amf for the test."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"$": "number", "text": str(value)}
    if value is pyamf.Undefined:
        return {"$": "undefined"}
    if isinstance(value, PRIMITIVE):
        return value
    if isinstance(value, datetime.datetime):
        return {"$": "date", "ms": (value - EPOCH) / datetime.timedelta(milliseconds=1)}
    if isinstance(value, amf3.ByteArray):
        return {"$": "bytes", "hex": value.getvalue().hex()}
    if isinstance(value, ArrayCollection):
        return {"$": "collection", "value": [to_json(item) for item in value]}
    if isinstance(value, pyamf.TypedObject):
        return {"$": "typed", "class": value.alias, "value": _members(value)}
    if isinstance(value, Typed):
        return {"$": "typed", "class": value.alias, "value": _members(vars(value))}
    if isinstance(value, pyamf.MixedArray):
        return {"$": "array", "value": _members(value)}
    if isinstance(value, dict):
        return _members(value)
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return {"$": "xml", "text": ElementTree.tostring(value, encoding="unicode")}


def _members(value):
    return {str(key): to_json(item) for key, item in value.items()}


class Typed:
    """An object of a class; each class of the test is one of Python's, as py3amf wants it."""

    classes = {}

    @classmethod
    def of(cls, alias):
        if alias not in cls.classes:
            cls.classes[alias] = type("Typed", (cls,), {"alias": alias})
            pyamf.register_class(cls.classes[alias], alias)
        return cls.classes[alias]()


def _typed(value):
    typed = Typed.of(value["class"])
    vars(typed).update({key: from_json(item) for key, item in value["value"].items()})
    return typed


FROM_JSON = {
    "undefined": lambda value: pyamf.Undefined,
    "date": lambda value: EPOCH + datetime.timedelta(milliseconds=value["ms"]),
    "bytes": lambda value: amf3.ByteArray(bytes.fromhex(value["hex"])),
    "xml": lambda value: ElementTree.fromstring(value["text"]),
    "array": lambda value: pyamf.MixedArray(
        {key: from_json(item) for key, item in value["value"].items()}
    ),
    "collection": lambda value: ArrayCollection([from_json(item) for item in value["value"]]),
    "typed": _typed,
    "number": lambda value: float(value["text"]),
}
