//! What an HTTP tool sends: a method, an address, headers and a body, with places for arguments.
//!
//! What is fixed is fixed here: where a request goes, the names of its query, and its headers, which may hold values of
//! environment variables and nothing that a model wrote. Arguments have places in the path, the query and the body.

use serde_json::Value;

use super::argv::{Piece, pieces};

/// A request of an HTTP tool.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSpec {
    /// What is asked.
    pub method: Method,
    /// Where it goes.
    pub address: Address,
    /// What goes with it, beside what every request has.
    pub headers: Vec<Header>,
    /// JSON. `{name}` in a text of it is replaced by the argument; a text that is nothing else becomes its value.
    pub body: Option<Value>,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

impl Method {
    /// All, as they are written.
    pub const NAMES: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

    /// The method of this name.
    pub fn parse(name: &str) -> Option<Method> {
        let all = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];
        all.into_iter().find(|method| method.as_str() == name)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// What is wrong with an address or a header, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Fault {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault { what: what.into(), hint: hint.into() }
    }
}

/// Where a request goes: a fixed server, and a path and a query with places for arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Scheme, host and port, as `https://tickets.example:8443`.
    pub origin: String,
    /// The segments of the path: the pieces between slashes. Never none.
    pub path: Vec<Vec<Piece>>,
    /// The pairs of the query. Each begins with its name and `=` as text, or has no place.
    pub query: Vec<Vec<Piece>>,
}

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Address, Fault> {
        const FORM: &str = "write it as `https://host/path/{name}?key={name}`";
        let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme));
        let authority_at = scheme.map_or_else(|| text.find("://").map_or(0, |at| at + 3), str::len);
        let rest = &text[authority_at..];
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_end);
        if let Some(name) = first_argument(&text[..authority_at + authority_end]) {
            let what = format!("`{{{name}}}` would let a model choose the server");
            return Err(Fault::new(
                what,
                "write scheme, host and port as they are; arguments go into path, query and body",
            ));
        }
        if scheme.is_none() {
            return Err(Fault::new("an address begins with `https://` or `http://`", FORM));
        }
        if authority.contains('@') {
            let hint = "a crew's files are stored and shown: send it in a header, as `Authorization: \"Bearer {env.NAME}\"`";
            return Err(Fault::new("an address must not hold a user name or a password", hint));
        }
        if !is_authority(authority) {
            return Err(Fault::new("the address names no host that can be asked", FORM));
        }
        if rest.contains('#') {
            return Err(Fault::new("what follows `#` is never sent", "remove it"));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path: Vec<Vec<Piece>> = path.strip_prefix('/').unwrap_or(path).split('/').map(pieces).collect();
        let query: Vec<Vec<Piece>> = query.split('&').filter(|pair| !pair.is_empty()).map(pieces).collect();
        for piece in path.iter().chain(&query).flatten() {
            let Piece::Text(text) = piece else { continue };
            if text.contains("{env.") {
                let hint = "send it in a header: addresses are shown and logged by many";
                return Err(Fault::new("an address holds no environment variables", hint));
            }
            if let Some(wrong) = text.chars().find(|c| !may_stand_in_address(*c)) {
                let hint = "write it percent-encoded, as `%20` for a blank; `{name}` stands for an argument";
                return Err(Fault::new(
                    format!("`{}` cannot stand in an address", wrong.escape_debug()),
                    hint,
                ));
            }
        }
        if path
            .iter()
            .any(|segment| matches!(&segment[..], [Piece::Text(text)] if matches!(&**text, "." | "..")))
        {
            return Err(Fault::new("the path has a segment `.` or `..`", "write where it leads"));
        }
        let has_name = |pair: &Vec<Piece>| match &pair[..] {
            [Piece::Text(name), Piece::Argument(_), ..] => name.contains('='),
            [Piece::Argument(_), ..] => false,
            _ => true,
        };
        if !query.iter().all(has_name) {
            let what = "a model must not choose the name of a query's value";
            return Err(Fault::new(what, "write `?key={name}`"));
        }
        Ok(Address { origin: text[..authority_at + authority_end].to_owned(), path, query })
    }

    /// The names of the arguments that have a place in it.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        arguments(self.path.iter().chain(&self.query).flatten())
    }
}

/// A host and perhaps a port.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let host_is_sound = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        }
    };
    host_is_sound && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Source: RFC 3986, section 2.
fn may_stand_in_address(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~:/?@!$&'()*+,;=%".contains(c)
}

/// A header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name, as written.
    pub name: String,
    /// Its value.
    pub value: Vec<HeaderPiece>,
}

/// A piece of a header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderPiece {
    /// Text that stays as it is.
    Text(String),
    /// The place of the environment variable of this name.
    Variable(String),
}

