//! The answer of a service in a parcel.

use tributary_protocol::parcel::{Carried, ParcelError, ParcelReader, ParcelWriter};

use super::{HookAnswer, HookFault, HookRefused, HookVerdict, SERVICE_LABEL};
use crate::hooks::MAX_FIELD;

const VERDICT: u16 = 1;
const TEXT: u16 = 2;
const LABEL: u16 = 3;
const USER: u16 = 4;

const ALLOW: u8 = 0;
const RENAME: u8 = 1;
const RELAY: u8 = 2;
const REFUSE: u8 = 3;

impl Carried for HookAnswer {
    const NAME: &'static str = "the answer of a service";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        let (verdict, text, label) = match &self.verdict {
            HookVerdict::Allow => (ALLOW, None, None),
            HookVerdict::Rename(name) => (RENAME, Some(name), None),
            HookVerdict::Relay(url) => (RELAY, Some(url), None),
            HookVerdict::Refuse(refused) => (REFUSE, Some(&refused.text), Some(refused.label)),
        };
        parcel.number(VERDICT, verdict);
        if let Some(text) = text {
            parcel.bytes(TEXT, text.as_bytes());
        }
        if let Some(label) = label {
            parcel.bytes(LABEL, label.as_bytes());
        }
        if let Some(user) = &self.user {
            parcel.bytes(USER, user.as_bytes());
        }
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let verdict: u8 = parcel.number(VERDICT)?;
        let text = parcel.text_if(TEXT, MAX_FIELD)?.map(str::to_owned);
        let label = parcel.text_if(LABEL, MAX_FIELD)?;
        let verdict = match (verdict, text, label) {
            (ALLOW, None, None) => HookVerdict::Allow,
            (RENAME, Some(name), None) => HookVerdict::Rename(name),
            (RELAY, Some(url), None) => HookVerdict::Relay(url),
            (REFUSE, Some(text), Some(label)) => HookVerdict::Refuse(HookRefused {
                label: known(label).ok_or_else(|| parcel.illegal(LABEL))?,
                text,
            }),
            _ => return Err(parcel.illegal(VERDICT)),
        };
        let user = parcel.text_if(USER, MAX_FIELD)?.map(str::to_owned);
        Ok(Self { verdict, user })
    }
}

/// The label of a refusal that services, or the lack of one, bring about.
fn known(label: &str) -> Option<&'static str> {
    let faults = HookFault::LABELS.into_iter();
    let mut all = faults.chain([SERVICE_LABEL]);
    all.find(|known| *known == label)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;
    use tributary_protocol::parcel::{pack, unpack};

    use super::*;
    use crate::hooks::tests::changed;

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    fn now() -> Instant {
        Instant::now()
    }

    fn read(parcel: &[u8]) -> Result<HookAnswer, ParcelError> {
        unpack::<HookAnswer>(parcel, now(), (), 1 << 20)
    }

    /// A refusal in the bytes of version 1 (`docs/replace.md`).
    const GOLDEN: &[u8] = b"\0\x01\0\x01\0\0\0\x01\x03\0\x02\0\0\0\x02no\
        \0\x03\0\0\0\x0chook_refused\0\x04\0\0\0\x03bob";

    #[test]
    fn answers_move() {
        let refused = HookVerdict::Refuse(HookRefused {
            label: SERVICE_LABEL,
            text: "no".to_owned(),
        });
        for verdict in [
            HookVerdict::Allow,
            HookVerdict::Rename("hidden".to_owned()),
            HookVerdict::Relay("rtmp://other/live/cam".to_owned()),
            refused.clone(),
        ] {
            let user = Some("bob".to_owned());
            let answer = HookAnswer { verdict, user };
            let parcel = pack(&answer, now()).expect("it can move");
            assert!(answer.verdict != refused || parcel == GOLDEN);
            assert_eq!(read(&parcel), Ok(answer));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        /// A changed or cut parcel is refused, or is an answer that moves on.
        #[test]
        fn changed_answers_hold(parcel in changed(GOLDEN)) {
            if let Ok(answer) = read(&parcel) {
                let again = pack(&answer, now()).expect("it can move on");
                prop_assert_eq!(read(&again), Ok(answer));
            }
        }
    }
}
