// Classes of a few lines: SHA256, Log, and classes that do not exist here.
(function (host) {
  "use strict";
  const text = (value) => String(value).toWellFormed();
  const data = (value) => {
    if (value instanceof Uint8Array) return value;
    return value !== null && typeof value === "object" && value.bytes instanceof Uint8Array
      ? value.bytes : text(value);
  };

  class SHA256 {
    #parts = [];
    update(value) { this.#parts.push(data(value)); return this; }
    digest(value) {
      if (value !== undefined) this.update(value);
      const parts = this.#parts;
      this.#parts = [];
      return host.sha256(parts);
    }
    static hash(value) { return host.sha256([data(value)]); }
  }

  const LEVELS = ["none", "brief", "verbose", "debug"];
  class Log {
    constructor(level, name) {
      this.level = level === undefined ? 1 : LEVELS.indexOf(text(level).toLowerCase()) >= 0
        ? LEVELS.indexOf(text(level).toLowerCase()) : +level || 0;
      this.name = name === undefined ? "" : text(name);
    }
    logInfo(message, level = 1) {
      if (level <= this.level) this.onLog("[INFO] " + (this.name && this.name + ": ") + text(message));
    }
    logDebug(message) { this.logInfo(message, 3); }
    onLog(message) { host.trace(message); }
  }
  Log.NONE = 0;
  Log.BRIEF = 1;
  Log.VERBOSE = 2;
  Log.DEBUG = 3;

  const absent = (name, instead) => function () {
    throw new Error(name + " does not exist here: " + instead + "; see docs/porting-from-fms.md");
  };
  return {
    SHA256, Log,
    WebService: absent("WebService", "send the envelope with XML.sendAndLoad or fetch"),
    SOAPCall: absent("SOAPCall", "send the envelope with XML.sendAndLoad or fetch"),
    SOAPFault: absent("SOAPFault", "read the answer with XML"),
    XMLStreams: absent("XMLStreams", "use XMLSocket, or a service beside the server"),
  };
})
