// XMLSocket: texts that end with a zero byte, over TCP.
(function (host) {
  "use strict";
  const { defineProperty, keys } = Object;
  const text = (value) => String(value).toWellFormed();
  const inside = Symbol("socket");

  function XMLSocket() {
    defineProperty(this, inside, { value: { handle: null, number: 0 } });
  }

  const own = (socket) => {
    const known = socket instanceof XMLSocket && socket[inside];
    if (!known) throw new TypeError("this is no XMLSocket");
    return known;
  };
  const call = (socket, name, ...rest) => {
    if (typeof socket[name] === "function") socket[name](...rest);
  };

  const methods = {
    connect(address, port) {
      const known = own(this);
      this.close();
      const host_ = address === null || address === undefined || address === ""
        ? "localhost" : text(address).replace(/^[a-z]+:\/\//i, "").replace(/[:/].*$/, "");
      port = +port;
      if (!(port >= 1 && port <= 65535)) return false;
      // Events of a replaced connection are dropped.
      const number = ++known.number;
      known.handle = host.connect(host_, port, (event, data) => {
        if (known.number !== number) return;
        switch (event) {
          case "connect": call(this, "onConnect", true); break;
          case "data": call(this, "onData", data); break;
          case "failed": known.handle = null; call(this, "onConnect", false); break;
          case "close": known.handle = null; call(this, "onClose"); break;
        }
      });
      return known.handle !== null;
    },
    send(object) {
      const { handle } = own(this);
      return handle !== null && host.send(handle, text(object));
    },
    close() {
      const known = own(this);
      known.number++;
      if (known.handle !== null) host.close(known.handle);
      known.handle = null;
    },
    onData(source) {
      if (typeof this.onXML === "function") this.onXML(new (host.XML())(source));
    },
  };
  for (const name of keys(methods)) {
    defineProperty(XMLSocket.prototype, name,
      { value: methods[name], writable: true, enumerable: false, configurable: true });
  }
  return { XMLSocket };
})
