// The API of Tributary's script applications.
//
// For editors and type checkers: put `/// <reference path="tributary.d.ts" />` into a script, or
// name this file in a tsconfig.json with "lib": ["ES2023"] and "types": []. A test compares the
// names declared here with those that the server defines. What each member does, and where it
// differs from Flash Media Server, is in docs/applications.md.

/** The info object of status events and handlers. */
interface Info {
    code: string;
    level: "status" | "warning" | "error";
    description?: string;
    /** The stream's name, with NetStream.Play.* codes. */
    details?: string;
    /** With Application.Script.Error: the file at fault. */
    filename?: string;
    lineno?: number;
    linebuf?: string;
    [member: string]: unknown;
}

/** Takes the answer to a call; handlers may be on the prototype. */
interface Responder {
    onResult?(result: any): void;
    onStatus?(info: any): void;
}

/** Messages and bytes of a client or an instance. */
interface Stats {
    [name: string]: number;
}

// The instance

/** The application instance that the script runs in. */
interface Application {
    /** `app/instance`. */
    readonly name: string;
    readonly hostname: string;
    readonly server: string;
    /** The accepted clients: an array whose for-in has indices only. */
    readonly clients: Client[];
    /** The content of JSEngine/ApplicationObject/config in `Application.xml`. */
    config: { [name: string]: any };
    allowDebug: boolean;

    acceptConnection(client: Client): void;
    /** `why` arrives as `info.application`. */
    rejectConnection(client: Client, why?: unknown): void;
    rejectConnection(client: Client, description: string, why: unknown): void;
    /** A rejection with `info.ex.redirect`. */
    redirectConnection(client: Client, uri: string, description?: string, why?: unknown): void;
    disconnect(client: Client): boolean;
    broadcastMsg(method: string, ...rest: unknown[]): boolean;
    clearSharedObjects(path: string): boolean;
    clearStreams(path: string): boolean;
    getStats(): Stats;
    /** Typed objects of this class name become instances of the class, and back. */
    registerClass(name: string, constructor: Function): boolean;
    /** Clients' calls of this method go to another client or connection. */
    registerProxy(method: string, target: Client | NetConnection, remote?: string): void;
    shutdown(): boolean;
    gc(): void;

    onAppStart?(): void;
    /** `false` keeps an idle instance. */
    onAppStop?(info: Info): boolean | void;
    /** true accepts, false rejects; undefined and null leave it open. */
    onConnect?(client: Client, ...rest: any[]): boolean | null | void;
    /**
     * Ours: clients of another instance are about to go on in this one. `info.how` is "crashed" if its process
     * was lost, and "handover" if it has stopped in order; then `info.state` is what its onHandover has returned.
     */
    onRestore?(info: { how: string; state?: any }): void;
    /** Ours: the group goes on elsewhere; the plain value returned is there in onRestore, up to 1 MiB in AMF. */
    onHandover?(): any;
    /** Ours: such a client, in place of onConnect. */
    onReconnect?(client: Client, ...rest: any[]): boolean | null | void;
    onConnectAccept?(client: Client, ...rest: any[]): void;
    onConnectReject?(client: Client, ...rest: any[]): void;
    onDisconnect?(client: Client): void;
    onPublish?(client: Client, stream: Stream): void;
    onUnpublish?(client: Client, stream: Stream): void;
    /** Ours: false or {code, description} refuses, {identity} names the publisher. */
    onPublishRequest?(
        client: Client, name: string, type: string, query: string,
    ): Decision | { identity: string } | Promise<Decision | { identity: string }>;
    /** Ours: false or {code, description} refuses. */
    onPlayRequest?(client: Client, name: string, query: string): Decision | Promise<Decision>;
    onStatus?(info: Info): void;
    [own: string]: any;
}

type Decision = boolean | { code?: string; description?: string } | undefined | void;

declare const application: Application;

/** One connection to the instance. Methods that a peer may call are put on it or on its prototype. */
interface Client {
    readonly ip: string;
    readonly agent: string;
    readonly referrer: string;
    readonly pageUrl: string;
    readonly protocol: string;
    readonly secure: boolean;
    readonly uri: string;
    /** The user that the edge has verified. May be overwritten. */
    user: any;
    /** The claims of the token by which the edge has let the client connect. May be overwritten. */
    claims: any;
    /** Lists of path prefixes, separated by `;`; `/` is everything. */
    readAccess: string;
    writeAccess: string;
    /** Streams whose sound and pictures the player may read; nothing by default. */
    audioSampleAccess: string;
    videoSampleAccess: string;
    /** May be overwritten. */
    id: any;
    /** Ours: "crashed" or "handover" if the client comes from another instance, as in onRestore. May be overwritten. */
    restored: any;
    /** Ours: what that process had it remember. May be overwritten. */
    remembered: any;

