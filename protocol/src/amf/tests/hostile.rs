//! Messages that would cost more than their bytes.

use super::super::*;
use super::{amf0_bytes, amf3_bytes, hex};

/// The stack that decoding must not exceed.
const STACK: usize = 256 * 1024;

fn on_small_stack(run: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let thread = thread.spawn_scoped(scope, run).expect("a thread");
        thread.join().expect("no panic");
    });
}

fn decode0(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    amf0::decode_all(bytes, &Budget::default())
}

fn decode3(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    amf3::decode_all(bytes, &Budget::default())
}

/// For each container: the bytes that open a level, and those that close it.
const NESTS_AMF0: [(&str, &str); 4] = [
    ("03 0001 61", "0000 09"),
    ("10 0001 43 0001 61", "0000 09"),
    ("08 00000001 0001 61", "0000 09"),
    ("0a 00000001", ""),
];

const NESTS_AMF3: [(&str, &str); 7] = [
    ("09 03 01", ""),
    ("09 01 03 61", "01"),
    ("0a 0b 01 03 61", "01"),
    ("0a 13 03 43 03 61", ""),
    ("10 03 00 01", ""),
    ("11 03 00 04 01", ""),
    (
        "0a 07 43 666c65782e6d6573736167696e672e696f2e4172726179436f6c6c656374696f6e",
        "",
    ),
];

fn nested((open, close): (&str, &str), depth: usize, inner: &[u8]) -> Vec<u8> {
    [&hex(open).repeat(depth), inner, &hex(close).repeat(depth)].concat()
}

#[test]
fn sixty_four_levels_fit_a_small_stack_and_one_more_is_an_error() {
    on_small_stack(|| {
        for nest in NESTS_AMF0 {
            let values = decode0(&nested(nest, 64, &[5])).unwrap();
            assert_eq!(amf0_bytes(&values.clone()), nested(nest, 64, &[5]));
            assert_eq!(decode0(&nested(nest, 65, &[5])), Err(Error::TooDeep));
            amf3_bytes(&values);
        }
        for nest in NESTS_AMF3 {
            let values = decode3(&nested(nest, 64, &[1])).unwrap();
            assert_eq!(decode3(&amf3_bytes(&values.clone())).unwrap(), values);
            assert_eq!(decode3(&nested(nest, 65, &[1])), Err(Error::TooDeep));
            decode0(&amf0_bytes(&values)).unwrap();
        }
    });
}

#[test]
fn depth_counts_both_encodings_and_the_switch_between_them() {
    on_small_stack(|| {
        for outer in NESTS_AMF0 {
            for inner in NESTS_AMF3 {
                let amf3 = [vec![0x11], nested(inner, 32, &[1])].concat();
                decode0(&nested(outer, 31, &amf3)).unwrap();
                assert_eq!(decode0(&nested(outer, 32, &amf3)), Err(Error::TooDeep));
            }
        }
    });
}

#[test]
fn a_million_levels_are_an_error() {
    on_small_stack(|| {
        for (open, _) in NESTS_AMF0 {
            let error = decode0(&hex(open).repeat(1_000_000)).unwrap_err();
            assert!(matches!(error, Error::TooDeep | Error::TooLarge));
        }
        for (open, _) in NESTS_AMF3 {
            let error = decode3(&hex(open).repeat(100_000)).unwrap_err();
            assert_eq!(error, Error::TooDeep);
        }
    });
}

#[test]
fn values_too_deep_for_any_reader_are_written_as_null() {
    let mut value = Value::StrictArray(vec![]);
    for _ in 0..100 {
        value = Value::StrictArray(vec![value, Value::ByteArray(Default::default())]);
    }
    let values = [value];
    decode0(&amf0_bytes(&values)).unwrap();
    decode3(&amf3_bytes(&values)).unwrap();
    let mut out = bytes::BytesMut::new();
    amf0::encode_all(&mut out, ObjectEncoding::Amf3, &values);
    decode0(&out).unwrap();
}

#[test]
fn counts_and_lengths_beyond_the_input_are_errors() {
    for bytes in [
        "02 ffff 61",
        "0c ffffffff 61",
        "0f ffffffff 61",
        "0a ffffffff 05",
        "08 ffffffff",
        "03 ffff 61",
        "10 ffff 61",
        "11 09 ffffffff 01",
        "11 06 ffffffff 61",
        "11 0c ffffffff 61",
        "11 0b ffffffff 61",
        "11 07 ffffffff 61",
        "11 0d ffffffff 00 00000000",
        "11 0e ffffffff 00 00000000",
        "11 0f ffffffff 00 00000000",
        "11 10 ffffffff 00 01 01",
        "11 11 ffffffff 00 01 01",
        "11 0a fffffff3 01 01",
    ] {
        assert_eq!(decode0(&hex(bytes)), Err(Error::Truncated), "{bytes}");
    }
}

#[test]
fn sixteen_mebibytes_of_anything_end_in_an_error() {
    on_small_stack(|| {
        let size = Budget::MAX_BYTES;
        let fill = |head: &str, body: &str| {
            let (head, body) = (hex(head), hex(body));
            let count = (size - head.len()) / body.len();
            [head, body.repeat(count)].concat()
        };
        // Strict arrays and a dictionary with the count of the items behind it, then the items.
        let vectors = [
            fill("", "05"),
            fill("", "03"),
            fill("0a 00fffff0", "05"),
            fill("08 00000000", "0000 05"),
            fill("11 09 bfffff 81 01", "00"),
            fill("11 11 87ffff01 00", "01"),
            fill("11 0a 87ffff83 01", "01"),
            fill("0a 0000ffff", "0a 00000000"),
            fill("03 0000 05 0000 09", "07 0000"),
            fill("11 06 03 61", "11 06 00"),
        ];
        for bytes in vectors {
            decode0(&bytes).unwrap_err();
        }
        assert_eq!(decode0(&vec![5; size + 1]), Err(Error::TooLarge));
    });
}

