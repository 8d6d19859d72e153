// LoadVars: variables to and from a web server.
(function (host) {
  "use strict";
  const { defineProperty, keys } = Object;
  const { isArray } = Array;
  const text = (value) => String(value).toWellFormed();
  // Handlers and settings live under symbols, so that for-in sees the variables alone.
  const inside = {};
  for (const name of ["onLoad", "onData", "onHTTPStatus", "contentType", "loaded", "headers", "bytes"]) {
    inside[name] = Symbol(name);
  }
  const hidden = (owner, name, value) => {
    defineProperty(owner, name, { value, writable: true, enumerable: false, configurable: true });
  };
  const shown = (owner, name, value) => {
    defineProperty(owner, name, { value, writable: true, enumerable: true, configurable: true });
  };

  function LoadVars() {
    hidden(this, inside.loaded, undefined);
    hidden(this, inside.headers, undefined);
  }

  for (const name of ["onLoad", "onData", "onHTTPStatus", "contentType", "loaded"]) {
    const symbol = inside[name];
    defineProperty(LoadVars.prototype, name, {
      get() { return this[symbol]; },
      set(value) { hidden(this, symbol, value); },
      enumerable: false, configurable: true,
    });
  }

  const methods = {
    decode(source) {
      const found = host.decode(text(source));
      for (let i = 0; i < found.length; i += 2) {
        // A variable of the server replaces no handler.
        if (!(found[i] in inside)) shown(this, found[i], found[i + 1]);
      }
    },
    load(url) {
      return ask(this, this, url, "GET", "");
    },
    send(url, window, method) {
      return ask(this, null, url, verb(method === undefined ? window : method), this.toString());
    },
    sendAndLoad(url, target, method) {
      return ask(this, target, url, verb(method), this.toString());
    },
    toString() {
      const pairs = [];
      for (const name of keys(this)) {
        if (typeof this[name] !== "function") pairs.push(text(name), text(this[name]));
      }
      return host.encode(pairs);
    },
    addRequestHeader(name, value) {
      addHeader(this, name, value);
    },
    getBytesLoaded() { return this[inside.bytes]; },
    getBytesTotal() { return this[inside.bytes]; },
  };
  for (const name of keys(methods)) hidden(LoadVars.prototype, name, methods[name]);
  hidden(LoadVars.prototype, inside.contentType, "application/x-www-form-urlencoded");
  hidden(LoadVars.prototype, inside.onData, function (source) {
    let success = false;
    if (source !== undefined) {
      this.decode(source);
      success = true;
    }
    this.loaded = success;
    if (typeof this.onLoad === "function") this.onLoad(success);
  });

  function addHeader(owner, name, value) {
    const pairs = isArray(name) ? name : [name, value];
    const headers = owner[inside.headers] || [];
    for (let i = 0; i + 1 < pairs.length; i += 2) headers.push(text(pairs[i]), text(pairs[i + 1]));
    hidden(owner, inside.headers, headers);
  }

  function verb(method) {
    return text(method).toUpperCase() === "GET" ? "GET" : "POST";
  }

  // Sends the variables of `from`; `to` gets the response.
  function ask(from, to, url, method, body) {
    if (typeof url !== "string" || url === "") return false;
    url = text(url);
    const headers = (from[inside.headers] || []).slice();
    if (method === "GET") {
      if (body !== "") url += (url.includes("?") ? "&" : "?") + body;
      body = "";
    } else {
      headers.push("Content-Type", text(from[inside.contentType]));
    }
    if (to) to.loaded = false;
    host.request("LoadVars", method, url, headers, body, (response) => {
      if (to) host.deliver(to, response, inside.bytes);
    });
    return true;
  }

  return { LoadVars };
})
