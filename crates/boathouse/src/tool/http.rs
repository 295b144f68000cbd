//! Tools of kind `http`: one request to a fixed server, and what it answers.
//!
//! What a model gives fills values of the path, the query and the body, and nothing else (see `request`). A call that
//! failed before anything was sent has failed and nothing more; once something was sent, only an answer tells its outcome.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use boathouse_core::crew::ToolSpec;
use boathouse_core::crew::http::{Address, HttpSpec};
use boathouse_core::run::event::{CallEnd, CallErrorKind};
use hyper::header::{HeaderMap, LOCATION};
use hyper::{Response, StatusCode};
use serde_json::Value;

use crate::provider::client::{Client, Exchange, Opened, Origin, Timeouts};

use super::call::{cut, cut_mark};
use super::{Stop, Tool, ToolCx, ToolError};

mod request;

use request::Prepared;
pub(super) use request::{Secrets, headers, target};

/// The time of an attempt bounds all pauses: this is beyond the longest that can be asked for.
const NO_LIMIT: Duration = Duration::from_secs(31 * 86_400);

/// A tool that sends a request.
pub struct HttpTool {
    spec: Arc<ToolSpec>,
    http: HttpSpec,
    origin: Origin,
    client: Client,
}

impl HttpTool {
    /// Reads a definition. The error says what is wrong with it.
    pub fn new(spec: Arc<ToolSpec>, http: &HttpSpec) -> Result<HttpTool, String> {
        let properties = spec.parameters.get("properties");
        if let Some(name) =
            http.address.arguments().find(|name| properties.is_none_or(|all| all.get(*name).is_none()))
        {
            return Err(format!("`{{{name}}}` in its address is no parameter of the tool; declare it"));
        }
        let (client, origin) = client(&http.address)?;
        Ok(HttpTool { client, origin, http: http.clone(), spec })
    }

    async fn ask(&self, opened: Opened<'_>, prepared: Prepared) -> Result<String, ToolError> {
        let (head, exchange) = opened.send(prepared.request).await.map_err(|error| match error.kind {
            CallErrorKind::Connect => ToolError::Failed(error.message),
            _ => ToolError::Unknown(error.message),
        })?;
        let (body, broken) = self.read(exchange, &prepared.secrets).await;
        self.told(&head, &body, broken)
    }

    /// The body's text up to the cap, and what broke it off. What comes beyond the cap is not waited for.
    async fn read(&self, mut exchange: Exchange<'_>, secrets: &Secrets) -> (String, Option<String>) {
        let max = self.spec.max_output_bytes;
        // So much more that a secret which lies across the cap is seen whole.
        let room = max + 1 + secrets.longest();
        let mut body = Vec::new();
        let broken = loop {
            let read = exchange.read(|chunk| {
                body.extend_from_slice(&chunk[..chunk.len().min(room - body.len())]);
                Ok(body.len() < room)
            });
            match read.await {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(error.message),
            }
        };
        let mut text = secrets.hide(String::from_utf8_lossy(&body).replace('\0', "\u{FFFD}"));
        if body.len() > max {
            text.truncate(cut(&text, max).trim_end_matches('\u{FFFD}').len());
            text.push_str(&cut_mark(max));
        }
        (text, broken)
    }

    /// What the model is told of an answer.
    fn told(&self, head: &Response<()>, body: &str, broken: Option<String>) -> Result<String, ToolError> {
        let status = head.status();
        let answered = format!("{} answered {status}", self.origin);
        if status.is_success() {
            return match (broken, body.trim_end()) {
                (Some(why), _) => Err(ToolError::Unknown(format!("{answered}, but not to the end: {why}"))),
                (None, "") => Ok(format!("done: {answered}, without a body")),
                (None, body) => Ok(body.to_owned()),
            };
        }
        let rest = match body.trim_end() {
            _ if status.is_redirection() => leads_to(head.headers()),
            "" => String::new(),
            body => format!("\n{body}"),
        };
        let passing = status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS]
                .contains(&status);
        let answered = format!("{answered}{rest}");
        Err(if passing { ToolError::Failed(answered) } else { ToolError::Refused(answered) })
    }
}

#[async_trait]
impl Tool for HttpTool {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn call(&self, arguments: &Value, cx: &ToolCx) -> Result<String, ToolError> {
        let prepared = request::prepare(&self.http, &self.origin, &self.spec, arguments, cx)
            .map_err(ToolError::Refused)?;
        // No connection is kept: one that its server closes just when it is used again has an unknown outcome.
        let opened = tokio::select! {
            biased;
            opened = self.client.open() => opened.map_err(|error| ToolError::Failed(error.message))?,
            () = cx.cancelled.cancelled() => {
                return Err(ToolError::Failed(format!("nothing was sent: there was no connection to {} yet", self.origin)));
            }
        };
        tokio::select! {
            biased;
            answered = self.ask(opened, prepared) => answered,
            () = cx.cancelled.cancelled() => Err(ToolError::Stopped(CallEnd::Disconnected)),
        }
    }

    fn stop(&self) -> Stop {
        Stop::Cooperate
    }
}

/// A client of a server, and that server. The error says why there is none.
pub(super) fn client(address: &Address) -> Result<(Client, Origin), String> {
    let origin = Origin::parse(&address.origin).map_err(|why| format!("its address is unusable: {why}"))?;
    Ok((Client::new(origin.clone(), Timeouts { idle: NO_LIMIT, ..Timeouts::default() }), origin))
}

/// Where a redirect leads: only the server, as the rest may hold what is not for models.
fn leads_to(headers: &HeaderMap) -> String {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let server = location.map(|location| match Origin::parse(location) {
        Ok(origin) => origin.to_string(),
        Err(_) => "another place".to_owned(),
    });
    server.map_or_else(String::new, |server| format!(", which leads to {server}; redirects are not followed"))
}
