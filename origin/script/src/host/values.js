// Inspects script objects for the host. Evaluated when an object first needs it.
(function () {
  "use strict";
  const { apply } = Reflect;
  const { from } = Array;
  const { isView } = ArrayBuffer;
  const { min } = Math;
  const { fromCharCode } = String;
  const { subarray } = Uint8Array.prototype;
  const { getTime } = Date.prototype;
  const classes = [Number, String, Boolean, BigInt, Symbol];
  const ErrorClass = Error, MapClass = Map, SetClass = Set, DateClass = Date, Bytes = Uint8Array;
  const Buffer = ArrayBuffer;

  // The symbol under which a ByteArray of the host has its bytes.
  const ownBytes = Symbol.for("amf.bytes");

  function shape(object) {
    if (isView(object) || object instanceof Buffer || isView(object[ownBytes])) return 3;
    if (object instanceof DateClass) {
      try { apply(getTime, object, []); return 2; } catch { return 0; }
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
      text += apply(fromCharCode, null, apply(subarray, all, [at, min(at + 8192, all.length)]));
    }
    return text;
  }

  return { shape, bytes, items: (object) => from(object) };
})
