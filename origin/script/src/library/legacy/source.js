// Values as source text: toSource, uneval, quote.
(function (global) {
  "use strict";
  const { apply, ownKeys } = Reflect;
  const text = JSON.stringify;
  const add = (owner, name, value) => {
    Object.defineProperty(owner, name,
      { value, writable: true, enumerable: false, configurable: true });
  };
  const quote = (string) => text(string).replace(/[\u007f-\uffff]/g, (char) => {
    const code = char.charCodeAt(0).toString(16);
    return code.length > 2 ? "\\u" + code.padStart(4, "0") : "\\x" + code.toUpperCase();
  });
  const key = (name) => /^[A-Za-z_$][\w$]*$/.test(name) ? name : quote(name);

  function write(value, inside, outermost) {
    switch (typeof value) {
      case "undefined": return "(void 0)";
      case "string": return quote(value);
      case "number": return Object.is(value, -0) ? "-0" : String(value);
      case "function": return outermost ? "(" + value + ")" : String(value);
      case "object": return value === null ? "null" : object(value, inside, outermost);
      default: return String(value);
    }
  }

  function object(value, inside, outermost) {
    if (value instanceof Date) return "(new Date(" + value.getTime() + "))";
    if (value instanceof RegExp) return String(value);
    if (value instanceof String) return "(new String(" + quote(String(value)) + "))";
    if (value instanceof Number) return "(new Number(" + value + "))";
    if (value instanceof Boolean) return "(new Boolean(" + value + "))";
    if (value instanceof Error) return "(new " + value.name + "(" + quote(value.message) + "))";
    // A value that holds itself is left out: there are no sharp variables.
    if (inside.includes(value)) return Array.isArray(value) ? "[]" : "{}";
    inside.push(value);
    let out;
    if (Array.isArray(value)) {
      const items = [];
      for (let i = 0; i < value.length; i++) {
        items.push(i in value ? write(value[i], inside, false) : "");
      }
      const open = value.length > 0 && !((value.length - 1) in value) ? ", " : "";
      out = "[" + items.join(", ") + open + "]";
    } else {
      const members = [];
      for (const name of Object.keys(value)) {
        members.push(key(name) + ":" + write(value[name], inside, false));
      }
      out = "{" + members.join(", ") + "}";
      if (outermost) out = "(" + out + ")";
    }
    inside.pop();
    return out;
  }

  add(global, "uneval", function uneval(value) { return write(value, [], true); });
  add(Object.prototype, "toSource", function toSource() {
    const boxed = typeof this === "string" || typeof this === "number" || typeof this === "boolean";
    return write(boxed ? Object(this) : this, [], true);
  });
  add(String.prototype, "quote", function quote_() { return quote(String(this)); });
})(globalThis);
