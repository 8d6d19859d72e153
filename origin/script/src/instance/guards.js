// Bounds methods that visit items without a check of the turn's time: a long and nearly empty
// array, or a search of many steps, would take longer than a turn may. Only methods that a
// program names are bounded.
(function (arrays, strings) {
  "use strict";
  const { apply } = Reflect;
  const { defineProperty } = Object;
  const { isArray } = Array;
  const { min } = Math;
  const Range = RangeError;
  const MOST_ITEMS = 0x400000, MOST_STEPS = 0x4000000;

  function length(list) {
    if (list !== null && list !== undefined && list.length > MOST_ITEMS) {
      throw new Range("the array is too long for this method");
    }
  }
  function lengths(list, depth) {
    length(list);
    if (depth > 0) for (const item of list) if (isArray(item)) lengths(item, depth - 1);
  }
  const own = {
    concat: (self, rest) => {
      length(self);
      for (let i = 0; i < rest.length; i++) length(rest[i]);
    },
    flat: (self, rest) => { lengths(self, rest.length > 0 ? min(+rest[0], 64) : 1); },
  };
  function search(self, rest) {
    const sought = rest[0];
    if (typeof sought === "string" && sought.length > 256
      && sought.length * ("" + self).length > MOST_STEPS) {
      throw new Range("the text is too long for this search");
    }
  }

  function replace(prototype, name, guard) {
    const original = prototype[name];
    const guarded = { [name](...rest) { guard(this, rest); return apply(original, this, rest); } }[name];
    defineProperty(guarded, "length", { value: original.length, configurable: true });
    defineProperty(prototype, name,
      { value: guarded, writable: true, enumerable: false, configurable: true });
  }
  for (const name of arrays) replace(Array.prototype, name, own[name] ?? length);
  for (const name of strings) replace(String.prototype, name, search);
})