    /** Ours: keeps plain data of up to 4 KiB for the origin's next process; false if it is longer. */
    remember(value: unknown): boolean;
    call(method: string, responder?: Responder | null, ...rest: unknown[]): boolean;
    getStats(): Stats;
    getBandwidthLimit(direction: 0 | 1): number;
    /** Bytes per second to and from the client; 0 leaves a limit as it is. */
    setBandwidthLimit(serverToClient: number, clientToServer?: number): void;
    checkBandwidth(): boolean;
    ping(): boolean;
    /** Called for a method that does not exist. */
    __resolve?(name: string): unknown;
    [own: string]: any;
}

declare const Client: { prototype: Client };

// Shared objects

/** An entry of the list that onSync gets: one for each slot. */
interface SyncEntry {
    code: "change" | "delete" | "success" | "reject" | "clear";
    name?: string;
    oldValue?: any;
}

/** Data that clients share. */
interface SharedObject {
    readonly name: string;
    readonly version: number;
    readonly isDirty: boolean;
    autoCommit: boolean;
    resyncDepth: number;

    getProperty(name: string): any;
    getPropertyNames(): string[];
    /** null deletes the slot. */
    setProperty(name: string, value: unknown): void;
    lock(): number;
    unlock(): number;
    mark(handler: string, ...rest: unknown[]): boolean;
    purge(version: number): void;
    send(handler: string, ...rest: unknown[]): boolean;
    flush(): boolean;
    commit(): boolean;
    clear(): boolean;
    close(): void;
    size(): number;
    onSync?(list: SyncEntry[]): void;
    onStatus?(info: Info): void;
    [handler: string]: any;
}

declare const SharedObject: {
    prototype: SharedObject;
    /** null if the object cannot be had. */
    get(name: string, persistence?: boolean, connection?: NetConnection): SharedObject | null;
    commit(name?: string): boolean;
};

// Streams and connections

/** A way to a name of the instance, whether a client or the application publishes it. */
declare class Stream {
    constructor(name: string);
    static get(name: string): Stream | null;
    static destroy(stream: Stream): boolean;
    static length(name: string, key?: string): number;
    static size(name: string, key?: string): number;
    readonly name: string;
    readonly time: number;
    readonly bufferTime: number;
    readonly publishQueryString: string;
    receiveAudio(on: boolean): void;
    receiveVideo(on: boolean): void;
    /** Ours: takes the name from its publisher. */
    kick(description?: string): boolean;
    /** Ours: null while the name has no publisher. */
    getStats(): {
        publisher: any; viewers: number; messages: number; bytes: number; time: number;
    } | null;
    /** false stops. */
    play(
        name: string | false, start?: number, length?: number, reset?: boolean | number,
        connection?: NetConnection, virtualKey?: string,
    ): boolean;
    record(mode: "record" | "append" | false, duration?: number, size?: number): boolean;
    send(handler: string, ...rest: unknown[]): boolean;
    setBufferTime(seconds: number): void;
    setVirtualPath(path: string, directory: string, key?: string): boolean;
    getOnMetaData(): any;
    flush(): boolean;
    clear(): boolean;
    onStatus?(info: Info): void;
    [own: string]: any;
}

/** A connection to another instance (rtmp:) or to a remoting gateway (http:). */
declare class NetConnection {
    constructor();
    readonly isConnected: boolean;
    readonly uri: string;
    readonly protocol: string;
    objectEncoding: number;
    connect(uri: string | null, ...rest: unknown[]): boolean;
    call(method: string, responder?: Responder | null, ...rest: unknown[]): boolean;
    addHeader(name: string, mustUnderstand?: boolean, value?: unknown): void;
    close(): void;
    onStatus?(info: Info): void;
    [method: string]: any;
}

/** A stream of a NetConnection. */
declare class NetStream {
    constructor(connection: NetConnection);
    attach(stream?: Stream | null): boolean;
    publish(name: string | false, mode?: string): boolean;
    send(handler: string, ...rest: unknown[]): boolean;
    setBufferTime(seconds: number): void;
    close(): void;
    onStatus?(info: Info): void;
    [own: string]: any;
}

// Files

