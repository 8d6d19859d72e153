#!/usr/bin/env python3
"""python-librtmp for the tests: connect, calls to the server, calls from the server.

librtmp reads only when it is called, so the test decides when to wait: see "pump" in ../README.md.
"""

import sys

import librtmp
from librtmp.amf import AMFObject

import lines

TIMEOUT = 15


class Refused(Exception):
    """The server answered with _error."""


class Client:
    def __init__(self):
        self.connection = None
        self.handlers = {"_error": self._refused}
        self.heard = []  # calls that the test has not asked for

    def run(self):
        for request in lines.requests():
            try:
                lines.answer(request["id"], getattr(self, "do_" + request["do"])(request))
            except Refused as error:
                lines.refuse(request["id"], error.args[0])
            except librtmp.RTMPError as error:
                lines.refuse(request["id"], str(error))

    def do_connect(self, request):
        arguments = request.get("args")
        self.connection = librtmp.RTMP(request["url"], connect_data=arguments, timeout=TIMEOUT)
        # The text after the application's name is part of the application here, not a playpath.
        self.connection.set_option("app", request["url"].split("/", 3)[3])
        self.connection.set_option("tcUrl", request["url"])
        for name, handler in self.handlers.items():
            self.connection.register_invoke_handler(name, handler)
        return self._finish(self.connection.connect())

    def do_call(self, request):
        arguments = [_from_json(value) for value in request.get("args", [])]
        return self._finish(self.connection.call(request["name"], *arguments))

    def do_answer(self, request):
        """Sets the answer to the server's calls of a method. librtmp answers by _result alone."""
        name, value = request["name"], _from_json(request.get("value"))

        def called(*arguments):
            self.heard.append((name, list(arguments)))
            return value

        self.handlers[name] = called
        if self.connection:
            self.connection.register_invoke_handler(name, called)

    def do_pump(self, request):
        """Reads until the server has called a method; its arguments."""
        name = request["until"]
        while True:
            for at, (heard, arguments) in enumerate(self.heard):
                if heard == name:
                    del self.heard[at]
                    return arguments
            self.connection.process_packets(invoked_method=name, timeout=TIMEOUT)
            if not self.connection.connected:
                raise librtmp.RTMPError("closed")

    def do_close(self, _):
        self.connection.close()

    def _finish(self, call):
        result = call.result(timeout=TIMEOUT)
        if not self.connection.connected:
            raise librtmp.RTMPError("closed")
        return result

    @staticmethod
    def _refused(*arguments):
        raise Refused(arguments[0] if arguments else None)


def _from_json(value):
    """librtmp writes a dict as an ECMA array, an AMFObject as an object."""
    if isinstance(value, dict):
        return AMFObject({key: _from_json(item) for key, item in value.items()})
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return value


if __name__ == "__main__":
    sys.exit(Client().run())
