// File: a file or folder of the application.
(function (host) {
  "use strict";
  const { defineProperty, keys } = Object;
  const text = (value) => String(value).toWellFormed();
  const inside = Symbol("file");
  // The path from the application's folder, or null if it is not permitted.
  const normal = (name) => host.path(text(name)) ?? null;

  function File(name) {
    defineProperty(this, inside, {
      value: { path: normal(name === undefined ? "" : name), handle: null, type: "", mode: "" },
    });
  }

  const own = (file) => {
    const known = file instanceof File && file[inside];
    if (!known) throw new TypeError("this is no File");
    return known;
  };
  const stat = (file) => {
    const { path } = own(file);
    return path === null ? null : host.stat(path) ?? null;
  };
  const getters = {
    name() { const { path } = own(this); return path === null ? "" : path.slice(path.lastIndexOf("/") + 1); },
    exists() { return stat(this) !== null; },
    isFile() { const found = stat(this); return found !== null && !found[0]; },
    isDirectory() { const found = stat(this); return found !== null && found[0]; },
    isOpen() { return own(this).handle !== null; },
    length() {
      const { handle } = own(this);
      if (handle !== null) return host.length(handle);
      const found = stat(this);
      return found === null ? 0 : found[1];
    },
    lastModified() { const found = stat(this); return found === null ? null : new Date(found[2]); },
    creationTime() { const found = stat(this); return found === null ? null : new Date(found[3]); },
    type() { return own(this).type; },
    mode() { return own(this).mode; },
    position() { const { handle } = own(this); return handle === null ? 0 : host.position(handle); },
    canRead() { return stat(this) !== null; },
    canWrite() { return own(this).path !== null; },
    canAppend() { return own(this).path !== null; },
    canReplace() { return own(this).path !== null; },
  };
  for (const name of keys(getters)) {
    defineProperty(File.prototype, name, { get: getters[name], enumerable: true, configurable: true });
  }
  defineProperty(File.prototype, "position", {
    get: getters.position,
    set(value) { this.seek(value); },
    enumerable: true, configurable: true,
  });

  // A failure of a file is logged, and `otherwise` returned; a limit is an exception.
  const attempt = (what, otherwise, work) => {
    try {
      return work();
    } catch (error) {
      if (error.name !== "FileError") throw error;
      host.failed(what + ": " + error.message);
      return otherwise;
    }
  };
  const on = (file, what, otherwise, work) => {
    const known = own(file);
    if (known.handle === null) {
      host.failed("File." + what + ": the file is not open");
      return otherwise;
    }
    return attempt("File." + what, otherwise, () => work(known.handle, known));
  };
  const at = (file, what, work) => {
    const { path } = own(file);
    if (path === null) {
      host.failed("File." + what + ": the name is not one of a file of the application");
      return false;
    }
    return attempt("File." + what, false, () => { work(path); return true; });
  };
  // The name for copyTo and its relatives starts at the application's folder. A name that is not
  // permitted stays null.
  const target = (name) => {
    const path = normal(name);
    return path === null ? "/../" : path;
  };
  const end = "\n";

  const methods = {
    open(type, mode) {
      const known = own(this);
      if (known.handle !== null) {
        host.failed("File.open: the file is open already");
        return false;
      }
      type = text(type);
      mode = text(mode);
      return at(this, "open", (path) => {
        known.handle = host.open(path, type, mode);
        known.type = type;
        known.mode = mode;
      });
    },
    close() {
      const known = own(this);
      if (known.handle === null) return false;
      host.close(known.handle);
      known.handle = null;
      known.type = known.mode = "";
      return true;
    },
    read(count) {
      return on(this, "read", "", (handle) => host.read(handle, count === undefined ? 1 : +count));
    },
    readln() { return on(this, "readln", "", (handle) => host.readLine(handle) ?? ""); },
    readAll() {
      return on(this, "readAll", null, (handle, known) => {
        if (known.type.toLowerCase() === "binary") return [host.read(handle, Infinity)];
        const lines = [];
        for (let line; (line = host.readLine(handle)) !== null;) lines.push(line);
        return lines;
      });
    },
    readByte() {
      return on(this, "readByte", -1, (handle) => {
        const bytes = host.readBytes(handle, 1);
        return bytes.length === 0 ? -1 : bytes[0];
      });
    },
    readBytes(target, offset, length) {
      return on(this, "readBytes", 0, (handle) => {
        const bytes = host.readBytes(handle, length === undefined || +length === 0 ? Infinity : +length);
        if (typeof target.writeBytes === "function") {
          const before = target.position;
          target.position = +offset || 0;
          target.writeBytes(bytes);
          target.position = before;
        } else {
          target.set(bytes, +offset || 0);
        }
        return bytes.length;
      });
    },
    write(...values) {
      return on(this, "write", false, (handle) => {
        host.write(handle, values.map(text).join(""));
        return true;
      });
    },
    writeln(...values) {
      return on(this, "writeln", false, (handle) => {
        host.write(handle, values.map(text).join("") + end);
        return true;
      });
    },
    writeAll(values) {
      return on(this, "writeAll", false, (handle) => {
        let all = "";
        for (let i = 0; i < values.length; i++) all += text(values[i]) + end;
        host.write(handle, all);
        return true;
      });
    },
    writeByte(value) {
      return on(this, "writeByte", false, (handle) => {
        host.writeBytes(handle, new Uint8Array([value]));
        return true;
      });
    },
    writeBytes(source, offset, length) {
      return on(this, "writeBytes", 0, (handle) => {
        const all = source instanceof Uint8Array ? source : source.bytes;
        const from = +offset || 0;
        const bytes = all.slice(from, length === undefined || +length === 0 ? all.length : from + +length);
        host.writeBytes(handle, bytes);
        return bytes.length;
      });
    },
    seek(count) { return on(this, "seek", -1, (handle) => host.seek(handle, +count)); },
    eof() { return on(this, "eof", true, (handle) => host.atEnd(handle)); },
    flush() { return on(this, "flush", false, (handle) => { host.flush(handle); return true; }); },
    list(filter) {
      const { path } = own(this);
      if (path === null) return null;
      const names = attempt("File.list", null, () => host.list(path));
      if (names === null) return null;
      const chosen = typeof filter === "function" ? names.filter((name) => filter(name)) : names;
      const folder = path === "/" ? "" : path;
      return chosen.map((name) => new File(folder + "/" + name));
    },
    mkdir(name) {
      return at(this, "mkdir", (path) => {
        host.makeFolder(name === undefined ? path : target(path + "/" + text(name)));
      });
    },
    remove(recursive) { return at(this, "remove", (path) => host.remove(path, !!recursive)); },
    renameTo(name) {
      const known = own(this);
      return at(this, "renameTo", (path) => {
        const to = target(name);
        host.rename(path, to);
        known.path = to;
      });
    },
    copyTo(name) { return at(this, "copyTo", (path) => host.copy(path, target(name))); },
    toString() { const { path } = own(this); return path === null ? "" : path; },
  };
  for (const name of keys(methods)) {
    defineProperty(File.prototype, name,
      { value: methods[name], writable: true, enumerable: false, configurable: true });
  }
  return { File };
})
