//! Tests of ByteArray, SHA256, Log, and of classes that do not exist here.

use tributary_origin::test::ConnectAs;

use super::*;

#[test]
fn bytes_are_written_and_read() {
    let script = "var b = new ByteArray();
        b.writeByte(-1); b.writeShort(-2); b.writeInt(-3); b.writeUnsignedInt(4000000000);
        b.writeFloat(0.5); b.writeDouble(0.1); b.writeBoolean(true); b.writeUTF('h\\u00e9');
        b.writeMultiByte('\\u00e9', 'iso-8859-1'); b.writeObject({ a: [1, 'x'], d: new Date(5) });
        b.endian = 'littleEndian'; b.writeShort(258);
        trace(b.length + ' ' + b.position + ' ' + b.bytesAvailable);
        b.endian = 'bigEndian'; b.position = 0;
        trace([b.readByte(), b.readShort(), b.readInt(), b.readUnsignedInt(), b.readFloat(), b.readDouble(),
            b.readBoolean(), b.readUTF(), b.readMultiByte(1, 'iso-8859-1')].join());
        var o = b.readObject(); trace(o.a.join() + ' ' + o.d.getTime());
        trace(b.readUnsignedByte() + ' ' + b.readUnsignedByte() + ' ' + b.bytesAvailable);
        try { b.readByte(); } catch (e) { trace(e.name + ': ' + e.message); }
        var part = new ByteArray('abc'); part.position = 3; part.writeBytes(part, 1, 2); trace(part + ' ' + part.length);
        part.length = 2; trace(part.toString() + part.position); part.clear(); trace(part.length);
        try { part.length = 4000000000; } catch (e) { trace(e.message); }
        trace(new ByteArray(new Uint8Array([104, 105])).bytes instanceof Uint8Array);";
    let said = said(script);
    assert!(said[0].ends_with(" 0"), "{said:?}");
    assert_eq!(
        said[1..],
        [
            "-1,-2,-3,4000000000,0.5,0.1,true,h\u{e9},\u{e9}",
            "1,x 5",
            "2 1 0",
            "RangeError: End of file was encountered.",
            "abcbc 5",
            "ab2",
            "0",
            "a ByteArray holds at most 16 MiB",
            "true",
        ]
    );
}

#[test]
fn bytes_are_sent_as_bytes() {
    let script =
        "Client.prototype.get = function() { return [new ByteArray('ab'), new ByteArray()]; };
        Client.prototype.put = function(bytes) { return new ByteArray(bytes).length; };";
    let stage = stage(script);
    let as3 = ConnectAs {
        encoding: tributary_protocol::amf::ObjectEncoding::Amf3,
        ..Default::default()
    };
    let client = stage.connect_as("x", as3);
    let bytes = |bytes: &'static [u8]| Value::ByteArray(::bytes::Bytes::from_static(bytes));
    let both = Value::StrictArray(vec![bytes(b"ab"), bytes(b"")]);
    assert_eq!(client.call("get", []), Ok(both));
    assert_eq!(client.call("put", [bytes(b"xyz")]), Ok(Value::from(3.0)));
}

#[test]
fn digests_are_those_of_sha_256() {
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let script =
        "trace(SHA256.hash('abc')); trace(new SHA256().update('a').update(new ByteArray('b'))
        .digest('c')); trace(new SHA256().digest(new Uint8Array([97, 98, 99])));";
    assert_eq!(said(script), [abc, abc, abc]);
}

#[test]
fn a_log_has_levels() {
    let script = "var l = new Log('brief', 'soap'); l.logInfo('one'); l.logDebug('two');
        l.onLog = function(m) { trace('own ' + m); }; l.level = Log.DEBUG; l.logDebug('three');";
    assert_eq!(said(script), ["[INFO] soap: one", "own [INFO] soap: three"]);
}

#[test]
fn what_is_not_there_says_what_to_use() {
    let script = "var all = [WebService, SOAPCall, SOAPFault, XMLStreams];
        for (var i = 0; i < 4; i++) try { new all[i]('x'); } catch (e) { trace(e.message); }";
    let said = said(script);
    assert_eq!(said.len(), 4);
    assert!(
        said[0].starts_with("WebService does not exist here: "),
        "{said:?}"
    );
    assert!(
        said.iter()
            .all(|line| line.contains("docs/porting-from-fms.md")),
        "{said:?}"
    );
}
