// ByteArray: bytes with a position.
(function (host) {
  "use strict";
  const { defineProperty, keys } = Object;
  const { min, max } = Math;
  const MOST = 16 * 1024 * 1024;
  const inside = Symbol("bytes");
  const text = (value) => String(value).toWellFormed();

  function ByteArray(source) {
    defineProperty(this, inside, {
      value: { buffer: new Uint8Array(0), length: 0, position: 0, little: false },
    });
    if (source !== undefined) {
      this.writeBytes(source);
      this.position = 0;
    }
  }

  const own = (bytes) => {
    const known = bytes instanceof ByteArray && bytes[inside];
    if (!known) throw new TypeError("this is no ByteArray");
    return known;
  };

  function grow(known, length) {
    if (!(length <= MOST)) throw new RangeError("a ByteArray holds at most 16 MiB");
    if (length > known.buffer.length) {
      const bigger = new Uint8Array(max(length, min(known.buffer.length * 2, MOST), 64));
      bigger.set(known.buffer.subarray(0, known.length));
      known.buffer = bigger;
    }
    known.length = max(known.length, length);
  }

  // The offset of the next `count` bytes to read; moves the position past them.
  function take(known, count) {
    const at = known.position;
    if (!(count >= 0) || at + count > known.length) {
      throw new RangeError("End of file was encountered.");
    }
    known.position = at + count;
    return at;
  }

  // The offset of the next `count` bytes to write; makes room for them.
  function room(known, count) {
    const at = known.position;
    grow(known, at + count);
    known.position = at + count;
    return at;
  }

  const view = (known) => new DataView(known.buffer.buffer);
  const bytesOf = (source) => {
    if (source instanceof ByteArray) return source.bytes;
    if (source instanceof Uint8Array) return source;
    if (source instanceof ArrayBuffer) return new Uint8Array(source);
    return host.utf8(text(source));
  };

  const properties = {
    length: {
      get() { return own(this).length; },
      set(value) {
        const known = own(this), length = value >>> 0;
        if (length > known.length) grow(known, length);
        else known.buffer.fill(0, length, known.length);
        known.length = length;
        known.position = min(known.position, length);
      },
    },
    position: {
      get() { return own(this).position; },
      set(value) { own(this).position = min(value >>> 0, MOST); },
    },
    bytesAvailable: { get() { const known = own(this); return max(0, known.length - known.position); } },
    endian: {
      get() { return own(this).little ? "littleEndian" : "bigEndian"; },
      set(value) { own(this).little = value === "littleEndian"; },
    },
    objectEncoding: { get() { return 3; }, set() {} },
    // The bytes that the host sends.
    [Symbol.for("amf.bytes")]: {
      get() { const known = this[inside]; return known && known.buffer.subarray(0, known.length); },
    },
    // An addition: a copy as a Uint8Array.
    bytes: { get() { const known = own(this); return known.buffer.slice(0, known.length); } },
  };
  for (const name of Reflect.ownKeys(properties)) {
    defineProperty(ByteArray.prototype, name, { ...properties[name], enumerable: false, configurable: true });
  }

  const number = (size, name) => [
    function () { const known = own(this); return view(known)["get" + name](take(known, size), known.little); },
    function (value) {
      const known = own(this), at = room(known, size);
      view(known)["set" + name](at, +value, known.little);
    },
  ];
  const [readByte, writeByte] = number(1, "Int8");
  const [readUnsignedByte] = number(1, "Uint8");
  const [readShort, writeShort] = number(2, "Int16");
  const [readUnsignedShort] = number(2, "Uint16");
  const [readInt, writeInt] = number(4, "Int32");
  const [readUnsignedInt, writeUnsignedInt] = number(4, "Uint32");
  const [readFloat, writeFloat] = number(4, "Float32");
  const [readDouble, writeDouble] = number(8, "Float64");

  const methods = {
    readByte, writeByte, readUnsignedByte, readShort, writeShort, readUnsignedShort, readInt, writeInt,
    readUnsignedInt, writeUnsignedInt, readFloat, writeFloat, readDouble, writeDouble,
    readBoolean() { return this.readUnsignedByte() !== 0; },
    writeBoolean(value) { this.writeByte(value ? 1 : 0); },
    readUTFBytes(length) {
      const known = own(this), at = take(known, length >>> 0);
      return host.text(known.buffer.slice(at, known.position));
    },
    writeUTFBytes(value) { this.writeBytes(host.utf8(text(value))); },
    readUTF() { return this.readUTFBytes(this.readUnsignedShort()); },
    writeUTF(value) {
      const bytes = host.utf8(text(value));
      if (bytes.length > 65535) throw new RangeError("writeUTF takes at most 65535 bytes");
      this.writeShort(bytes.length);
      this.writeBytes(bytes);
    },
    readMultiByte(length, charset) {
      const known = own(this), at = take(known, length >>> 0);
      const bytes = known.buffer.slice(at, known.position);
      return /8859-1|ascii|1252/i.test(charset) ? host.latin(bytes) : host.text(bytes);
    },
    writeMultiByte(value, charset) {
      if (!/8859-1|ascii|1252/i.test(charset)) return this.writeUTFBytes(value);
      const string = text(value);
      const bytes = new Uint8Array(string.length);
      for (let i = 0; i < bytes.length; i++) bytes[i] = string.charCodeAt(i);
      this.writeBytes(bytes);
    },
    readBytes(target, offset = 0, length = 0) {
      const known = own(this);
      const count = length === 0 ? max(0, known.length - known.position) : length >>> 0;
      const at = take(known, count);
      const bytes = known.buffer.slice(at, at + count);
      if (target instanceof ByteArray) {
        const to = own(target);
        grow(to, (offset >>> 0) + count);
        to.buffer.set(bytes, offset >>> 0);
      } else {
        target.set(bytes, offset >>> 0);
      }
    },
    writeBytes(source, offset = 0, length = 0) {
      const all = bytesOf(source), from = min(offset >>> 0, all.length);
      const part = all.slice(from, length === 0 ? all.length : from + (length >>> 0));
      const known = own(this), at = room(known, part.length);
      known.buffer.set(part, at);
    },
    readObject() {
      const known = own(this);
      const [value, used] = host.readObject(known.buffer.slice(known.position, known.length));
      known.position += used;
      return value;
    },
    writeObject(value) { this.writeBytes(host.writeObject(value)); },
    clear() { this.length = 0; },
    toString() { const known = own(this); return host.text(known.buffer.slice(0, known.length)); },
  };
  for (const name of keys(methods)) {
    defineProperty(ByteArray.prototype, name,
      { value: methods[name], writable: true, enumerable: false, configurable: true });
  }
  return { ByteArray };
})
