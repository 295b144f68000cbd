//! Where a provider is: a base URL, taken apart once.

use std::fmt;

use hyper::Uri;

/// Scheme, host, port and base path of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Whether to speak TLS.
    pub(crate) tls: bool,
    /// A name or an address; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `host` or `host:port` as the `Host` header has it.
    pub(crate) authority: String,
    /// Without a slash at the end; empty for the root.
    path: String,
    query: Option<String>,
}

impl Origin {
    /// Reads a base URL, `http://` or `https://`. The error says what is wrong with it, and quotes no password.
    pub(crate) fn parse(url: &str) -> Result<Origin, String> {
        let uri: Uri = url.trim().parse().map_err(|error| format!("it is not a URL ({error})"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err("it must begin with `http://` or `https://`".to_owned()),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user name or a password; give the key instead".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("it names no host".to_owned());
        }
        Ok(Origin {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }

    /// The request target for a path below the base, as `/chat/completions`. The base URL's query is kept.
    pub(crate) fn target(&self, below: &str) -> String {
        match &self.query {
            None => format!("{}{below}", self.path),
            Some(query) => format!("{}{below}?{query}", self.path),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn base_urls_are_taken_apart() {
        let azure =
            Origin::parse("https://x.openai.azure.com/openai/deployments/d/?api-version=1").expect("fine");
        assert_eq!((azure.tls, &*azure.host, azure.port), (true, "x.openai.azure.com", 443));
        assert_eq!(azure.target("/chat/completions"), "/openai/deployments/d/chat/completions?api-version=1");
        let local = Origin::parse(" http://[::1]:8080 ").expect("fine");
        assert_eq!(
            (local.tls, &*local.host, local.port, &*local.authority),
            (false, "::1", 8080, "[::1]:8080")
        );
        assert_eq!(local.target("/chat/completions"), "/chat/completions");
        assert_eq!(local.to_string(), "http://[::1]:8080");
    }

    #[test]
    fn a_base_url_that_is_none_is_refused_with_a_reason() {
        let cases = [
            ("", "not a URL"),
            ("localhost:11434", "http://"),
            ("ftp://x/", "http://"),
            ("/v1", "http://"),
            ("http://user:secret@host/v1", "give the key instead"),
            ("http:///v1", ""),
            ("http://a b/", "not a URL"),
        ];
        for (url, why) in cases {
            let error = Origin::parse(url).expect_err(url);
            assert!(error.contains(why), "{url:?} gave {error:?}");
            assert!(!error.contains("secret"));
        }
    }
}
