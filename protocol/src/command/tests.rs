use super::*;
use crate::amf::Object;

fn connect_properties() -> Object {
    Object::new()
        .with("app", "live/room?x=1")
        .with("tcUrl", "rtmp://127.0.0.1/live/room")
        .with("odd", Value::Undefined)
        .with("objectEncoding", 3.0)
}

#[test]
fn commands_survive_both_encodings() {
    let command = Command::new("echo", TransactionId(2.0))
        .with("text")
        .with(Object::new().with("a", 1.0));
    for encoding in [ObjectEncoding::Amf0, ObjectEncoding::Amf3] {
        let (kind, payload) = command.encode(encoding);
        assert_eq!(Command::decode(kind, &payload).unwrap(), command);
        assert_eq!(
            Command::peek(kind, &payload),
            Some(("echo", TransactionId(2.0)))
        );
    }
}

#[test]
fn connect_keeps_every_property_in_order_and_is_answered() {
    let command = connect::command(connect_properties()).with("argument");
    let connect = Connect::parse(command).unwrap();
    assert_eq!(connect.app, "live/room?x=1");
    assert_eq!(connect.object_encoding, ObjectEncoding::Amf3);
    assert_eq!(connect.properties, connect_properties());
    assert_eq!(connect.arguments, [Value::from("argument")]);

    let answer = connect::success(&connect, "FMS/3,5,7,7009");
    assert_eq!(answer.name, "_result");
    assert_eq!(answer.transaction, TransactionId(1.0));
    let info = &answer.arguments[0];
    assert_eq!(info.get("objectEncoding"), Some(&Value::Number(3.0)));
    assert_eq!(
        info.get("data").and_then(|data| data.get("version")),
        Some(&"3,5,7,7009".into())
    );
    assert_eq!(answer.object.get("capsEx"), None);
}
