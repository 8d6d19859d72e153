//! The fields of a client's query.

/// The value of the first field of this name.
///
/// A field ends at `&`, and at `?` as well: clients add theirs behind a further question mark. Its name
/// ends at the first `=`. Nothing is decoded: tokens and logins have only characters that stay as they
/// are.
pub(crate) fn field<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = query.split(['&', '?']);
    fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_field_of_a_query_counts() {
        for (query, value) in [
            ("token=a", Some("a")),
            ("x=y&token=a&token=b", Some("a")),
            ("rtmp://edge/live?token=a", Some("a")),
            ("token=a=b", Some("a=b")),
            ("token=", Some("")),
            ("token", None),
            ("tokens=a", None),
            ("xtoken=a", None),
            ("", None),
        ] {
            assert_eq!(field(query, "token"), value, "{query}");
        }
    }
}
