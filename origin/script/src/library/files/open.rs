//! An open file.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt},
};

use super::{FileError, Files, Mode, TURN_BYTES};

/// An open file. Its owner calls [`Files::closed`] when it drops the file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: fs::File,
    mode: Mode,
    /// The offset of the next read or write.
    position: u64,
    /// The bytes that are read ahead, and their offset.
    ahead: Vec<u8>,
    ahead_at: u64,
}

/// The encoding of a file's characters: the first argument of `File.open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// `text` and `utf8`: UTF-8. Invalid bytes are read as Latin-1.
    Utf8,
    /// `binary`: one character for each byte.
    Binary,
}

impl Text {
    /// Reads `File.open`'s first argument.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "text" | "utf8" | "utf-8" => Some(Self::Utf8),
            "binary" => Some(Self::Binary),
            _ => None,
        }
    }

    /// Decodes bytes.
    pub(crate) fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Binary => bytes.iter().copied().map(char::from).collect(),
            Self::Utf8 => {
                let mut text = String::with_capacity(bytes.len());
                for chunk in bytes.utf8_chunks() {
                    text.push_str(chunk.valid());
                    text.extend(chunk.invalid().iter().copied().map(char::from));
                }
                text
            }
        }
    }

    /// Encodes characters; [`Text::Binary`] takes the low byte of each.
    pub(crate) fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Binary => text.chars().map(|char| char as u32 as u8).collect(),
        }
    }
}

/// Bytes read ahead. Reason: a script that reads line by line makes one system call for many.
const AHEAD: usize = 16 * 1024;

impl OpenFile {
    pub(super) fn new(file: fs::File, mode: Mode) -> Result<Self, FileError> {
        let position = if mode.append {
            file.metadata()?.size()
        } else {
            0
        };
        Ok(Self {
            file,
            mode,
            position,
            ahead: Vec::new(),
            ahead_at: 0,
        })
    }