/** A file or folder. Reads look in the instance's own files, then in the application's folder. */
declare class File {
    constructor(name: string);
    readonly name: string;
    readonly exists: boolean;
    readonly isFile: boolean;
    readonly isDirectory: boolean;
    readonly isOpen: boolean;
    readonly length: number;
    readonly lastModified: Date | null;
    readonly creationTime: Date | null;
    readonly type: string;
    readonly mode: string;
    readonly canRead: boolean;
    readonly canWrite: boolean;
    readonly canAppend: boolean;
    readonly canReplace: boolean;
    position: number;

    open(type: "text" | "utf8" | "binary", mode: string): boolean;
    close(): boolean;
    read(characters?: number): string;
    readln(): string;
    readAll(): string[];
    readByte(): number;
    readBytes(target: ByteArray | Uint8Array, offset?: number, length?: number): number;
    write(...values: unknown[]): boolean;
    writeln(...values: unknown[]): boolean;
    writeAll(lines: ArrayLike<unknown>): boolean;
    writeByte(value: number): boolean;
    writeBytes(source: ByteArray | Uint8Array, offset?: number, length?: number): number;
    seek(position: number): number;
    eof(): boolean;
    flush(): boolean;
    list(filter?: (name: string) => boolean): File[] | null;
    mkdir(name?: string): boolean;
    remove(recursive?: boolean): boolean;
    renameTo(name: string): boolean;
    copyTo(name: string): boolean;
}

/** Bytes with a position. */
declare class ByteArray {
    constructor(source?: ByteArray | Uint8Array | ArrayBuffer | string);
    length: number;
    position: number;
    endian: "bigEndian" | "littleEndian";
    objectEncoding: number;
    readonly bytesAvailable: number;
    /** Ours: a copy as a Uint8Array. */
    readonly bytes: Uint8Array;
    readBoolean(): boolean;
    readByte(): number;
    readUnsignedByte(): number;
    readShort(): number;
    readUnsignedShort(): number;
    readInt(): number;
    readUnsignedInt(): number;
    readFloat(): number;
    readDouble(): number;
    readUTF(): string;
    readUTFBytes(length: number): string;
    readMultiByte(length: number, charset: string): string;
    readBytes(target: ByteArray | Uint8Array, offset?: number, length?: number): void;
    readObject(): any;
    writeBoolean(value: boolean): void;
    writeByte(value: number): void;
    writeShort(value: number): void;
    writeInt(value: number): void;
    writeUnsignedInt(value: number): void;
    writeFloat(value: number): void;
    writeDouble(value: number): void;
    writeUTF(value: string): void;
    writeUTFBytes(value: string): void;
    writeMultiByte(value: string, charset: string): void;
    writeBytes(source: ByteArray | Uint8Array | ArrayBuffer | string, offset?: number, length?: number): void;
    writeObject(value: unknown): void;
    clear(): void;
    toString(): string;
}

// Web servers

/** Variables to and from a web server; they are the object's own members. */
declare class LoadVars {
    constructor();
    contentType: string;
    loaded: boolean | undefined;
    addRequestHeader(name: string | string[], value?: string): void;
    decode(source: string): void;
    getBytesLoaded(): number | undefined;
    getBytesTotal(): number | undefined;
    load(url: string): boolean;
    send(url: string, window?: string, method?: "GET" | "POST"): boolean;
    sendAndLoad(url: string, target: LoadVars | XML, method?: "GET" | "POST"): boolean;
    toString(): string;
    onData(source: string | undefined): void;
    onLoad?(success: boolean): void;
    onHTTPStatus?(status: number): void;
    [variable: string]: any;
}

/** An element (nodeType 1) or text (nodeType 3) of an XML tree. */
declare class XMLNode {
    constructor(type: number, value: string);
    attributes: { [name: string]: string };
    readonly childNodes: XMLNode[];
    readonly firstChild: XMLNode | null;
    readonly lastChild: XMLNode | null;
    readonly nextSibling: XMLNode | null;
    readonly previousSibling: XMLNode | null;
    readonly parentNode: XMLNode | null;
    nodeName: string | null;
    nodeType: number;
    nodeValue: string | null;
    readonly localName: string | null;
    readonly prefix: string | null;
    readonly namespaceURI: string | null;
    appendChild(node: XMLNode): void;
    cloneNode(deep?: boolean): XMLNode;
    getNamespaceForPrefix(prefix: string): string | null;
    getPrefixForNamespace(uri: string): string | null;
    hasChildNodes(): boolean;
    insertBefore(node: XMLNode, before: XMLNode): void;
    removeNode(): void;
    toString(): string;
}

