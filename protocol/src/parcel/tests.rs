//! The form of parcels: every content, every mistake.

use std::time::Duration;

use super::*;

/// A machine with a field of each content.
#[derive(Clone, Debug, PartialEq)]
struct Machine {
    number: u64,
    optional: Option<u16>,
    flag: bool,
    time: Instant,
    bytes: Vec<u8>,
    parts: Vec<Self>,
}

impl Carried for Machine {
    const NAME: &'static str = "the machine";
    /// The parts that a machine may have.
    type Limits = usize;

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(1, self.number);
        parcel.number_if(2, self.optional);
        parcel.flag(3, self.flag);
        parcel.time(4, self.time);
        parcel.bytes(5, &self.bytes);
        parcel.carry_all(6, &self.parts);
        if self.number == u64::MAX {
            parcel.refuse("its number is the last");
        }
    }

    fn import(parcel: &mut ParcelReader<'_>, most: usize) -> Result<Self, ParcelError> {
        let mut machine = Self {
            number: parcel.number(1)?,
            optional: parcel.number_if(2)?,
            flag: parcel.flag(3)?,
            time: parcel.time(4)?,
            bytes: parcel.bytes(5)?.to_vec(),
            parts: Vec::new(),
        };
        while let Some(part) = parcel.carried_if(6, most)? {
            parcel.fits(machine.parts.len() < most, "parts")?;
            machine.parts.push(part);
        }
        Ok(machine)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to start from"
)]
fn start() -> Instant {
    Instant::now()
}

fn machine(time: Instant) -> Machine {
    Machine {
        number: 0,
        optional: None,
        flag: false,
        time,
        bytes: Vec::new(),
        parts: Vec::new(),
    }
}

fn read(parcel: &[u8], now: Instant) -> Result<Machine, ParcelError> {
    unpack::<Machine>(parcel, now, 2, 1000)
}

/// A parcel of fields, each a tag and a content.
fn fields(fields: &[(u16, &[u8])]) -> Vec<u8> {
    let mut parcel = VERSION.to_be_bytes().to_vec();
    for (tag, content) in fields {
        parcel.extend(tag.to_be_bytes());
        parcel.extend((content.len() as u32).to_be_bytes());
        parcel.extend(*content);
    }
    parcel
}

#[test]
fn a_machine_comes_out_as_it_went_in() {
    let now = start();
    let part = Machine {
        number: 0x0100,
        optional: Some(0),
        flag: true,
        time: now + Duration::from_nanos(1),
        bytes: b"abc".to_vec(),
        parts: vec![machine(now), machine(now)],
    };
    let whole = Machine {
        number: u64::MAX - 1,
        time: now - Duration::from_secs(86_400),
        parts: vec![part],
        ..machine(now)
    };
    let parcel = pack(&whole, now).expect("it can move");
    assert_eq!(read(&parcel, now), Ok(whole));
}

#[test]
fn times_keep_their_distance() {
    let now = start();
    let later = now + Duration::from_secs(7);
    for distance in [0, 1, 1_000_000_007] {
        let distance = Duration::from_nanos(distance);
        for (time, moved) in [
            (now + distance, later + distance),
            (now - distance, later - distance),
        ] {
            let parcel = pack(&machine(time), now).expect("it can move");
            assert_eq!(read(&parcel, later), Ok(machine(moved)));
        }
    }
}

#[test]
fn a_machine_that_cannot_move_says_why() {
    let now = start();
    let last = Machine {
        number: u64::MAX,
        ..machine(now)
    };
    let state = "its number is the last";
    assert_eq!(pack(&last, now), Err(ParcelError::Unsettled { state }));
    let whole = Machine {
        parts: vec![last],
        ..machine(now)
    };
    assert_eq!(pack(&whole, now), Err(ParcelError::Unsettled { state }));
}

#[test]
fn mistakes_are_named() {
    let record = Machine::NAME;
    let right: [(u16, &[u8]); 3] = [(1, b"\x07"), (4, b""), (5, b"")];
    let with = |tag, content: &'static [u8]| {
        let mut all = right.to_vec();
        all.retain(|(known, _)| *known != tag);
        let place = all.iter().take_while(|(known, _)| *known < tag).count();
        all.insert(place, (tag, content));
        fields(&all)
    };
    let value = |tag| ParcelError::Value { record, tag };
    let unknown = |tag| ParcelError::Unknown { record, tag };
    let table = [
        (with(1, b"\0\x07"), value(1)),
        (with(1, b"123456789"), value(1)),
        (with(2, b"\x01\0\0"), value(2)),
        (with(3, b""), value(3)),
        (with(3, b"\x02"), value(3)),
        // 2^63, which is half of it away, and a time that is yet to come now.
        (with(4, b"\x80\0\0\0\0\0\0\x02"), value(4)),
        (with(4, b"\x01"), value(4)),
        (with(0, b""), unknown(0)),
        (with(7, b""), unknown(7)),
        (fields(&[right[0], right[0], right[1]]), unknown(1)),
        (
            fields(&[right[1], right[0]]),
            ParcelError::Missing { record, tag: 1 },
        ),
        (fields(&right[..2]), ParcelError::Missing { record, tag: 5 }),
        (fields(&[]), ParcelError::Missing { record, tag: 1 }),
        (with(6, b"\0"), ParcelError::Truncated { record }),
        (
            with(6, b"\0\x01\0\0\0\x01"),
            ParcelError::Truncated { record },
        ),
        (
            with(6, b"\0\x01\xff\xff\xff\xff"),
            ParcelError::Truncated { record },
        ),
        (b"\0".to_vec(), ParcelError::Truncated { record }),
        (b"\0\0".to_vec(), ParcelError::Version { version: 0 }),
        (vec![0; 1001], ParcelError::TooLong { limit: 1000 }),
    ];
    let now = start();
    assert!(read(&fields(&right), now).is_ok());
    for (parcel, expected) in table {
        let refused = read(&parcel, now);
        assert_eq!(refused, Err(expected), "{parcel:02x?}");
        assert!(!expected.to_string().is_empty());
    }
}

#[test]
fn the_importers_limits_hold() {
    let now = start();
    let whole = Machine {
        parts: vec![machine(now); 3],
        ..machine(now)
    };
    let parcel = pack(&whole, now).expect("it can move");
    let record = Machine::NAME;
    let bound = "parts";
    assert_eq!(
        read(&parcel, now),
        Err(ParcelError::Limit { record, bound })
    );
    assert!(unpack::<Machine>(&parcel, now, 3, usize::MAX).is_ok());
}

#[test]
fn records_stand_only_so_deep() {
    let now = start();
    let mut whole = machine(now);
    for depth in 1..=MAX_DEPTH + 1 {
        whole = Machine {
            parts: vec![whole],
            ..machine(now)
        };
        let parcel = pack(&whole, now).expect("it can move");
        let expected = match depth > MAX_DEPTH {
            true => Err(ParcelError::TooDeep),
            false => Ok(whole.clone()),
        };
        assert_eq!(read(&parcel, now), expected);
    }
}
