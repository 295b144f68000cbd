//! The console: a web page in the binary. It loads nothing from elsewhere and talks to the API like any client.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::App;

/// What the page may do: its own scripts, styles and API; nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! asset {
    ($path:literal, $kind:ident, $($file:literal),+) => {
        Asset { path: $path, kind: $kind, text: concat!($(include_str!(concat!("../../console/", $file))),+) }
    };
}

static ASSETS: [Asset; 13] = [
    asset!("/", HTML, "index.html"),
    asset!("/style.css", STYLE, "palette.css", "style.css"),
    asset!("/app.js", SCRIPT, "app.js"),
    asset!("/api.js", SCRIPT, "api.js"),
    asset!("/crews.js", SCRIPT, "crews.js"),
    asset!("/dom.js", SCRIPT, "dom.js"),
    asset!("/replies.js", SCRIPT, "replies.js"),
    asset!("/run.js", SCRIPT, "run.js"),
    asset!("/runs.js", SCRIPT, "runs.js"),
    asset!("/stream.js", SCRIPT, "stream.js"),
    asset!("/tools.js", SCRIPT, "tools.js"),
    asset!("/transcript.js", SCRIPT, "transcript.js"),
    asset!("/waits.js", SCRIPT, "waits.js"),
];

/// `GET /` and the files that the page consists of.
pub(crate) fn files() -> Router<App> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        router.route(asset.path, get(move |headers: HeaderMap| async move { file(&headers, asset) }))
    })
}

/// A file; 304 if the browser has it. A browser asks each time, and the tag keeps the answer short.
fn file(asked: &HeaderMap, asset: &Asset) -> Response {
    let tag = format!("\"{:016x}\"", fingerprint(asset.text));
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let known =
        known.flat_map(|tags| tags.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag);
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { asset.text.into_response() };
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, asset.kind);
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-cache");
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// FNV-1a: it tells versions of our own files apart, no more.
fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_becomes_markup() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "setHTML",
            "DOMParser",
            "createContextualFragment",
            "srcdoc",
            "javascript:",
        ];
        for asset in &ASSETS {
            for word in forbidden {
                assert!(!asset.text.contains(word), "{} has {word}", asset.path);
            }
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_is_inline() {
        let page = ASSETS[0].text;
        for word in [" style=", "<style", " onclick", "<script>"] {
            assert!(!page.contains(word), "{word}");
        }
        for asset in &ASSETS {
            let own = asset.text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !own.contains("http://") && !own.contains("https://") && !own.contains("\"//"),
                "{}",
                asset.path
            );
        }
    }

    #[test]
    fn every_file_that_is_imported_is_served() {
        for asset in ASSETS.iter().filter(|asset| asset.kind == SCRIPT) {
            for line in asset.text.lines().filter(|line| line.starts_with("import ")) {
                let from = line.split("from \".").nth(1).and_then(|rest| rest.split('"').next());
                let path = from.expect("a relative file");
                assert!(ASSETS.iter().any(|asset| asset.path == path), "{} imports {path}", asset.path);
            }
        }
    }
}
