// Methods of arrays and strings as functions of Array and String.
(function () {
  "use strict";
  const { apply } = Reflect;
  const add = (owner, names, receiver) => {
    for (const name of names.split(" ")) {
      if (name in owner) continue;
      const method = owner.prototype[name];
      const value = (self, ...rest) => apply(method, receiver(self), rest);
      Object.defineProperty(owner, name,
        { value, writable: true, enumerable: false, configurable: true });
    }
  };
  add(Array, "concat every filter forEach indexOf join lastIndexOf map pop push reduce reduceRight "
    + "reverse shift slice some sort splice unshift", (self) => self);
  add(String, "charAt charCodeAt concat indexOf lastIndexOf localeCompare match replace search slice "
    + "split substr substring toLowerCase toUpperCase trim", String);
})();
