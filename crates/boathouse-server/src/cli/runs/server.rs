//! Runs at a server, over its HTTP API.

use boathouse::core::crew::Model;
use boathouse::core::ids::{RunId, WaitId};
use boathouse::core::run::event::Answer;
use boathouse::core::run::fork::Edits;
use boathouse::engine::ForkPoint;
use boathouse::http::{HttpAnswer, HttpClient};
use boathouse::log_file::LogFile;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::place::Wanted;
use crate::cli::exit::Failure;
use crate::cli::who;

/// Runs of one page of a list.
const PAGE: usize = 200;

pub(super) fn no_approval(run: &RunId) -> Failure {
    Failure::new(format!("run {run} waits for no approval"))
}

pub(super) fn several_approvals(run: &RunId) -> Failure {
    Failure::usage(format!("run {run} waits for several approvals"))
        .hint("say which one with `--to`; `boathouse runs show RUN` lists them")
}

/// A server.
pub(crate) struct Server {
    url: String,
    client: HttpClient,
}

impl Server {
    /// Nothing is connected yet.
    pub(crate) fn new(url: &str) -> Result<Server, Failure> {
        let client = HttpClient::new(url).map_err(|why| {
            Failure::usage(format!("--server {url}: {why}")).hint("write it as `http://127.0.0.1:8080`")
        })?;
        Ok(Server { url: url.trim_end_matches('/').to_owned(), client })
    }

