//! The digests of both schemes.

use data_encoding::{BASE64, HEXLOWER};
use md5::{Digest, Md5};

/// The MD5 of the parts, one after the other.
fn md5(parts: &[&str]) -> [u8; 16] {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// The verifier of the scheme adobe.
pub(super) fn adobe_verifier(user: &str, salt: &str, password: &str) -> String {
    BASE64.encode(&md5(&[user, salt, password]))
}

/// The response of the scheme adobe: to our challenge, and with the client's.
pub(super) fn adobe_response(verifier: &str, opaque: &str, challenge: &str) -> String {
    BASE64.encode(&md5(&[verifier, opaque, challenge]))
}

/// The verifier of the scheme llnw.
pub(super) fn llnw_verifier(user: &str, password: &str) -> String {
    HEXLOWER.encode(&md5(&[user, ":live:", password]))
}

/// The response of the scheme llnw. `app` has no query; the URI under the digest has the default
/// instance where `app` names none.
pub(super) fn llnw_response(
    verifier: &str,
    nonce: &str,
    nc: &str,
    cnonce: &str,
    app: &str,
) -> String {
    let instance = if app.contains('/') { "" } else { "/_definst_" };
    let uri = HEXLOWER.encode(&md5(&["publish:/", app, instance]));
    let parts = [verifier, ":", nonce, ":", nc, ":", cnonce, ":auth:", &uri];
    HEXLOWER.encode(&md5(&parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of ffmpeg 5.1.9, for the user alice with the password s3cr3t.
    #[test]
    fn the_digests_are_those_of_ffmpeg() {
        let verifier = adobe_verifier("alice", "c2FsdA==", "s3cr3t");
        assert_eq!(verifier, "NqnUWLHv9hVR2TrBpG3P3Q==");
        let response = adobe_response(&verifier, "b3BhcXVl", "be3ceee4");
        assert_eq!(response, "wXYiKD/x7IrbFOmi444WRQ==");

        let verifier = llnw_verifier("alice", "s3cr3t");
        assert_eq!(verifier, "7c2e88907a012b5937a7aeda43e469c4");
        let response = llnw_response(&verifier, "bm9uY2U=", "00000001", "9ae53fed", "live");
        assert_eq!(response, "3ec271337e9b4b521bfe7a6d9ccdc82a");
        let named = llnw_response(
            &verifier,
            "bm9uY2U=",
            "00000001",
            "9ae53fed",
            "live/_definst_",
        );
        assert_eq!(named, response);
    }
}
