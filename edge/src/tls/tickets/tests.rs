use super::*;

fn file(lines: &[&str]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), lines.join("\n")).unwrap();
    file
}

/// The keys of a file.
fn of(file: &Path) -> Tickets {
    let tickets = Tickets::own().unwrap();
    tickets.replace(read(file).unwrap().0);
    tickets
}

fn key(byte: u8) -> String {
    data_encoding::BASE64.encode(&[byte; KEY])
}

#[test]
fn edges_with_the_same_keys_accept_each_others_tickets() {
    let (old, new) = (key(1), key(2));
    let first = file(&[&old]);
    let here = of(first.path());
    let there = of(first.path());
    let ticket = here.encrypt(b"state").unwrap();
    assert_eq!(there.decrypt(&ticket).as_deref(), Some(&b"state"[..]));
    // Rotation: the new key encrypts, the old one still decrypts.
    let both = file(&[&new, &old, ""]);
    there.replace(read(both.path()).unwrap().0);
    assert_eq!(there.decrypt(&ticket).as_deref(), Some(&b"state"[..]));
    let next = there.encrypt(b"state").unwrap();
    assert_eq!(here.decrypt(&next), None, "it does not have the new key");
    // Without a file each process has a key of its own.
    let alone = Tickets::own().unwrap();
    assert_eq!(alone.decrypt(&ticket), None);
    let own = alone.encrypt(b"state").unwrap();
    assert_eq!(alone.decrypt(&own).as_deref(), Some(&b"state"[..]));
}

#[test]
fn a_ticket_that_was_changed_is_refused() {
    let tickets = Tickets::own().unwrap();
    let ticket = tickets.encrypt(&[7; 100]).unwrap();
    for place in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[place] ^= 1;
        assert_eq!(tickets.decrypt(&changed), None, "byte {place}");
        assert_eq!(tickets.decrypt(&ticket[..place]), None, "{place} bytes");
    }
    assert_ne!(
        ticket,
        tickets.encrypt(&[7; 100]).unwrap(),
        "a nonce of its own"
    );
}

#[test]
fn a_file_that_cannot_be_used_says_why() {
    let (good, short) = (key(1), data_encoding::BASE64.encode(&[1; 16]));
    let many = vec![good.as_str(); MOST_KEYS + 1];
    for (lines, expected) in [
        (vec![""], "has no key"),
        (vec![&*good, &*short], "key 2 is not 32 bytes in base64"),
        (vec!["not base64!"], "key 1 is not 32 bytes"),
        (many, "more than 8 keys"),
    ] {
        let file = file(&lines);
        let error = read(file.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let missing = read(Path::new("/nowhere/keys")).map(drop).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("/nowhere/keys: cannot be read")
    );
}
