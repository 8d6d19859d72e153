// Functions of the language for the host, taken before a script can change them.
(function () {
  "use strict";
  const { apply, ownKeys } = Reflect;
  const { getPrototypeOf, getOwnPropertyDescriptor, defineProperty, hasOwn } = Object;
  const plain = Object.prototype;
  const { toString } = Function.prototype;
  const { split, includes, startsWith, endsWith } = String.prototype;
  const { splice, indexOf } = Array.prototype;
  const { has, add } = WeakSet.prototype;
  const { deref } = WeakRef.prototype;
  const Buffer = ArrayBuffer, Weak = WeakRef;

  // A function that the script has defined or bound: peers' calls reach no others.
  const own = new WeakSet();
  const NATIVE = "{\n    [native code]\n}";
  function isOwn(value) {
    if (typeof value !== "function") return false;
    if (apply(has, own, [value])) return true;
    if (apply(endsWith, apply(toString, value, []), [NATIVE])
      && !apply(startsWith, "" + value.name, ["bound "])) {
      return false;
    }
    apply(add, own, [value]);
    return true;
  }

  // The end of an object's members for peers: prototypes of the language and of the host.
  const foreign = new WeakSet();
  const hide = (object) => { apply(add, foreign, [object]); };
  for (const { prototype } of [Object, Function, Array, String]) hide(prototype);
  function member(owner, name) {
    if (name === "constructor" || name === "__proto__" || name === "prototype") return undefined;
    for (let at = owner; at !== null && !apply(has, foreign, [at]); at = getPrototypeOf(at)) {
      if (hasOwn(at, name)) return owner[name];
    }
    return undefined;
  }

  // The function of a name in a peer's call, and its object.
  function find(client, path) {
    if (!apply(includes, path, ["."]) && !apply(includes, path, ["/"])) {
      const method = member(client, path);
      return isOwn(method) ? [client, method] : null;
    }
    const names = apply(split, path, [/[./]/]);
    if (names.length > 4) return null;
    let owner = client;
    for (let i = 0; i < names.length - 1; i++) {
      owner = member(owner, names[i]);
      if (owner === null || (typeof owner !== "object" && typeof owner !== "function")) return null;
    }
    const method = member(owner, names[names.length - 1]);
    return isOwn(method) ? [owner, method] : null;
  }

  // Whether a peer's message can name a function of this object, or of plain objects in it.
  function handles(owner, depth) {
    for (let at = owner; at !== null && !apply(has, foreign, [at]); at = getPrototypeOf(at)) {
      const names = ownKeys(at);
      for (let i = 0; i < names.length; i++) {
        const { get, value } = getOwnPropertyDescriptor(at, names[i]);
        if (get !== undefined || typeof value === "function") return true;
        if (typeof value === "object" && value !== null && depth > 0
          && getPrototypeOf(value) === plain && handles(value, depth - 1)) {
          return true;
        }
      }
    }
    return false;
  }

  function remove(list, item) {
    const at = apply(indexOf, list, [item]);
    if (at >= 0) apply(splice, list, [at, 1]);
  }

  // Globals that are made at their first use, and are ordinary ones from then on.
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
    find, lazy, remove, foreign: hide,
    weak: (object) => new Weak(object),
    strong: (weak) => apply(deref, weak, []),
    probe: (size) => { new Buffer(size); },
    handles: (object) => handles(object, 3),
    objects: plain,
  };
})