/** An XML document. */
declare class XML extends XMLNode {
    constructor(source?: string);
    contentType: string;
    docTypeDecl: string | undefined;
    xmlDecl: string | undefined;
    ignoreWhite: boolean;
    loaded: boolean | undefined;
    /** 0, or the error in the text that was parsed last: -2 to -10. */
    status: number;
    addRequestHeader(name: string | string[], value?: string): void;
    createElement(name: string): XMLNode;
    createTextNode(value: string): XMLNode;
    getBytesLoaded(): number | undefined;
    getBytesTotal(): number | undefined;
    load(url: string): boolean;
    parseXML(source: string): void;
    send(url: string): boolean;
    sendAndLoad(url: string, target: LoadVars | XML): boolean;
    onData(source: string | undefined): void;
    onLoad?(success: boolean): void;
    onHTTPStatus?(status: number): void;
    [own: string]: any;
}

/** Texts that end with a zero byte, over TCP. */
declare class XMLSocket {
    constructor();
    connect(host: string | null, port: number): boolean;
    send(object: unknown): boolean;
    close(): void;
    onConnect?(success: boolean): void;
    onData(source: string): void;
    onXML?(document: XML): void;
    onClose?(): void;
    [own: string]: any;
}

/** The answer to a request of fetch. */
interface FetchResponse {
    readonly status: number;
    readonly ok: boolean;
    readonly url: string;
    readonly statusText: string;
    readonly bodyUsed: boolean;
    readonly headers: {
        get(name: string): string | null;
        has(name: string): boolean;
        forEach(call: (value: string, name: string) => void): void;
        entries(): IterableIterator<[string, string]>;
        keys(): IterableIterator<string>;
        values(): IterableIterator<string>;
        [Symbol.iterator](): IterableIterator<[string, string]>;
    };
    text(): Promise<string>;
    json(): Promise<any>;
    bytes(): Promise<Uint8Array>;
    arrayBuffer(): Promise<ArrayBuffer>;
}

declare function fetch(
    url: string,
    options?: {
        method?: string;
        headers?: { [name: string]: string } | Iterable<[string, string]>;
        body?: string | ArrayBuffer | ArrayBufferView;
    },
): Promise<FetchResponse>;

// Small things

/** SHA-256 digests in hexadecimal. */
declare class SHA256 {
    constructor();
    update(data: string | Uint8Array | ByteArray): this;
    digest(data?: string | Uint8Array | ByteArray): string;
    static hash(data: string | Uint8Array | ByteArray): string;
}

/** Lines of the application's log, by level. */
declare class Log {
    constructor(level?: string | number, name?: string);
    level: number;
    name: string;
    logInfo(message: unknown, level?: number): void;
    logDebug(message: unknown): void;
    onLog(message: string): void;
    static readonly NONE: 0;
    static readonly BRIEF: 1;
    static readonly VERBOSE: 2;
    static readonly DEBUG: 3;
}

/** Not there: the constructor throws an error that names the replacement. */
declare const WebService: new (...rest: never[]) => never;
/** Not there: the constructor throws an error that names the replacement. */
declare const SOAPCall: new (...rest: never[]) => never;
/** Not there: the constructor throws an error that names the replacement. */
declare const SOAPFault: new (...rest: never[]) => never;
/** Not there: the constructor throws an error that names the replacement. */
declare const XMLStreams: new (...rest: never[]) => never;

declare function trace(...values: unknown[]): void;
/** Runs a file of the application: after the main file, or at once when that has run. */
declare function load(file: string): void;
declare function setInterval(call: Function, milliseconds: number, ...rest: unknown[]): number;
declare function setInterval(object: object, method: string, milliseconds: number, ...rest: unknown[]): number;
declare function clearInterval(timer: number | undefined): void;
/** Ours: Flash Media Server has none. */
declare function setTimeout(call: Function, milliseconds?: number, ...rest: unknown[]): number;
declare function clearTimeout(timer: number | undefined): void;
declare function getGlobal(): typeof globalThis;
declare function setAttributes(
    object: object, name: string, enumerable: boolean, readonly: boolean, permanent: boolean,
): void;
declare function protectObject<T extends object>(object: T): T;
declare const console: {
    log(...values: unknown[]): void;
    info(...values: unknown[]): void;
    debug(...values: unknown[]): void;
    warn(...values: unknown[]): void;
    error(...values: unknown[]): void;
};
