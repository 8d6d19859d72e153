//! Values both ways.

use bytes::Bytes;
use proptest::prelude::*;
use tributary_origin::test::{Client, ConnectAs};
use tributary_protocol::{
    amf::{Date, Dictionary, EcmaArray, MixedArray, Object, Vector},
    command::ObjectEncoding,
};

use super::*;

fn echo() -> Stage {
    stage(
        "Client.prototype.echo = function(value) { return value; };
         Client.prototype.ask = function(code, value) { return eval('(' + code + ')')(value); };",
    )
}

fn amf3(stage: &Stage) -> Client {
    let connect = ConnectAs {
        encoding: ObjectEncoding::Amf3,
        ..ConnectAs::default()
    };
    stage.connect_as("x", connect)
}

#[test]
fn what_comes_goes_back_as_it_was() {
    let stage = echo();
    let client = amf3(&stage);
    for value in [
        Value::Undefined,
        Value::Null,
        true.into(),
        0.5.into(),
        (-1.0).into(),
        text(""),
        text("h\u{e9}llo \u{1f600}\u{0}"),
        Object::new().with("a", 1.0).with("b", Object::new()).into(),
        Object::typed("com.example.Thing").with("a", 1.0).into(),
        Value::StrictArray(vec![1.0.into(), Value::Undefined, text("x")]),
        EcmaArray::from_iter([("a", 1.0), ("b", 2.0)]).into(),
        Value::Date(Date {
            milliseconds: 1.5e12,
            time_zone: 0,
        }),
        Value::ByteArray(Bytes::from((0..=255).collect::<Vec<u8>>())),
        Value::Dictionary(Dictionary {
            weak_keys: false,
            entries: vec![(1.0.into(), text("one")), (text("k"), Value::Null)],
        }),
    ] {
        assert_eq!(client.call("echo", [value.clone()]), Ok(value));
    }
}

#[test]
fn what_scripts_have_no_form_for_becomes_the_nearest() {
    let stage = echo();
    let client = amf3(&stage);
    for (value, expected) in [
        (Value::Xml("<a/>".to_owned()), text("<a/>")),
        (
            Value::VectorInt(Vector {
                fixed: true,
                items: vec![1, -2],
            }),
            Value::StrictArray(vec![1.0.into(), (-2.0).into()]),
        ),
        (
            Value::MixedArray(Box::new(MixedArray {
                associative: vec![("k".to_owned(), 1.0.into())],
                dense: vec![text("x")],
            })),
            EcmaArray {
                properties: vec![("0".to_owned(), text("x")), ("k".to_owned(), 1.0.into())],
                declared: 1,
            }
            .into(),
        ),
    ] {
        let answer = client.call("echo", [value]).unwrap();
        assert_eq!(answer.members(), expected.members());
        if answer.members().is_empty() {
            assert_eq!(answer, expected);
        }
    }
}

#[test]
fn script_values_have_their_forms() {
    let stage = echo();
    let client = amf3(&stage);
    for (code, expected) in [
        (
            "function() { return new Date(5); }",
            Value::Date(Date {
                milliseconds: 5.0,
                time_zone: 0,
            }),
        ),
        ("function() { return new Number(5); }", 5.0.into()),
        ("function() { return new String('s'); }", text("s")),
        ("function() { return 7n; }", 7.0.into()),
        ("function() { return function() {}; }", Value::Undefined),
        (
            "function() { return { f: function() {}, a: 1 }; }",
            Object::new().with("a", 1.0).into(),
        ),
        (
            "function() { return [function() {}]; }",
            Value::StrictArray(vec![Value::Undefined]),
        ),
        (
            "function() { return new Set([1, 2]); }",
            Value::StrictArray(vec![1.0.into(), 2.0.into()]),
        ),
        (
            "function() { return new Uint16Array([258]); }",
            Value::ByteArray(Bytes::from_static(&[2, 1])),
        ),
        (
            "function() { return new Error('e'); }",
            Object::new()
                .with("name", "Error")
                .with("message", "e")
                .into(),
        ),
        ("function() { return '\\ud800x'; }", text("\u{fffd}x")),
        (
            "function() { return Object.create({ inherited: 1 }); }",
            Object::new().into(),
        ),
        (
            "function() { var a = [1]; a.name = 'n'; return a; }",
            EcmaArray {
                properties: vec![("0".into(), 1.0.into()), ("name".into(), text("n"))],
                declared: 2,
            }
            .into(),
        ),
        (
            "function() { var a = []; a[1000000] = 1; return a; }",
            EcmaArray {
                properties: vec![("1000000".into(), 1.0.into())],
                declared: 1,
            }
            .into(),
        ),
        (
            "function() { return [, 1]; }",
            Value::StrictArray(vec![Value::Undefined, 1.0.into()]),
        ),
    ] {
        assert_eq!(client.call("ask", [text(code)]), Ok(expected), "{code}");
    }
}

