#!/usr/bin/env python3
"""A client for the tests on py3amf, as a Flash Player is: calls, shared objects, streams, AMF0
and AMF3. ../README.md describes its requests and events."""

import sys
import threading
import time
from urllib.parse import urlsplit

import flv
import lines
import rtmp
import shared_object
import values

CONNECT_TRANSACTION = 1
COMMAND_CHUNKS, OBJECT_CHUNKS, DATA_CHUNKS, AUDIO_CHUNKS, VIDEO_CHUNKS = 3, 3, 8, 4, 6
TIMEOUT = 15


class Client:
    def __init__(self):
        self.connection = None
        self.encoding = 0
        self.transactions = CONNECT_TRANSACTION
        self.open = {}  # transaction id: request
        self.answers = {}  # answers to the server's calls, by method
        self.versions = {}  # of the objects in use
        self.persistent = {}
        self.seen_media = set()

    def run(self):
        for request in lines.requests():
            try:
                getattr(self, "do_" + request["do"])(request)
            except (OSError, EOFError) as error:
                lines.refuse(request["id"], str(error))
        if self.connection:
            self.connection.close()

    # Requests of the test.

    def do_connect(self, request):
        url = urlsplit(request["url"])
        app = url.path.lstrip("/") + ("?" + url.query if url.query else "")
        self.encoding = request.get("encoding", 0)
        self.connection = rtmp.Connection(url.hostname, url.port or 1935, TIMEOUT)
        properties = {
            "app": app,
            "flashVer": "WIN 32,0,0,465",
            "swfUrl": request.get("swfUrl"),
            "tcUrl": request["url"],
            "fpad": False,
            "capabilities": 239,
            "audioCodecs": 3575,
            "videoCodecs": 252,
            "videoFunction": 1,
            "pageUrl": request.get("pageUrl"),
            "objectEncoding": self.encoding,
        }
        self.open[CONNECT_TRANSACTION] = request["id"]
        arguments = [values.from_json(value) for value in request.get("args", [])]
        body = values.encode(["connect", CONNECT_TRANSACTION, properties, *arguments], 0)
        self.connection.send(rtmp.Message(rtmp.COMMAND_AMF0, 0, body), COMMAND_CHUNKS)
        threading.Thread(target=self._receive, daemon=True).start()

    def do_call(self, request):
        transaction = 0
        if request.get("responder", True):
            self.transactions += 1
            transaction = self.transactions
            self.open[transaction] = request["id"]
        self._command(0, request["name"], transaction, request.get("args", []))
        if not transaction:
            lines.answer(request["id"], None)

    def do_answer(self, request):
        self.answers[request["name"]] = request
        lines.answer(request["id"], None)

    def do_use(self, request):
        name = request["object"]
        self.persistent[name] = request.get("persistent", False)
        self.versions[name] = request.get("version", 0)
        self._object(request, [(shared_object.USE, b"")])

    def do_release(self, request):
        self._object(request, [(shared_object.RELEASE, b"")])

    def do_set(self, request):
        value = values.from_json(request["value"])
        self._object(request, [shared_object.change(request["slot"], value, self.encoding)])

    def do_set_all(self, request):
        slots = request["slots"].items()
        events = [
            shared_object.change(slot, values.from_json(value), self.encoding)
            for slot, value in slots
        ]
        self._object(request, events)

    def do_remove(self, request):
        self._object(request, [shared_object.remove(request["slot"])])

    def do_clear(self, request):
        self._object(request, [(shared_object.REQUEST_CLEAR, b"")])

    def do_send(self, request):
        arguments = [values.from_json(value) for value in request.get("args", [])]
        event = shared_object.send(request["handler"], arguments, self.encoding)
        self._object(request, [event])

    def do_command(self, request):
        """A command of a message stream: publish, play, closeStream."""
        self._command(request["stream"], request["name"], 0, request.get("args", []))
        lines.answer(request["id"], None)

    def do_data(self, request):
        arguments = [values.from_json(value) for value in request["args"]]
        body = values.encode(arguments, self.encoding)
        kind = rtmp.DATA_AMF0
        if self.encoding == 3:
            kind, body = rtmp.DATA_AMF3, b"\0" + body
        message = rtmp.Message(kind, request["stream"], body, request.get("time", 0))
        self.connection.send(message, DATA_CHUNKS)
        lines.answer(request["id"], None)

    def do_media(self, request):
        """Sends the audio and video of an FLV file again and again at its own speed."""
        arguments = (request["stream"], request["file"])
        threading.Thread(target=self._stream, args=arguments, daemon=True).start()
        lines.answer(request["id"], None)

    def do_close(self, request):
        self.connection.close()
        lines.answer(request["id"], None)

    def _command(self, stream, name, transaction, arguments):
        arguments = [values.from_json(value) for value in arguments]
        self._write_command(stream, [name, transaction, None, *arguments])

    def _write_command(self, stream, command):
        body = values.encode(command, self.encoding)
        kind = rtmp.COMMAND_AMF0
        if self.encoding == 3:
            kind, body = rtmp.COMMAND_AMF3, b"\0" + body
        self.connection.send(rtmp.Message(kind, stream, body), COMMAND_CHUNKS)

    def _object(self, request, events):
        name = request["object"]
        version = request.get("version", self.versions.get(name, 0))
        body = shared_object.write(name, version, self.persistent.get(name, False), events)
        kind = rtmp.OBJECT_AMF0
        if self.encoding == 3:
            kind, body = rtmp.OBJECT_AMF3, b"\0" + body
        self.connection.send(rtmp.Message(kind, 0, body), OBJECT_CHUNKS)
        lines.answer(request["id"], None)

    def _stream(self, stream, file):
        began = time.monotonic()
        try:
            for kind, at, payload in flv.endless(file):
                time.sleep(max(0, began + at / 1000 - time.monotonic()))
                chunks = AUDIO_CHUNKS if kind == rtmp.AUDIO else VIDEO_CHUNKS
                self.connection.send(rtmp.Message(kind, stream, payload, at), chunks)
        except OSError:
            pass  # The receiving side reports the closed connection.

    # Messages of the server.

    def _receive(self):
        try:
            while True:
                self._handle(self.connection.receive())
        except (OSError, EOFError, ValueError):
            pass
        for request in self.open.values():
            lines.refuse(request, "closed")
        lines.event("closed")

    def _handle(self, message):
        body = message.payload
        if message.kind in (rtmp.DATA_AMF3, rtmp.OBJECT_AMF3, rtmp.COMMAND_AMF3):
            if body[0] != 0:
                lines.event("wrong", kind=message.kind, text="no leading 0")
            body = body[1:]
        if message.kind in (rtmp.COMMAND_AMF0, rtmp.COMMAND_AMF3):
            self._on_command(message, values.decode(body))
        elif message.kind in (rtmp.DATA_AMF0, rtmp.DATA_AMF3):
            data = [values.to_json(value) for value in values.decode(body)]
            lines.event("data", kind=message.kind, stream=message.stream, args=data)
        elif message.kind in (rtmp.OBJECT_AMF0, rtmp.OBJECT_AMF3):
            read = shared_object.read(body)
            self.versions[read["name"]] = read["version"]
            lines.event("object", kind=message.kind, **read)
        elif (message.stream, message.kind) not in self.seen_media:
            self.seen_media.add((message.stream, message.kind))
            lines.event("media", kind=message.kind, stream=message.stream)

    def _on_command(self, message, command):
        name, transaction, *rest = command
        arguments = [values.to_json(value) for value in rest[1:]]
        if name in ("_result", "_error"):
            request = self.open.pop(transaction, None)
            value = arguments[0] if arguments else None
            if request is None:
                lines.event("wrong", text=f"{name} to transaction {transaction}")
            elif name == "_result":
                lines.answer(request, value)
            else:
                lines.refuse(request, value)
        elif name == "onStatus":
            lines.event("status", stream=message.stream, info=arguments[0])
        else:
            kind, answered = message.kind, bool(transaction)
            lines.event("call", name=name, args=arguments, kind=kind, answered=answered)
            if transaction:
                self._answer(name, transaction)

    def _answer(self, name, transaction):
        answer = self.answers.get(name)
        if answer is None:
            info = {"level": "error", "code": "NetConnection.Call.Failed"}
            self._write_command(0, ["_error", transaction, None, info])
        elif "error" in answer:
            self._write_command(0, ["_error", transaction, None, values.from_json(answer["error"])])
        elif "value" in answer:
            self._write_command(0, ["_result", transaction, None, values.from_json(answer["value"])])


if __name__ == "__main__":
    sys.exit(Client().run())
