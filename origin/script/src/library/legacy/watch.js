// Object.watch: a handler is called before a property changes.
(function () {
  "use strict";
  const { apply } = Reflect;
  const { defineProperty, getOwnPropertyDescriptor } = Object;
  const watched = new WeakMap();
  const add = (name, value) => {
    defineProperty(Object.prototype, name,
      { value, writable: true, enumerable: false, configurable: true });
  };
  add("watch", function watch(name, handler) {
    name = String(name);
    if (typeof handler !== "function") throw new TypeError("watch needs a function");
    apply(this.unwatch, this, [name]);
    const own = getOwnPropertyDescriptor(this, name);
    if (own && (!own.configurable || own.get || own.set)) return;
    let value = own ? own.value : this[name];
    const names = watched.get(this) || new Map();
    watched.set(this, names);
    names.set(name, () => value);
    defineProperty(this, name, {
      get() { return value; },
      set(next) { value = apply(handler, this, [name, value, next]); },
      enumerable: own ? own.enumerable : true, configurable: true,
    });
  });
  add("unwatch", function unwatch(name) {
    name = String(name);
    const names = watched.get(this);
    const value = names && names.get(name);
    if (!value) return;
    names.delete(name);
    const own = getOwnPropertyDescriptor(this, name);
    if (!own || !own.set) return;
    defineProperty(this, name,
      { value: value(), writable: true, enumerable: own.enumerable, configurable: true });
  });
})();
