// What the host needs of the language itself, taken before a script can change it.
(function () {
  "use strict";
  const { apply } = Reflect;
  const { getPrototypeOf, defineProperty } = Object;
  const { isArray, from } = Array;
  const { isView } = ArrayBuffer;
  const { min } = Math;
  const uncurry = (method) => (self, ...rest) => apply(method, self, rest);
  const hasOwn = uncurry(Object.prototype.hasOwnProperty);
  const split = uncurry(String.prototype.split);
  const splice = uncurry(Array.prototype.splice);
  const indexOf = uncurry(Array.prototype.indexOf);
  const subarray = uncurry(Uint8Array.prototype.subarray);
  const time = uncurry(Date.prototype.getTime);
  const { fromCharCode } = String;
  const hasWeak = uncurry(WeakSet.prototype.has);
  const addWeak = uncurry(WeakSet.prototype.add);
  const source = uncurry(Function.prototype.toString);
  const startsWith = uncurry(String.prototype.startsWith);
  const endsWith = uncurry(String.prototype.endsWith);
  const classes = [Number, String, Boolean, BigInt, Symbol];
  const ErrorClass = Error, MapClass = Map, SetClass = Set, DateClass = Date, Bytes = Uint8Array;
  const Buffer = ArrayBuffer, Range = RangeError, Weak = WeakRef;
  const deref = uncurry(WeakRef.prototype.deref);

  // A function of the script's own, or bound by it: peers' calls reach no others.
  const own = new WeakSet();
  function isOwn(value) {
    if (typeof value !== "function") return false;
    if (hasWeak(own, value)) return true;
    if (endsWith(source(value), "{\n    [native code]\n}") && !startsWith("" + value.name, "bound ")) {
      return false;
    }
    addWeak(own, value);
    return true;
  }

  // Where what an object has ends for peers: what the language or the host gives it.
  const foreign = new WeakSet();
  for (const { prototype } of [Object, Function, Array, String]) addWeak(foreign, prototype);
  function member(owner, name) {
    if (name === "constructor" || name === "__proto__" || name === "prototype") return undefined;
    for (let at = owner; at !== null && !hasWeak(foreign, at); at = getPrototypeOf(at)) {
      if (hasOwn(at, name)) return owner[name];
    }
    return undefined;
  }

  // The function that a peer means by a name, and the object it belongs to.
  function find(client, path) {
    const names = split(path, /[./]/);
    if (names.length > 4) return null;
    let owner = client;
    for (let i = 0; i < names.length - 1; i++) {
      owner = member(owner, names[i]);
      if (owner === null || (typeof owner !== "object" && typeof owner !== "function")) return null;
    }
    const method = member(owner, names[names.length - 1]);
    return isOwn(method) ? [owner, method] : null;
  }

  // Under this an object of the host's ByteArray has its bytes.
  const ownBytes = Symbol.for("amf.bytes");

  function shape(object) {
    if (isView(object) || object instanceof Buffer || isView(object[ownBytes])) return 3;
    if (object instanceof DateClass) {
      try { time(object); return 2; } catch { return 0; }
    }
    if (object instanceof MapClass) return 4;
    if (object instanceof SetClass) return 5;
    if (object instanceof ErrorClass) return 6;
    for (let i = 0; i < classes.length; i++) if (object instanceof classes[i]) return 7;
    return 0;
  }

  // Bytes as a string of characters up to 255.
  function bytes(object) {
    if (isView(object[ownBytes])) object = object[ownBytes];
    const all = isView(object)
      ? new Bytes(object.buffer, object.byteOffset, object.byteLength) : new Bytes(object);
    let text = "";
    for (let at = 0; at < all.length; at += 8192) {
      text += apply(fromCharCode, null, subarray(all, at, min(at + 8192, all.length)));
    }
    return text;
  }

  function remove(list, item) {
    const at = indexOf(list, item);
    if (at >= 0) splice(list, at, 1);
  }

  // Methods that go over items without a look at the clock: an array of this length, which holds
  // next to nothing, or a search of this many steps would take longer than a turn may.
  const MOST_ITEMS = 0x400000, MOST_STEPS = 0x4000000;
  const length = (list) => {
    if (list !== null && list !== undefined && list.length > MOST_ITEMS) {
      throw new Range("the array is too long for this method");
    }
  };
  function replace(prototype, name, guard) {
    const original = prototype[name];
    const guarded = { [name](...rest) { guard(this, rest); return apply(original, this, rest); } }[name];
    defineProperty(guarded, "length", { value: original.length, configurable: true });
    defineProperty(prototype, name,
      { value: guarded, writable: true, enumerable: false, configurable: true });
  }
  for (const name of ["join", "fill", "reverse", "slice", "copyWithin", "splice", "unshift", "shift",
    "sort", "toSorted", "toReversed", "toSpliced", "with", "toLocaleString", "flatMap"]) {
    replace(Array.prototype, name, length);
  }
  replace(Array.prototype, "concat", (self, rest) => {
    length(self);
    for (let i = 0; i < rest.length; i++) length(rest[i]);
  });
  function lengths(list, depth) {
    length(list);
    if (depth > 0) for (const item of list) if (isArray(item)) lengths(item, depth - 1);
  }
  replace(Array.prototype, "flat", (self, rest) => {
    lengths(self, rest.length > 0 ? min(+rest[0], 64) : 1);
  });
  for (const name of ["indexOf", "lastIndexOf", "includes", "split", "replace", "replaceAll"]) {
    replace(String.prototype, name, (self, rest) => {
      const sought = rest[0];
      if (typeof sought === "string" && sought.length > 256
        && sought.length * ("" + self).length > MOST_STEPS) {
        throw new Range("the text is too long for this search");
      }
    });
  }

  // Globals that are made when they are first read, and are ordinary ones from then on.
  function lazy(global, names, make) {
    const define = (name, value, enumerable) => {
      defineProperty(global, name, { value, writable: true, enumerable, configurable: true });
      return value;
    };
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      defineProperty(global, name, {
        get: () => define(name, make(name), false),
        set: (value) => { define(name, value, true); },
        enumerable: false, configurable: true,
      });
    }
  }

  return {
    find, lazy, shape, bytes, remove,
    items: (object) => from(object),
    foreign: (object) => { addWeak(foreign, object); },
    weak: (object) => new Weak(object),
    strong: (weak) => deref(weak),
    probe: (size) => { new Buffer(size); },
    objects: Object.prototype,
  };
})
