// fetch, as far as scripts that talk to web services need it.
(function (host) {
  "use strict";
  const text = (value) => String(value).toWellFormed();

  function pairs(headers) {
    if (headers === undefined || headers === null) return [];
    const found = Array.isArray(headers) || typeof headers.entries === "function"
      ? [...(Array.isArray(headers) ? headers : headers.entries())] : Object.entries(headers);
    return found.flatMap(([name, value]) => [text(name), text(value)]);
  }

  function headersOf(flat) {
    const map = new Map();
    for (let i = 0; i < flat.length; i += 2) {
      const before = map.get(flat[i]);
      map.set(flat[i], before === undefined ? flat[i + 1] : before + ", " + flat[i + 1]);
    }
    const name = (given) => text(given).toLowerCase();
    return {
      get: (given) => map.get(name(given)) ?? null,
      has: (given) => map.has(name(given)),
      forEach: (call) => map.forEach((value, key) => call(value, key)),
      entries: () => map.entries(),
      keys: () => map.keys(),
      values: () => map.values(),
      [Symbol.iterator]: () => map.entries(),
    };
  }

  class Response {
    #answer;
    #used = false;
    constructor(answer) {
      this.#answer = answer;
      this.status = answer.status;
      this.ok = answer.status >= 200 && answer.status < 300;
      this.statusText = "";
      this.url = answer.url;
      this.headers = headersOf(answer.headers);
    }
    get bodyUsed() { return this.#used; }
    #take() {
      if (this.#used) throw new TypeError("the body was read before");
      this.#used = true;
      const answer = this.#answer;
      this.#answer = null;
      return answer;
    }
    async text() { return this.#take().text; }
    async json() { return JSON.parse(this.#take().text); }
    async bytes() { return this.#take().bytes(); }
    async arrayBuffer() { return this.#take().bytes().buffer; }
  }

  async function fetch(url, options = {}) {
    const headers = pairs(options.headers);
    let body = options.body ?? "";
    if (typeof body !== "string" && !(body instanceof Uint8Array)) {
      if (body instanceof ArrayBuffer) body = new Uint8Array(body);
      else if (ArrayBuffer.isView(body)) body = new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
      else body = text(body);
    }
    if (typeof body === "string") {
      body = body.toWellFormed();
      const named = headers.some((name, index) => index % 2 === 0 && name.toLowerCase() === "content-type");
      if (body !== "" && !named) headers.push("Content-Type", "text/plain;charset=UTF-8");
    }
    const method = text(options.method ?? "GET").toUpperCase();
    return new Promise((resolve, reject) => {
      host.request("fetch", method, text(url), headers, body, (response, why) => {
        if (response === null) reject(new TypeError(why));
        else resolve(new Response(response));
      });
    });
  }

  return { fetch };
})
