//! What an HTTP tool may send: requests to one server, of which a model fills in values and nothing else.

use serde_json::Value;

use crate::crew::check::Check;
use crate::crew::file::{At, Said, View};
use crate::crew::http::{Address, Fault, Header, HttpSpec, Method};
use crate::crew::problem::Code;
use crate::crew::yaml::{Node, Yaml};

use super::places::{Places, placeholders};

impl<'a> Check<'a> {
    pub(super) fn http(&mut self, http: View<'a>, tool: View<'a>, parameters: &Value) -> Option<HttpSpec> {
        let errors_before = self.problems.error_count();
        let mut places = Places::new(parameters);
        let method =
            http.text("method").and_then(|method| Method::parse(method.value)).unwrap_or(Method::Get);
        let address = http.text("url").and_then(|url| {
            self.places_in(url, &mut places);
            self.sound(url.at, Code::InvalidUrl, Address::parse(url.value))
        });
        let headers = self.headers(http);
        let body = http.get("body").filter(|body| !body.is_null());
        if let Some(body) = body {
            if method == Method::Get {
                let at = http.key("body").unwrap_or(http.at());
                let hint = Some("write the method, such as `method: POST`, or remove the body".to_owned());
                self.problems.error(at, Code::InvalidRequest, "a GET request has no body".to_owned(), hint);
            }
            self.body(http.file, body, &mut places);
        }
        self.idle_parameters(tool, &places, "http", "request");
        let sound = self.problems.error_count() == errors_before;
        address.filter(|_| sound).map(|address| HttpSpec {
            method,
            address,
            headers,
            body: body.map(Node::to_json),
        })
    }

    /// `headers` of a request.
    pub(super) fn headers(&mut self, view: View<'a>) -> Vec<Header> {
        let mut headers: Vec<Header> = Vec::new();
        for (name, value) in view.map("headers").iter().flat_map(View::entries) {
            let Some(text) = value.text() else { continue };
            let header = self.sound(name.at, Code::InvalidRequest, Header::parse(name.value, text));
            if headers.iter().any(|other| other.name.eq_ignore_ascii_case(name.value)) {
                let message = format!("the header `{}` is there twice: case does not count", name.value);
                let hint = Some("remove one of them".to_owned());
                self.problems.error(name.at, Code::InvalidRequest, message, hint);
            }
            headers.extend(header);
        }
        headers
    }

    /// What was read, or a problem.
    pub(super) fn sound<T>(&mut self, at: At<'a>, code: Code, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.problems.error(at, code, fault.what, Some(fault.hint))).ok()
    }

    /// The texts of a body have places, its keys are fixed.
    fn body(&mut self, file: &'a str, node: &'a Node, places: &mut Places<'_>) {
        let at = At { file, place: node.at };
        match &node.yaml {
            Yaml::Scalar { text, .. } => self.places_in(Said { value: text, at }, places),
            Yaml::List(items) => items.iter().for_each(|item| self.body(file, item, places)),
            Yaml::Map(entries) => {
                if let [only] = &entries[..]
                    && only.value.is_null()
                    && places.is_declared(&only.key)
                {
                    let message = format!("to YAML `{{{}}}` is a map with the key `{}`", only.key, only.key);
                    let hint = Some(format!("write `\"{{{}}}\"`", only.key));
                    self.problems.error(at, Code::InvalidRequest, message, hint);
                    return;
                }
                for entry in entries {
                    if let Some(name) = placeholders(&entry.key).first() {
                        let at = At { file, place: entry.key_at };
                        let message = format!("`{{{name}}}` would let a model choose a key of the body");
                        let hint = Some("write the key as it is; arguments go into values".to_owned());
                        self.problems.error(at, Code::InvalidRequest, message, hint);
                    }
                    self.body(file, &entry.value, places);
                }
            }
        }
    }
}
