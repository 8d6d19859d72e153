//! Arguments as Rust values.

use std::fmt;

use tributary_protocol::{
    amf::{Object, Value},
    command::Status,
};

use super::{Answer, Call};

/// A Rust type that an AMF value may be read as.
pub trait FromValue: Sized {
    /// The type's name in error texts: "a number".
    const EXPECTED: &'static str;

    /// Reads a value; an argument that is missing is `undefined`.
    fn from_value(value: &Value) -> Option<Self>;
}

/// A tuple that the arguments of a call may be read as. Further arguments are passed over, as
/// functions of scripts do.
pub trait FromArguments: Sized {
    /// Reads the arguments.
    fn from_arguments(arguments: &[Value]) -> Result<Self, WrongArgument>;
}

/// An argument is of another type than it must be.
///
/// As an [`Answer`] it is `_error` with NetConnection.Call.Failed and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongArgument {
    /// From 1.
    pub number: usize,
    /// [`FromValue::EXPECTED`] of the type that it must have.
    pub expected: &'static str,
}

/// Reads arguments, of a connect for example.
///
/// ```
/// use tributary_origin::app::read_arguments;
/// use tributary_protocol::amf::Value;
///
/// let arguments: [Value; 2] = ["Ann".into(), 42.0.into()];
/// let (name, age): (String, Option<u8>) = read_arguments(&arguments)?;
/// assert_eq!((name.as_str(), age), ("Ann", Some(42)));
/// # Ok::<(), tributary_origin::app::WrongArgument>(())
/// ```
pub fn read_arguments<T: FromArguments>(arguments: &[Value]) -> Result<T, WrongArgument> {
    T::from_arguments(arguments)
}

impl Call {
    /// Reads the arguments: `let (x, y): (f64, f64) = call.read()?`.
    pub fn read<T: FromArguments>(&self) -> Result<T, WrongArgument> {
        T::from_arguments(&self.arguments)
    }
}

impl fmt::Display for WrongArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "argument {} must be {}", self.number, self.expected)
    }
}

impl std::error::Error for WrongArgument {}

impl From<WrongArgument> for Answer {
    fn from(wrong: WrongArgument) -> Self {
        let info = Status::CallFailed.info(Some(&wrong.to_string()), None);
        Self::Error(info.into())
    }
}

fn argument<T: FromValue>(arguments: &[Value], number: usize) -> Result<T, WrongArgument> {
    let value = arguments.get(number - 1).unwrap_or(&Value::Undefined);
    T::from_value(value).ok_or(WrongArgument {
        number,
        expected: T::EXPECTED,
    })
}

macro_rules! tuples {
    ($($($type:ident $number:literal),+;)+) => {
        $(impl<$($type: FromValue),+> FromArguments for ($($type,)+) {
            fn from_arguments(arguments: &[Value]) -> Result<Self, WrongArgument> {
                Ok(($(argument::<$type>(arguments, $number)?,)+))
            }
        })+
    };
}

tuples! {
    A 1;
    A 1, B 2;
    A 1, B 2, C 3;
    A 1, B 2, C 3, D 4;
    A 1, B 2, C 3, D 4, E 5;
    A 1, B 2, C 3, D 4, E 5, F 6;
}

impl FromValue for Value {
    const EXPECTED: &'static str = "anything";

    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl FromValue for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "a number";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_number()
    }
}

impl FromValue for String {
    const EXPECTED: &'static str = "a text";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl FromValue for Object {
    const EXPECTED: &'static str = "an object";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_object().cloned()
    }
}

/// An array without names, all of whose items are of one type.
impl<T: FromValue> FromValue for Vec<T> {
    const EXPECTED: &'static str = "an array of the right items";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::from_value).collect()
    }
}

/// `None` is null, undefined, or missing.
impl<T: FromValue> FromValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_value(value: &Value) -> Option<Self> {
        if value.is_nullish() {
            return Some(None);
        }
        T::from_value(value).map(Some)
    }
}

macro_rules! whole_numbers {
    ($($type:ident $expected:literal)+) => {
        $(impl FromValue for $type {
            const EXPECTED: &'static str = $expected;

            fn from_value(value: &Value) -> Option<Self> {
                let number = value.as_number()?;
                // The cast saturates, so a number that does not fit differs from the result.
                let whole = number as $type;
                (f64::from(whole) == number).then_some(whole)
            }
        })+
    };
}

whole_numbers! {
    u8 "a whole number from 0 to 255"
    u16 "a whole number from 0 to 65,535"
    u32 "a whole number from 0 to 4,294,967,295"
    i8 "a whole number of 8 bits"
    i16 "a whole number of 16 bits"
    i32 "a whole number of 32 bits"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_as_what_they_are() {
        let list = Value::StrictArray(vec![1.0.into(), 2.0.into()]);
        let object = Object::new().with("x", 1.0);
        let arguments = [
            "a".into(),
            true.into(),
            list,
            object.clone().into(),
            Value::Null,
        ];
        let read: (String, bool, Vec<u8>, Object, Option<String>, Option<f64>) =
            read_arguments(&arguments).unwrap();
        assert_eq!(read, ("a".to_owned(), true, vec![1, 2], object, None, None));
        let (first,): (Value,) = read_arguments(&arguments).unwrap();
        assert_eq!(first, "a".into());
    }

    #[test]
    fn whole_numbers_are_whole_and_in_range() {
        for (number, byte, signed) in [
            (0.0, Some(0), Some(0)),
            (-0.0, Some(0), Some(0)),
            (255.0, Some(255), Some(255)),
            (256.0, None, Some(256)),
            (-1.0, None, Some(-1)),
            (0.5, None, None),
            (2_147_483_648.0, None, None),
            (f64::NAN, None, None),
            (f64::INFINITY, None, None),
        ] {
            let value = Value::from(number);
            assert_eq!(u8::from_value(&value), byte, "{number}");
            assert_eq!(i32::from_value(&value), signed, "{number}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let arguments = [Value::from(1.0), "x".into()];
        let read = |wrong: WrongArgument| wrong.to_string();
        let wrong = read_arguments::<(String,)>(&arguments).map_err(read);
        assert_eq!(wrong, Err("argument 1 must be a text".to_owned()));
        let wrong = read_arguments::<(f64, Option<f64>)>(&arguments).map_err(read);
        assert_eq!(wrong, Err("argument 2 must be a number".to_owned()));
        let wrong = read_arguments::<(f64, Value, bool)>(&arguments).unwrap_err();
        assert_eq!((wrong.number, wrong.expected), (3, "true or false"));
        let Answer::Error(info) = Answer::from(wrong) else {
            panic!("it is an error")
        };
        let text = Some(&Value::from("argument 3 must be true or false"));
        assert_eq!(info.get("description"), text);
        assert_eq!(info.get("code"), Some(&"NetConnection.Call.Failed".into()));
    }
}