    pub(crate) async fn list(&self, wanted: &Wanted) -> Result<(Vec<Value>, bool), Failure> {
        let mut runs: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let limit = (wanted.limit - runs.len()).min(PAGE).to_string();
            let query = [
                ("limit", Some(limit.as_str())),
                ("crew", wanted.crew.as_deref()),
                ("state", wanted.state.map(|state| state.as_str())),
                ("thread", wanted.thread.as_deref()),
                ("cursor", cursor.as_deref()),
            ];
            let given: Vec<_> = query.into_iter().filter(|(_, value)| value.is_some()).collect();
            let query = serde_urlencoded::to_string(&given).map_err(Failure::new)?;
            let mut page = self.ask("GET", &format!("/v1/runs?{query}"), None).await?;
            if let Value::Array(page) = page["runs"].take() {
                runs.extend(page);
            }
            match page["next"].take() {
                Value::String(next) if runs.len() < wanted.limit => cursor = Some(next),
                next => return Ok((runs, next.is_string())),
            }
        }
    }

    pub(crate) async fn log(&self, run: &RunId) -> Result<LogFile, Failure> {
        let answer = self.send("GET", &format!("/v1/runs/{run}/log"), None).await?;
        let text = std::str::from_utf8(&answer.body).map_err(Failure::new)?;
        LogFile::parse(text).map_err(|error| {
            Failure::new(format!("the log of run {run} cannot be read: {error}"))
                .hint("the server may be a newer version than this program")
        })
    }

    pub(crate) async fn cancel(&self, run: &RunId, wait: bool) -> Result<Value, Failure> {
        self.ask("POST", &format!("/v1/runs/{run}/cancel?wait={wait}"), None).await
    }

    pub(crate) async fn answer(
        &self,
        run: &RunId,
        wait: Option<WaitId>,
        answer: &Answer,
    ) -> Result<Value, Failure> {
        let mut body = match answer {
            Answer::Text { .. } => {
                let body = answer_json(wait, answer);
                return self.ask("POST", &format!("/v1/runs/{run}/answer"), Some(body)).await;
            }
            Answer::Approve {} => json!({"decision": "approve"}),
            Answer::Edit { arguments, .. } => json!({"decision": "edit", "arguments": arguments}),
            Answer::Reject { reason } => json!({"decision": "reject", "reason": reason}),
            Answer::Respond { output } => json!({"decision": "respond", "result": output}),
            Answer::Rerun {} => json!({"decision": "rerun"}),
            Answer::Done { output } => json!({"decision": "done", "result": output}),
            Answer::Fail {} => json!({"decision": "fail"}),
        };
        body["approval"] = match wait {
            Some(wait) => json!(wait),
            None => self.only_approval(run).await?,
        };
        body["by"] = json!(who::is_it());
        self.ask("POST", &format!("/v1/runs/{run}/approvals"), Some(body)).await
    }

    /// The approval that is meant where none is named.
    async fn only_approval(&self, run: &RunId) -> Result<Value, Failure> {
        let view = self.ask("GET", &format!("/v1/runs/{run}"), None).await?;
        match view["approvals"].as_array().map(Vec::as_slice) {
            Some([only]) => Ok(only["approval"].clone()),
            Some([]) | None => Err(no_approval(run)),
            Some(_) => Err(several_approvals(run)),
        }
    }

    pub(crate) async fn fork(&self, run: &RunId, from: ForkPoint, edits: &Edits) -> Result<Value, Failure> {
        let mut body = edits_json(edits);
        let what = match from {
            ForkPoint::Retry => "retry",
            ForkPoint::Last => "fork",
            ForkPoint::At(seq) => {
                body.insert("at".to_owned(), json!(seq));
                "fork"
            }
        };
        self.ask("POST", &format!("/v1/runs/{run}/{what}"), Some(Value::Object(body))).await
    }

    /// Its stream ends when the run rests.
    pub(crate) async fn rested(&self, run: &RunId) -> Result<Value, Failure> {
        let mut seen = 0;
        loop {
            let path = format!("/v1/runs/{run}/events?deltas=false&after={seen}");
            let answer =
                self.exchange("GET", &path, &[("accept", "text/event-stream")], Bytes::new()).await?;
            self.checked(answer)?;
            let found = self.ask("GET", &format!("/v1/runs/{run}"), None).await?;
            if !matches!(found["state"].as_str(), Some("running" | "queued")) {
                return Ok(found);
            }
            seen = found["seq"].as_u64().unwrap_or(seen);
        }
    }

    pub(crate) async fn delete(&self, run: &RunId) -> Result<(), Failure> {
        self.send("DELETE", &format!("/v1/runs/{run}"), None).await.map(drop)
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let answer = self.send(method, path, body).await?;
        serde_json::from_slice(&answer.body).map_err(|_| self.no_boathouse())
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Result<HttpAnswer, Failure> {
        let (headers, body): (&[(&str, &str)], _) = match body {
            Some(body) => (&[("content-type", "application/json")], Bytes::from(body.to_string())),
            None => (&[], Bytes::new()),
        };
        let answer = self.exchange(method, path, headers, body).await?;
        self.checked(answer)
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<HttpAnswer, Failure> {
        self.client.send(method, path, headers, body).await.map_err(|error| match error.unreached {
            true => Failure::new(format!(
                "no server at {}: {}",
                self.url,
                error.to_string().trim_start_matches(&format!("no connection to {}: ", self.url))
            ))
            .hint(
                "start one with `boathouse serve DIR`, name another with --server URL, or read a file with --journal FILE",
            ),
            false => Failure::new(format!("the server at {} did not answer: {error}", self.url))
                .hint("look whether it was done before you try again"),
        })
    }

    /// The answer, unless it tells a problem.
    fn checked(&self, answer: HttpAnswer) -> Result<HttpAnswer, Failure> {
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let Some(detail) = problem["detail"].as_str() else { return Err(self.no_boathouse()) };
        let failure = Failure::new(detail);
        Err(match problem["hint"].as_str() {
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    }

    fn no_boathouse(&self) -> Failure {
        Failure::new(format!("what answers at {} is not a boathouse server of this version", self.url))
            .hint("name the server with --server URL")
    }
}

fn answer_json(wait: Option<WaitId>, answer: &Answer) -> Value {
    let mut body = match answer {
        Answer::Text { text } => json!({"text": text}),
        Answer::Rerun {} => json!({"rerun": true}),
        Answer::Done { output } => json!({"done": output}),
        Answer::Fail {} => json!({"fail": true}),
        Answer::Approve {} | Answer::Edit { .. } | Answer::Reject { .. } | Answer::Respond { .. } => {
            json!({})
        }
    };
    if let Some(wait) = wait {
        body["wait"] = json!(wait);
    }
    body
}

fn edits_json(edits: &Edits) -> Map<String, Value> {
    let mut body = Map::new();
    let texts = [("input", &edits.input), ("reply", &edits.reply)];
    for (name, text) in texts {
        body.extend(text.as_ref().map(|text| (name.to_owned(), json!(text))));
    }
    if let Some((wait, answer)) = &edits.answer {
        body.insert("answer".to_owned(), answer_json(*wait, answer));
    }
    let model = |model: &Model| json!({"provider": model.provider, "model": model.model});
    let mut models: Vec<Value> = edits.model.iter().map(model).collect();
    models.extend(edits.models.iter().map(|(agent, of_agent)| {
        let mut one = model(of_agent);
        one["agent"] = json!(agent);
        one
    }));
    if !models.is_empty() {
        body.insert("model".to_owned(), Value::Array(models));
    }
    body
}
