//! The secret that notices are signed with.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Signs notices. Never shown.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

impl WebhookSecret {
    /// Reads a secret: `whsec_` and 24 to 64 bytes in Base64. The error does not quote it.
    pub fn parse(text: &str) -> Result<WebhookSecret, String> {
        let form = "it must be `whsec_` and 24 to 64 random bytes in Base64";
        let encoded = text.trim().strip_prefix("whsec_").ok_or(form)?;
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| form)?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(format!("{form}; these are {} bytes", bytes.len()));
        }
        Ok(WebhookSecret(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The signature of one attempt: `v1,` and the HMAC-SHA256 of `<id>.<timestamp>.<body>` in Base64.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let signed = hmac::sign(&self.0, format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(signed))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{secret:?}"), "WebhookSecret");
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_quoted() {
        for text in ["", "hunter2", "whsec_", "whsec_hunter2!", "whsec_aHVudGVyMg=="] {
            let refused = WebhookSecret::parse(text).expect_err(text);
            assert!(refused.contains("whsec_") && !refused.contains("hunter2"), "{refused}");
        }
    }
}
