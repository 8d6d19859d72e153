// XML and XMLNode: trees that scripts read, change and send.
(function (host) {
  "use strict";
  const { create, defineProperty, keys } = Object;
  const { isArray } = Array;
  const text = (value) => String(value).toWellFormed();
  const ELEMENT = 1, TEXT = 3;
  const parent = Symbol("parentNode"), next = Symbol("nextSibling"), previous = Symbol("previousSibling");
  const inside = {};
  for (const name of ["onLoad", "onData", "onHTTPStatus", "contentType", "loaded", "headers", "bytes",
    "status", "ignoreWhite", "xmlDecl", "docTypeDecl"]) {
    inside[name] = Symbol(name);
  }
  const hidden = (owner, name, value) => {
    defineProperty(owner, name, { value, writable: true, enumerable: false, configurable: true });
  };
  const shown = (owner, name, value) => {
    defineProperty(owner, name, { value, writable: true, enumerable: true, configurable: true });
  };
  const add = (owner, members) => {
    for (const name of keys(members)) hidden(owner, name, members[name]);
  };
  const read = (owner, getters) => {
    for (const name of keys(getters)) {
      defineProperty(owner, name, { get: getters[name], enumerable: false, configurable: true });
    }
  };

  function XMLNode(type, value) {
    begin(this, type === TEXT ? TEXT : ELEMENT, value === undefined ? null : text(value));
  }

  function begin(node, type, value) {
    hidden(node, "nodeType", type);
    hidden(node, "nodeName", type === ELEMENT ? value : null);
    hidden(node, "nodeValue", type === TEXT ? value : null);
    hidden(node, "attributes", {});
    hidden(node, "childNodes", []);
    node[parent] = node[next] = node[previous] = null;
    return node;
  }

  const make = (type, value) => begin(create(XMLNode.prototype), type, value);
  const isNode = (value) => value instanceof XMLNode;

  read(XMLNode.prototype, {
    parentNode() { return this[parent]; },
    nextSibling() { return this[next]; },
    previousSibling() { return this[previous]; },
    firstChild() { return this.childNodes.length > 0 ? this.childNodes[0] : null; },
    lastChild() {
      const children = this.childNodes;
      return children.length > 0 ? children[children.length - 1] : null;
    },
    localName() { return this.nodeName === null ? null : this.nodeName.replace(/^.*:/, ""); },
    prefix() {
      if (this.nodeName === null) return null;
      const at = this.nodeName.indexOf(":");
      return at < 0 ? "" : this.nodeName.slice(0, at);
    },
    namespaceURI() {
      return this.nodeName === null ? null : this.getNamespaceForPrefix(this.prefix) || "";
    },
  });

  // Removes a node from its parent.
  function detach(node) {
    const owner = node[parent];
    if (!owner) return;
    const at = owner.childNodes.indexOf(node);
    if (at >= 0) owner.childNodes.splice(at, 1);
    if (node[previous]) node[previous][next] = node[next];
    if (node[next]) node[next][previous] = node[previous];
    node[parent] = node[next] = node[previous] = null;
  }

  function holds(node, other) {
    if (node.childNodes.length === 0) return node === other;
    for (let at = other; at; at = at[parent]) if (at === node) return true;
    return false;
  }

  function append(owner, node) {
    const children = owner.childNodes;
    const last = children.length > 0 ? children[children.length - 1] : null;
    node[parent] = owner;
    node[previous] = last;
    node[next] = null;
    if (last) last[next] = node;
    children.push(node);
  }

  add(XMLNode.prototype, {
    appendChild(node) {
      if (!isNode(node) || holds(node, this)) return;
      detach(node);
      append(this, node);
    },
    insertBefore(node, before) {
      if (!isNode(node) || holds(node, this) || node === before) return;
      if (!isNode(before) || before[parent] !== this) {
        this.appendChild(node);
        return;
      }
      detach(node);
      this.childNodes.splice(this.childNodes.indexOf(before), 0, node);
      node[parent] = this;
      node[previous] = before[previous];
      node[next] = before;
      if (before[previous]) before[previous][next] = node;
      before[previous] = node;
    },
    removeNode() { detach(this); },
    hasChildNodes() { return this.childNodes.length > 0; },
    cloneNode(deep) {
      const copy = (node) => {
        const made = make(node.nodeType, node.nodeType === TEXT ? node.nodeValue : node.nodeName);
        for (const name of keys(node.attributes)) shown(made.attributes, name, node.attributes[name]);
        return made;
      };
      const root = copy(this);
      if (deep) walk(this, (node, made) => {
        const child = copy(node);
        append(made, child);
        return child;
      }, root);
      return root;
    },
    getNamespaceForPrefix(prefix) {
      const name = prefix ? "xmlns:" + prefix : "xmlns";
      for (let node = this; node; node = node[parent]) {
        const uri = node.attributes[name];
        if (uri !== undefined) return uri;
      }
      return null;
    },
    getPrefixForNamespace(uri) {
      for (let node = this; node; node = node[parent]) {
        for (const name of keys(node.attributes)) {
          if (node.attributes[name] !== uri) continue;
          if (name === "xmlns") return "";
          if (name.startsWith("xmlns:")) return name.slice(6);
        }
      }
      return null;
    },
    toString() { return write(this); },
  });

  // Visits the nodes below a node without recursion: trees may be deeper than the stack.
  function walk(root, enter, made) {
    const copies = [made];
    let node = root.childNodes[0];
    while (node) {
      const copy = enter(node, copies[copies.length - 1]);
      if (node.childNodes.length > 0) {
        copies.push(copy);
        node = node.childNodes[0];
        continue;
      }
      while (node && !node[next]) {
        node = node[parent];
        if (node === root) return;
        copies.pop();
      }
      node = node && node[next];
    }
  }

  function opening(node) {
    let out = "<" + text(node.nodeName);
    for (const name of keys(node.attributes)) {
      out += " " + text(name) + "=\"" + host.escape(text(node.attributes[name])) + "\"";
    }
    return out + (node.childNodes.length > 0 ? ">" : " />");
  }

  function write(root) {
    const parts = [];
    if (root.xmlDecl) parts.push(root.xmlDecl);
    if (root.docTypeDecl) parts.push(root.docTypeDecl);
    const named = (node) => node.nodeType === ELEMENT && node.nodeName !== null;
    let node = root;
    for (;;) {
      if (node.nodeType === TEXT) parts.push(host.escape(text(node.nodeValue)));
      else if (named(node)) parts.push(opening(node));
      if (node.childNodes.length > 0) {
        node = node.childNodes[0];
        continue;
      }
      while (node !== root && !node[next]) {
        node = node[parent];
        if (named(node)) parts.push("</" + text(node.nodeName) + ">");
      }
      if (node === root) return parts.join("");
      node = node[next];
    }
  }

  function XML(source) {
    begin(this, ELEMENT, null);
    if (source !== undefined && source !== null) this.parseXML(source);
  }
  XML.prototype = create(XMLNode.prototype);
  hidden(XML.prototype, "constructor", XML);

  for (const name of ["onLoad", "onData", "onHTTPStatus", "contentType", "loaded", "status",
    "ignoreWhite", "xmlDecl", "docTypeDecl"]) {
    const symbol = inside[name];
    defineProperty(XML.prototype, name, {
      get() { return this[symbol]; },
      set(value) { hidden(this, symbol, value); },
      enumerable: false, configurable: true,
    });
  }
  hidden(XML.prototype, inside.contentType, "application/x-www-form-urlencoded");
  hidden(XML.prototype, inside.ignoreWhite, false);
  hidden(XML.prototype, inside.status, 0);
  hidden(XML.prototype, inside.onData, function (source) {
    if (source === undefined) {
      this.loaded = false;
      if (typeof this.onLoad === "function") this.onLoad(false);
      return;
    }
    this.parseXML(source);
    this.loaded = true;
    if (typeof this.onLoad === "function") this.onLoad(this.status === 0);
  });

  const START = 1, END = 2, DECLARATION = 4, DOCTYPE = 5;
  add(XML.prototype, {
    parseXML(source) {
      for (const node of this.childNodes.slice()) detach(node);
      this.xmlDecl = this.docTypeDecl = undefined;
      const found = host.parse(text(source), !!this.ignoreWhite);
      this.status = found[0];
      let owner = this;
      for (let i = 1; i < found.length;) {
        switch (found[i++]) {
          case START: {
            const node = make(ELEMENT, found[i++]);
            for (let count = found[i++]; count > 0; count--) {
              shown(node.attributes, found[i++], found[i++]);
            }
            append(owner, node);
            owner = node;
            break;
          }
          case END: owner = owner[parent]; break;
          case TEXT: append(owner, make(TEXT, found[i++])); break;
          case DECLARATION: this.xmlDecl = (this.xmlDecl || "") + found[i++]; break;
          case DOCTYPE: this.docTypeDecl = found[i++]; break;
        }
      }
    },
    createElement(name) { return make(ELEMENT, text(name)); },
    createTextNode(value) { return make(TEXT, text(value)); },
    load(url) { return ask(this, this, url, "GET", ""); },
    send(url) { return ask(this, null, url, "POST", this.toString()); },
    sendAndLoad(url, target) { return ask(this, target, url, "POST", this.toString()); },
    addRequestHeader(name, value) {
      const pairs = isArray(name) ? name : [name, value];
      const headers = this[inside.headers] || [];
      for (let i = 0; i + 1 < pairs.length; i += 2) headers.push(text(pairs[i]), text(pairs[i + 1]));
      hidden(this, inside.headers, headers);
    },
    getBytesLoaded() { return this[inside.bytes]; },
    getBytesTotal() { return this[inside.bytes]; },
  });

  function ask(from, to, url, method, body) {
    if (typeof url !== "string" || url === "") return false;
    const headers = (from[inside.headers] || []).slice();
    if (method === "POST") headers.push("Content-Type", text(from.contentType));
    if (to) to.loaded = false;
    host.request("XML", method, text(url), headers, body, (response) => {
      if (to) host.deliver(to, response, inside.bytes);
    });
    return true;
  }

  return { XML, XMLNode };
})
