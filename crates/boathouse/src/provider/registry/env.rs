//! Providers from environment variables.

use secrecy::SecretString;

use super::{Dialect, Providers};

const OPENAI_URL: &str = "https://api.openai.com/v1";
const OLLAMA_URL: &str = "http://127.0.0.1:11434/v1";
const OLLAMA_PORT: u16 = 11434;

/// [`Providers::from_env`], with the environment as a function.
pub(super) fn providers(read: impl Fn(&str) -> Option<String>) -> Providers {
    let read = |name: &str| read(name).filter(|value| !value.trim().is_empty());
    let providers = Providers::new();

    let key = read("OPENAI_API_KEY").map(|key| SecretString::from(key.trim()));
    let own_url = read("OPENAI_BASE_URL");
    // Another server may do without a key; OpenAI's does not.
    let needs_key = own_url.is_none().then_some("OPENAI_API_KEY");
    let url = own_url.unwrap_or_else(|| OPENAI_URL.to_owned());
    providers.put_server("openai", &url, key, needs_key, Dialect::Plain);

    let url =
        read("OLLAMA_BASE_URL").or_else(|| read("OLLAMA_HOST")).unwrap_or_else(|| OLLAMA_URL.to_owned());
    providers.put_server("ollama", &url, None, None, Dialect::Ollama);
    providers
}

/// The base URL that is meant by what people write for Ollama: `gpu1`, `0.0.0.0:11434`, `http://localhost:11434/`.
///
/// Adds `http://`, the port where neither it nor a scheme is there, and the path of the Chat Completions interface. The
/// address that Ollama listens on for all (`0.0.0.0`) becomes the one to reach it by.
pub(super) fn ollama_base_url(written: &str) -> String {
    let written = written.trim_end_matches('/');
    let (scheme, rest) = written.split_once("://").unwrap_or(("", written));
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, "/v1".to_owned()),
    };
    // `/api` is where the native interface is.
    let path = if path == "/api" { "/v1".to_owned() } else { path };
    let authority = match authority.strip_prefix("0.0.0.0") {
        Some(port) if port.is_empty() || port.starts_with(':') => format!("127.0.0.1{port}"),
        Some(_) | None => authority.to_owned(),
    };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match scheme {
        "" if has_port => format!("http://{authority}{path}"),
        "" => format!("http://{authority}:{OLLAMA_PORT}{path}"),
        scheme => format!("{scheme}://{authority}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use boathouse_core::crew::Model;

    use super::{ollama_base_url, providers};

    #[test]
    fn ollama_is_found_however_its_place_is_written() {
        let cases = [
            ("gpu1", "http://gpu1:11434/v1"),
            ("0.0.0.0", "http://127.0.0.1:11434/v1"),
            ("0.0.0.0:8000", "http://127.0.0.1:8000/v1"),
            ("http://localhost:11434/", "http://localhost:11434/v1"),
            ("http://localhost:11434/v1", "http://localhost:11434/v1"),
            ("http://localhost:11434/api", "http://localhost:11434/v1"),
            ("https://ollama.example.org", "https://ollama.example.org/v1"),
            ("https://example.org/ollama/v1", "https://example.org/ollama/v1"),
            ("[::1]:11434", "http://[::1]:11434/v1"),
        ];
        for (written, meant) in cases {
            assert_eq!(ollama_base_url(written), meant, "{written}");
        }
    }

    fn model(provider: &str, base_url: Option<&str>) -> Model {
        Model { provider: provider.to_owned(), model: "m".to_owned(), base_url: base_url.map(str::to_owned) }
    }

    #[test]
    fn a_missing_key_is_named_by_its_variable() {
        let none = providers(|_| None);
        assert_eq!(none.names(), ["ollama", "openai", "scripted"]);
        let error = none.resolve(&model("openai", None)).err().expect("it has no key");
        assert_eq!(
            error.message,
            "the provider `openai` needs a key; set the environment variable OPENAI_API_KEY"
        );
        assert!(
            none.resolve(&model("openai", Some("http://127.0.0.1:8000/v1"))).is_ok(),
            "another server may not"
        );
        assert!(none.resolve(&model("ollama", None)).is_ok());

        let empty = providers(|name| (name == "OPENAI_API_KEY").then(|| " ".to_owned()));
        assert!(empty.resolve(&model("openai", None)).is_err(), "an empty variable is none");
        let set = providers(|name| (name == "OPENAI_API_KEY").then(|| "sk-x".to_owned()));
        assert!(set.resolve(&model("openai", None)).is_ok());
        let elsewhere =
            providers(|name| (name == "OPENAI_BASE_URL").then(|| "http://127.0.0.1:1/v1".to_owned()));
        assert!(elsewhere.resolve(&model("openai", None)).is_ok());
    }

    #[test]
    fn a_wrong_base_url_is_a_config_error_that_names_the_provider() {
        let wrong = providers(|name| (name == "OPENAI_BASE_URL").then(|| "localhost:8000".to_owned()));
        let error = wrong.resolve(&model("openai", None)).err().expect("it is no URL");
        assert!(error.message.contains("`openai`") && error.message.contains("http://"), "{error}");
        assert_eq!(wrong.pool_metrics().size, 0, "nothing is kept of it");
    }
}
