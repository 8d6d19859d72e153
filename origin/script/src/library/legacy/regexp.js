// The last match, as properties of RegExp itself.
(function () {
  "use strict";
  const exec = RegExp.prototype.exec;
  const { apply } = Reflect;
  let last = [""], input = "", at = 0;
  const define = (name, get) => {
    Object.defineProperty(RegExp, name, { get, set() {}, enumerable: false, configurable: true });
  };
  Object.defineProperty(RegExp.prototype, "exec", {
    value: function exec_(text) {
      const found = apply(exec, this, [text]);
      if (found !== null) {
        last = found;
        input = found.input;
        at = found.index;
      }
      return found;
    },
    writable: true, enumerable: false, configurable: true,
  });
  for (let i = 1; i <= 9; i++) define("$" + i, () => last[i] === undefined ? "" : last[i]);
  const names = {
    input: () => input, $_: () => input,
    lastMatch: () => last[0], "$&": () => last[0],
    lastParen: () => last.length > 1 && last[last.length - 1] || "",
    "$+": () => last.length > 1 && last[last.length - 1] || "",
    leftContext: () => input.slice(0, at), "$`": () => input.slice(0, at),
    rightContext: () => input.slice(at + last[0].length),
    "$'": () => input.slice(at + last[0].length),
    multiline: () => false,
  };
  for (const name in names) define(name, names[name]);
})();
