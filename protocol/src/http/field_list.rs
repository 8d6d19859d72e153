//! Fields whose value is a list (RFC 9110, section 5.6.1).

use super::{HttpFault, MAX_LINES};

/// The values of a field in order, over all lines of that field: at most [`MAX_LINES`] of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldList<'a> {
    lines: [&'a str; MAX_LINES],
    count: usize,
}

impl<'a> FieldList<'a> {
    pub(super) fn push(&mut self, line: &'a str) -> Result<(), HttpFault> {
        let place = self.lines.get_mut(self.count);
        *place.ok_or(HttpFault::TooManyFields)? = line;
        self.count += 1;
        Ok(())
    }

    /// The values without the white space around them; empty ones are left out.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a str> {
        let lines = self.lines;
        let values = (0..self.count).flat_map(move |line| lines[line].split(','));
        let values = values.map(|value| value.trim_matches([' ', '\t']));
        values.filter(|value| !value.is_empty())
    }

    /// Whether a value is this word, in letters of either case.
    pub fn has(&self, word: &str) -> bool {
        self.iter().any(|value| value.eq_ignore_ascii_case(word))
    }
}
