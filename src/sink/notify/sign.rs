//! Signatures as Standard Webhooks 1.0.0 has them: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::Secret;

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// Standard base64; secrets are copied by hand, so missing padding is forgiven.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Signs for one receiver. Does not show its key.
#[derive(Clone)]
pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    /// A signer with the receiver's secret.
    ///
    /// # Errors
    /// What was expected, without the secret itself.
    pub(super) fn new(secret: &Secret) -> Result<Signer, &'static str> {
        let expected = "expected whsec_ and the base64 of a key";
        let encoded = secret.reveal().strip_prefix(PREFIX).ok_or(expected)?;
        let key = BASE64.decode(encoded).map_err(|_| expected)?;
        if key.is_empty() {
            return Err(expected);
        }
        Hmac::new_from_slice(&key).map(Signer).map_err(|_| expected)
    }

    /// The value of `webhook-signature`. `timestamp` is in seconds since 1970.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut hmac = self.0.clone();
        hmac.update(id.as_bytes());
        hmac.update(format!(".{timestamp}.").as_bytes());
        hmac.update(body);
        format!("v1,{}", BASE64.encode(hmac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secret: &str) -> Result<Signer, &'static str> {
        Signer::new(&Secret::new(secret.to_owned()))
    }

    #[test]
    fn signatures_agree_with_the_published_vector() {
        // the example of the reference libraries, standard-webhooks/standard-webhooks
        let signed = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap().sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_that_are_none_are_refused_without_being_shown() {
        for bad in ["", "whsec_", "hunter2", "whsec_hunter2!", "MfKQ9r8G"] {
            let error = signer(bad).expect_err(bad);
            assert!(!error.contains("hunter2"));
        }
        let padded = signer("whsec_c2VjcmV0LXNlY3JldA==").unwrap();
        let bare = signer("whsec_c2VjcmV0LXNlY3JldA").unwrap();
        assert_eq!(padded.sign("i", 1, b"b"), bare.sign("i", 1, b"b"));
        assert_eq!(format!("{bare:?}"), "Signer(…)");
    }
}