#[test]
fn elements_are_counted_across_the_message() {
    let limit = Budget::MAX_ELEMENTS as usize;
    assert_eq!(decode0(&vec![5; limit]).unwrap().len(), limit);
    assert_eq!(decode0(&vec![5; limit + 1]), Err(Error::TooManyElements));
    assert_eq!(decode3(&vec![1; limit + 1]), Err(Error::TooManyElements));
}

#[test]
fn references_to_one_big_object_inside_a_value_cost_nothing() {
    let big = Object::new().with("text", "x".repeat(60_000));
    let mut items = vec![big.into()];
    items.resize(100_000, Value::Reference(1));
    let values = [Value::StrictArray(items)];
    let bytes = amf0_bytes(&values);
    assert!(bytes.len() < 400_000);
    assert_eq!(decode0(&bytes).unwrap(), values);
    let bytes = amf3_bytes(&values);
    assert!(bytes.len() < 400_000);
    assert_eq!(decode3(&bytes).unwrap(), values);
}

#[test]
fn references_may_add_a_mebibyte_and_no_more() {
    let text = "x".repeat(50_000);
    // Each top-level reference makes another copy of the object.
    let object = [
        &hex("03 0001 61")[..],
        &amf0_bytes(&[text.as_str().into()]),
        &hex("0000 09"),
    ];
    let message = |copies: usize| [object.concat(), hex("07 0000").repeat(copies)].concat();
    assert_eq!(decode0(&message(20)).unwrap().len(), 21);
    assert_eq!(decode0(&message(21)), Err(Error::TooMuchReferenced));
    // Each reference to a string makes another one.
    let message = |copies: usize| {
        let mut bytes = amf3_bytes(&[text.as_str().into()]);
        bytes.extend(hex("06 00").repeat(copies));
        bytes
    };
    assert_eq!(decode3(&message(20)).unwrap().len(), 21);
    assert_eq!(decode3(&message(21)), Err(Error::TooMuchReferenced));
    // Each object of a class makes its names again.
    let mut class = hex("0a 13 01");
    class.extend(&amf3_bytes(&[text.as_str().into()])[1..]);
    class.push(1);
    let message = |copies: usize| [class.clone(), hex("0a 01 01").repeat(copies)].concat();
    assert_eq!(decode3(&message(20)).unwrap().len(), 21);
    assert_eq!(decode3(&message(21)), Err(Error::TooMuchReferenced));
}

#[test]
fn a_bomb_of_a_kilobyte_stays_small_in_any_form() {
    // Each array holds the one before it twice: 2^60 leaves if a decoder unfolded it.
    let mut bomb = Value::StrictArray(vec!["x".repeat(400).into()]);
    for _ in 0..60 {
        bomb.shift_references(1);
        bomb = Value::StrictArray(vec![bomb, Value::Reference(1)]);
    }
    let values = [bomb];
    let amf3 = amf3_bytes(&values);
    let amf0 = amf0_bytes(&values);
    assert!(amf3.len() < 1024 && amf0.len() < 2048);
    assert_eq!(decode3(&amf3).unwrap(), values);
    assert_eq!(decode0(&amf0).unwrap(), values);

    // Dates and XML are not in AMF0's table: references to them are written out, up to a limit.
    let mut items = vec![Value::Xml("x".repeat(600))];
    items.resize(200_000, Value::Reference(1));
    let written = amf0_bytes(&[Value::StrictArray(items)]);
    assert!(written.len() < (1 << 20) + 400_000);

    // Bytes become numbers, nine bytes each, up to a limit.
    let bytes = || Value::ByteArray(vec![0; 100_000].into());
    let written = amf0_bytes(&[Value::StrictArray(vec![bytes(), bytes()])]);
    assert!(written.len() < 1 << 20);
}

#[test]
fn a_copy_may_not_go_deeper_than_the_rest() {
    let nest = NESTS_AMF0[3];
    let deep = nested(nest, 40, &[5]);
    let fits = [&deep[..], &nested(nest, 24, &hex("07 0000"))].concat();
    decode0(&fits).unwrap();
    let too_deep = [&deep[..], &nested(nest, 25, &hex("07 0000"))].concat();
    assert_eq!(decode0(&too_deep), Err(Error::TooDeep));
}

#[test]
fn unknown_classes_that_write_themselves_end_the_message_or_fail() {
    let head = "0a 07 03 43";
    let whole = hex(&format!("{head} 0102030405"));
    let values = decode3(&whole).unwrap();
    let expected = Externalizable {
        class_name: "C".into(),
        body: ExternalBody::Opaque(vec![1, 2, 3, 4, 5].into()),
    };
    assert_eq!(values, [Value::Externalizable(Box::new(expected))]);
    assert_eq!(amf3_bytes(&values), whole);

    let behind_amf0 = hex(&format!("05 11 {head} 0102"));
    assert_eq!(decode0(&behind_amf0).unwrap().len(), 2);

    let inside = hex(&format!("09 03 01 {head} 0102"));
    let error = decode3(&inside).unwrap_err();
    assert_eq!(error, Error::UnknownExternalizable("C".into()));
    assert!(error.to_string().contains("\"C\""));
}