#[test]
fn arrays_with_names_stay_arrays_with_names() {
    let stage = echo();
    let client = stage.connect("x");
    let sparse = EcmaArray::from_iter([("0", text("a")), ("5", text("b")), ("key", text("c"))]);
    let code = "function(a) { return [a instanceof Array, a.length, a[5], a.key, a['0']].join(); }";
    assert_eq!(
        client.call("ask", [text(code), sparse.into()]),
        Ok(text("true,6,b,c,a"))
    );
    let huge = EcmaArray::from_iter([("4294967290", 1.0), ("4294967295", 2.0), ("-1", 3.0)]);
    let code = "function(a) { return a.length + ' ' + a[4294967295] + ' ' + a['-1']; }";
    assert_eq!(
        client.call("ask", [text(code), huge.into()]),
        Ok(text("4294967291 2 3"))
    );
}

#[test]
fn cycles_and_shared_values_are_kept() {
    let stage = echo();
    let client = amf3(&stage);
    let code = "function() { var a = { name: 'a' }; a.self = a; a.list = [a, a]; return a; }";
    let expected = Object::new()
        .with("name", "a")
        .with("self", Value::Reference(0))
        .with(
            "list",
            Value::StrictArray(vec![Value::Reference(0), Value::Reference(0)]),
        );
    let expected = Value::Object(expected);
    assert_eq!(client.call("ask", [text(code)]), Ok(expected.clone()));
    let code = "function(a) { return a.self === a && a.list[1] === a; }";
    assert_eq!(client.call("ask", [text(code), expected]), Ok(true.into()));
}

#[test]
fn a_peer_cannot_choose_what_an_object_inherits() {
    let stage = echo();
    let client = stage.connect("x");
    let evil = Object::new().with("__proto__", Object::new().with("polluted", 1.0));
    let code = "function(a) { return [a.polluted, ({}).polluted, Object.getPrototypeOf(a) === Object.prototype].join(); }";
    assert_eq!(
        client.call("ask", [text(code), evil.into()]),
        Ok(text(",,true"))
    );
}

#[test]
fn registered_classes_make_their_objects() {
    let stage = stage(
        "function Point() { this.made = true; }
         Point.prototype.sum = function() { return this.x + this.y; };
         Point.prototype.onInitialize = function() { this.ready = this.x; };
         application.onAppStart = function() { application.registerClass('geo.Point', Point); };
         Client.prototype.sum = function(point) { return [point.sum(), point.made, point.ready].join(); };
         Client.prototype.make = function() { var p = new Point(); p.x = 1; return p; };",
    );
    let client = stage.connect("x");
    let point = Object::typed("geo.Point").with("x", 1.0).with("y", 2.0);
    assert_eq!(client.call("sum", [point.into()]), Ok(text("3,true,1")));
    let made = client.call("make", []).unwrap();
    let made = made.as_object().unwrap();
    assert_eq!(made.class_name(), Some("geo.Point"));
    assert_eq!(made.get("x"), Some(&1.0.into()));
}

#[test]
fn what_is_too_deep_or_too_long_is_an_exception() {
    let stage = echo();
    let client = stage.connect("x");
    for code in [
        "function() { var a = {}; for (var i = 0; i < 100; i++) a = { a: a }; return a; }",
        "function() { return 'x'.repeat(10000000) + 'y'.repeat(10000000); }",
        "function() { var s = 'x'.repeat(1000000), a = []; for (var i = 0; i < 20; i++) a.push(s); return a; }",
    ] {
        let failed = client.call("ask", [text(code)]).unwrap_err();
        assert_eq!(failed.get("code"), Some(&text("NetConnection.Call.Failed")));
    }
    assert_eq!(client.call("echo", [1.0.into()]), Ok(1.0.into()));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Undefined),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-1e9..1e9).prop_map(Value::Number),
        ".{0,8}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::StrictArray),
            // Names that are no indices: a script visits indices first.
            prop::collection::btree_map("[a-z_]{1,6}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn any_value_comes_back(values in prop::collection::vec(any_value(), 1..20)) {
        let stage = echo();
        let client = stage.connect("x");
        for value in values {
            prop_assert_eq!(client.call("echo", [value.clone()]), Ok(value));
        }
    }
}