/// Headers that belong to the connection or to the call.
const OWN_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Header {
    /// Reads a header. `{env.NAME}` in its value is the place of an environment variable.
    pub fn parse(name: &str, value: &str) -> Result<Header, Fault> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) {
            let what = format!("`{}` cannot be the name of a header", name.escape_debug());
            return Err(Fault::new(what, "a name has letters, digits and `-`"));
        }
        if OWN_HEADERS.contains(&&*name.to_ascii_lowercase()) {
            let what = format!("the header `{name}` belongs to the request itself");
            return Err(Fault::new(what, "remove it: it is sent where it is needed"));
        }
        if value.chars().any(|c| c != '\t' && !(' '..='~').contains(&c)) {
            let what = format!("the value of the header `{name}` holds what no header can hold");
            return Err(Fault::new(what, "write it in one line, in ASCII"));
        }
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = value;
        while let Some(at) = rest.find("{env.") {
            text.push_str(&rest[..at]);
            let Some((variable, after)) =
                rest[at + 5..].split_once('}').filter(|(name, _)| is_variable(name))
            else {
                let what = format!("the header `{name}` asks for something that is no environment variable");
                return Err(Fault::new(what, "write `{env.NAME}`"));
            };
            if !text.is_empty() {
                pieces.push(HeaderPiece::Text(std::mem::take(&mut text)));
            }
            pieces.push(HeaderPiece::Variable(variable.to_owned()));
            rest = after;
        }
        text.push_str(rest);
        if let Some(argument) = first_argument(value) {
            let what = format!("`{{{argument}}}` would let a model write into the header `{name}`");
            let hint = format!(
                "headers hold fixed text and `{{env.NAME}}`; write `{{{{{argument}}}}}` for the text itself"
            );
            return Err(Fault::new(what, hint));
        }
        if !text.is_empty() || pieces.is_empty() {
            pieces.push(HeaderPiece::Text(text));
        }
        for piece in &mut pieces {
            if let HeaderPiece::Text(text) = piece {
                *text = fixed(text);
            }
        }
        Ok(Header { name: name.to_owned(), value: pieces })
    }
}

fn is_variable(name: &str) -> bool {
    super::check::is_identifier(name)
}

/// A text without places: `{{name}}` stands for `{name}`.
fn fixed(text: &str) -> String {
    let one = |piece| match piece {
        Piece::Text(text) => text,
        Piece::Argument(name) => format!("{{{name}}}"),
    };
    pieces(text).into_iter().map(one).collect()
}

/// The names of the arguments that have a place in a text.
pub fn arguments<'p>(pieces: impl Iterator<Item = &'p Piece>) -> impl Iterator<Item = &'p str> {
    pieces.filter_map(|piece| match piece {
        Piece::Argument(name) => Some(name.as_str()),
        Piece::Text(_) => None,
    })
}

fn first_argument(text: &str) -> Option<String> {
    arguments(pieces(text).iter()).next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn argument(name: &str) -> Piece {
        Piece::Argument(name.to_owned())
    }

    #[test]
    fn an_address_is_a_server_a_path_and_a_query() {
        let address =
            Address::parse("https://t.example:8443/v1/{project}/x-{id}.json?a=1&b={b},{c}").expect("fine");
        assert_eq!(address.origin, "https://t.example:8443");
        assert_eq!(
            address.path,
            [vec![text("v1")], vec![argument("project")], vec![text("x-"), argument("id"), text(".json")]]
        );
        assert_eq!(
            address.query,
            [vec![text("a=1")], vec![text("b="), argument("b"), text(","), argument("c")]]
        );
        assert_eq!(address.arguments().collect::<Vec<_>>(), ["project", "id", "b", "c"]);
        for (url, path) in [("http://[::1]:80", vec![vec![text("")]]), ("http://a_b/?", vec![vec![text("")]])]
        {
            let address = Address::parse(url).expect(url);
            assert_eq!((address.path, address.query), (path, vec![]), "{url}");
        }
    }

    #[test]
    fn an_address_that_leaves_the_server_to_the_model_is_refused() {
        for url in ["https://{host}/", "https://a.{b}:80/", "http://a:{port}/x", "{scheme}://a/", "{url}"] {
            let fault = Address::parse(url).expect_err(url);
            assert!(fault.what.contains("choose the server"), "{url}: {fault:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let wrong = [
            "",
            "tickets.example/x",
            "ftp://a/",
            "https:/a",
            "https://",
            "https:///x",
            "https://a:0/",
            "https://a:99999/",
            "https://a:x/",
            "https://[::/",
            "https://u:p@a/",
            "https://a/b c",
            "https://a/ü",
            "https://a/\"",
            "https://a/\u{7f}",
            "https://a/x#y",
            "https://a/../x",
            "https://a/.",
            "https://a/?{name}=1",
            "https://a/?x&{name}",
            "https://a/?x{name}=",
            "https://a/{env.KEY}",
        ];
        for url in wrong {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn headers_hold_fixed_text_and_variables() {
        let value = |text: &str| Header::parse("X-Key", text).map(|header| header.value);
        let variable = |name: &str| HeaderPiece::Variable(name.to_owned());
        let text = |text: &str| HeaderPiece::Text(text.to_owned());
        assert_eq!(value("Bearer {env.A}"), Ok(vec![text("Bearer "), variable("A")]));
        assert_eq!(value("{env.A}:{env.B_2}"), Ok(vec![variable("A"), text(":"), variable("B_2")]));
        assert_eq!(value(""), Ok(vec![text("")]));
        assert_eq!(value("{{name}} {\"a\": 1}"), Ok(vec![text("{name} {\"a\": 1}")]));
        for wrong in
            ["{name}", "a {env.A} {b}", "{env.}", "{env.1}", "{env.A", "{env.A-B}", "a\nb", "é", "\0"]
        {
            assert!(value(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["", "A B", "A:", "é", "Host", "Idempotency-Key", "CONTENT-LENGTH"] {
            assert!(Header::parse(wrong, "x").is_err(), "{wrong:?}");
        }
    }
}