    /// The offset of the next read or write, in bytes.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes in the file.
    pub(crate) fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.size())
    }

    /// Whether all bytes are read.
    pub(crate) fn at_end(&self) -> bool {
        self.position >= self.length()
    }

    /// Moves the next read or write to this offset, at most to the end.
    pub(crate) fn seek(&mut self, position: u64) -> u64 {
        self.position = position.min(self.length());
        self.position
    }

    /// Reads `count` bytes, fewer at the end.
    pub(crate) fn read(&mut self, files: &mut Files, count: usize) -> Result<Vec<u8>, FileError> {
        self.may_read()?;
        let left = self.length().saturating_sub(self.position);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        let started = files.allowance.check(count)?;
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while let Some(empty) = bytes.get_mut(filled..).filter(|empty| !empty.is_empty()) {
            let at = self.position + filled as u64;
            match self.file.read_at(empty, at)? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        self.position += filled as u64;
        files.allowance.spend(filled, started);
        Ok(bytes)
    }

    /// Reads `count` characters, fewer at the end.
    pub(crate) fn read_chars(
        &mut self,
        files: &mut Files,
        text: Text,
        count: usize,
    ) -> Result<String, FileError> {
        if text == Text::Binary {
            return Ok(text.decode(&self.read(files, count)?));
        }
        self.skip_mark(files)?;
        let mut bytes = Vec::new();
        let mut chars = 0;
        while chars < count {
            let ahead = self.look_ahead(files)?;
            let Some(&first) = ahead.first() else { break };
            let length = char_length(first).min(ahead.len());
            let char = match ahead.get(..length) {
                Some(char) if std::str::from_utf8(char).is_ok() => length,
                // The bytes that are read ahead may end within a character.
                _ if length == ahead.len() && char_length(first) > length => {
                    self.ahead.clear();
                    let more = self.look_ahead(files)?;
                    let length = char_length(first).min(more.len());
                    let whole = more.get(..length).unwrap_or_default();
                    if std::str::from_utf8(whole).is_ok() {
                        length
                    } else {
                        1
                    }
                }
                _ => 1,
            };
            bytes.extend_from_slice(self.look_ahead(files)?.get(..char).unwrap_or_default());
            self.position += char as u64;
            chars += 1;
        }
        Ok(text.decode(&bytes))
    }

    /// Reads a line without its end (CR, LF or both); `None` at the end of the file.
    pub(crate) fn read_line(
        &mut self,
        files: &mut Files,
        text: Text,
    ) -> Result<Option<String>, FileError> {
        if text == Text::Utf8 {
            self.skip_mark(files)?;
        }
        let mut line = Vec::new();
        let mut any = false;
        loop {
            let ahead = self.look_ahead(files)?;
            if ahead.is_empty() {
                return Ok(any.then(|| text.decode(&line)));
            }
            any = true;
            let end = ahead.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let taken = end.unwrap_or(ahead.len());
            let is_cr = end.is_some_and(|end| ahead.get(end) == Some(&b'\r'));
            line.extend_from_slice(ahead.get(..taken).unwrap_or_default());
            self.position += taken as u64;
            if end.is_some() {
                self.position += 1;
                if is_cr && self.look_ahead(files)?.first() == Some(&b'\n') {
                    self.position += 1;
                }
                return Ok(Some(text.decode(&line)));
            }
            if line.len() > TURN_BYTES {
                return Err(FileError::Allowance);
            }
        }
    }

    /// Writes bytes at the position, or at the end of a file that is opened to append.
    pub(crate) fn write(&mut self, files: &mut Files, bytes: &[u8]) -> Result<(), FileError> {
        if !self.mode.changes() {
            return Err(FileError::NotOpenFor("writing"));
        }
        let started = files.allowance.check(bytes.len())?;
        let length = self.length();
        let at = if self.mode.append {
            length
        } else {
            self.position
        };
        let end = at.saturating_add(bytes.len() as u64);
        files.reserve(end.saturating_sub(length))?;
        self.ahead.clear();
        let written = self.file.write_all_at(bytes, at);
        self.position = end;
        files.allowance.spend(bytes.len(), started);
        if written.is_err() {
            // The number of written bytes is not known: the next write counts anew.
            files.usage = None;
        }
        Ok(written?)
    }

    /// Syncs the file to the disk. Writes are not buffered here.
    pub(crate) fn flush(&mut self, files: &mut Files) -> Result<(), FileError> {
        let started = files.allowance.check(0)?;
        let flushed = self.file.sync_data();
        files.allowance.spend(0, started);
        Ok(flushed?)
    }

    fn may_read(&self) -> Result<(), FileError> {
        if self.mode.read {
            Ok(())
        } else {
            Err(FileError::NotOpenFor("reading"))
        }
    }

    /// Skips a byte-order mark at the beginning.
    fn skip_mark(&mut self, files: &mut Files) -> Result<(), FileError> {
        self.may_read()?;
        if self.position == 0 && self.look_ahead(files)?.starts_with(b"\xef\xbb\xbf") {
            self.position = 3;
        }
        Ok(())
    }

    /// The bytes after the position; empty at the end of the file.
    fn look_ahead(&mut self, files: &mut Files) -> Result<&[u8], FileError> {
        self.may_read()?;
        let inside = |this: &Self| {
            let from = this.position.checked_sub(this.ahead_at)?;
            usize::try_from(from)
                .ok()
                .filter(|&from| from < this.ahead.len())
        };
        let from = match inside(self) {
            Some(from) => from,
            None => {
                let position = self.position;
                self.ahead = self.read(files, AHEAD)?;
                self.ahead_at = position;
                self.position = position;
                0
            }
        };
        Ok(self.ahead.get(from..).unwrap_or_default())
    }
}

/// The length of a character with this first byte.
fn char_length(first: u8) -> usize {
    match first {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    }
}
