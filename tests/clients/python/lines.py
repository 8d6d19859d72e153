"""The line protocol of the test clients: one JSON object a line, see ../README.md."""

import json
import sys
import threading

_writing = threading.Lock()


def requests():
    """The requests of the test, until it closes the input."""
    for line in sys.stdin:
        yield json.loads(line)


def answer(request, value):
    """Writes the result of a request."""
    _write({"id": request, "value": value})


def refuse(request, error):
    """Writes the error of a request."""
    _write({"id": request, "error": error})


def event(what, /, **details):
    """Writes an event that is no answer."""
    _write({"event": what, **details})


def _write(message):
    text = json.dumps(_whole(message), allow_nan=False)
    with _writing:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _whole(value):
    """Numbers as JSON has them elsewhere: whole ones without a fraction, large ones as doubles."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, int) and abs(value) >= 2**53:
        return float(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value
