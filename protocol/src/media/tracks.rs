//! The envelope of Enhanced RTMP: ModEx prefixes and multitrack bodies, the same for audio and
//! video.

/// The tracks that one multitrack message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackSet {
    ids: [u64; 4],
    headers: bool,
}

impl TrackSet {
    /// Whether every track's part is a sequence header. The packet type is that of the message, so
    /// parts are never mixed.
    pub fn all_headers(&self) -> bool {
        self.headers
    }

    /// Whether this track has a part in the message.
    pub fn contains(&self, track: u8) -> bool {
        self.ids[usize::from(track >> 6)] & (1 << (track & 63)) != 0
    }

    /// Whether every track of `other` has a part in this message too.
    pub fn covers(&self, other: &Self) -> bool {
        self.ids
            .iter()
            .zip(other.ids)
            .all(|(ours, theirs)| theirs & !ours == 0)
    }

    /// The track ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|&track| self.contains(track))
    }

    /// Removes the tracks of `other` from this set. Whether any is left.
    pub fn remove(&mut self, other: &Self) -> bool {
        for (ours, theirs) in self.ids.iter_mut().zip(other.ids) {
            *ours &= !theirs;
        }
        self.ids != [0; 4]
    }

    /// Removes one track from this set. Whether any is left.
    pub fn remove_track(&mut self, track: u8) -> bool {
        self.ids[usize::from(track >> 6)] &= !(1 << (track & 63));
        self.ids != [0; 4]
    }

    fn insert(&mut self, track: u8) {
        self.ids[usize::from(track >> 6)] |= 1 << (track & 63);
    }
}

/// The layout of a multitrack message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    OneTrack,
    ManyTracks,
    ManyTracksManyCodecs,
}

/// The head of a multitrack body: layout, the packet type of all tracks, the first track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Multitrack<'a> {
    layout: Layout,
    /// The first track's FourCC; that of all tracks unless each has its own.
    four_cc: [u8; 4],
    /// The packet type of every track.
    pub(super) packet_type: u8,
    first: u8,
    /// The bytes behind the layout byte and the common FourCC.
    rest: &'a [u8],
}

impl<'a> Multitrack<'a> {
    /// Reads the head of a multitrack body, which begins right after the packet type byte.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (&first, rest) = body.split_first()?;
        let layout = match first >> 4 {
            0 => Layout::OneTrack,
            1 => Layout::ManyTracks,
            2 => Layout::ManyTracksManyCodecs,
            _ => return None,
        };
        // With a FourCC per track there is no common one; either way a FourCC precedes the id.
        let (&four_cc, track) = rest.split_first_chunk::<4>()?;
        let rest = if layout == Layout::ManyTracksManyCodecs {
            rest
        } else {
            track
        };
        Some(Self {
            layout,
            four_cc,
            packet_type: first & 0x0f,
            first: *track.first()?,
            rest,
        })
    }

    /// The FourCC of all its tracks, if they share one.
    pub(super) fn codec(&self) -> Option<[u8; 4]> {
        (self.layout != Layout::ManyTracksManyCodecs).then_some(self.four_cc)
    }

    /// Whether the layout allows more than one track.
    pub(super) fn is_several(&self) -> bool {
        self.layout != Layout::OneTrack
            && self.tracks(true).is_some_and(|t| t.iter().nth(1).is_some())
    }

    /// The track by which the message is classified: the only one, or the lowest.
    pub(super) fn track(&self) -> u8 {
        if self.layout == Layout::OneTrack {
            return self.first;
        }
        let tracks = self.tracks(false);
        let lowest = tracks.and_then(|tracks| tracks.iter().next());
        lowest.unwrap_or(self.first)
    }

    /// All tracks; `None` if the lengths do not add up.
    pub(super) fn tracks(&self, headers: bool) -> Option<TrackSet> {
        let mut tracks = TrackSet {
            ids: [0; 4],
            headers,
        };
        tracks.insert(self.first);
        if self.layout == Layout::OneTrack {
            return Some(tracks);
        }
        let mut rest = self.rest;
        for _ in 0..MAX_TRACKS {
            if rest.is_empty() {
                return Some(tracks);
            }
            if self.layout == Layout::ManyTracksManyCodecs {
                rest = rest.split_first_chunk::<4>()?.1;
            }
            let (&[track, a, b, c], body) = rest.split_first_chunk()?;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            rest = body.split_at_checked(length)?.1;
            tracks.insert(track);
        }
        None
    }
}

/// Skips the ModEx prefixes of a packet whose type is `packet_type` and whose body follows; returns
/// the real packet type and its body. A ModEx of type 0 is a nanosecond offset; no prefix changes
/// the class.
pub(super) fn skip_mod_ex(mut packet_type: u8, mut body: &[u8]) -> Option<(u8, &[u8])> {
    for _ in 0..MAX_MOD_EX {
        if packet_type != MOD_EX {
            return Some((packet_type, body));
        }
        let (&short, rest) = body.split_first()?;
        let (size, rest) = match usize::from(short) + 1 {
            256 => {
                let (size, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*size)) + 1, rest)
            }
            size => (size, rest),
        };
        let (&next, rest) = rest.split_at_checked(size)?.1.split_first()?;
        packet_type = next & 0x0f;
        body = rest;
    }
    None
}

/// ModEx, in audio and video.
const MOD_EX: u8 = 7;

/// The most ModEx prefixes on one packet. Reason: one kind is defined, so more are garbage.
const MAX_MOD_EX: usize = 16;

/// The most tracks of a message: their ids are one byte.
const MAX_TRACKS: usize = 256;
