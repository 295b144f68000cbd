//! What HTTP clients send: the first line is a query string, the rest is a body. It is read as the start of a run, as an
//! answer, and as the Go endpoint reads it.
//!
//! What is not refused is within its bounds, and reads the same when it is written and read again.
#![no_main]

use boathouse::core::message::{Author, Message};
use boathouse::core::run::event::{Answer, OnDisconnect};
use boathouse::engine::StartRun;
use boathouse_server::http::go_stream::request::{GoRequest, MAX_ASKED_BYTES};
use boathouse_server::http::input::{MAX_HISTORY, MAX_MESSAGE_BYTES, MAX_QUERY_BYTES, Query};
use boathouse_server::http::reading::{read_answer, read_start};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let body = data.get(end + 1..).unwrap_or_default();
    if let Ok(start) = read_start("crew".to_owned(), body) {
        assert!(!start.input.trim().is_empty() && is_clean(&start.input));
        within_bounds(&start.history);
        let written = serde_json::to_vec(&written(&start)).expect("a value");
        let again = read_start("crew".to_owned(), &written).expect("what was taken is taken again");
        assert_eq!(format!("{start:?}"), format!("{again:?}"));
    }
    if let Ok((_, answer)) = read_answer(body) {
        match answer {
            Answer::Text { text } => assert!(!text.trim().is_empty() && is_clean(&text)),
            Answer::Done { output } => assert!(is_clean(&output)),
            Answer::Rerun {} | Answer::Fail {} => {}
            Answer::Approve {} | Answer::Edit { .. } | Answer::Reject { .. } | Answer::Respond { .. } => {
                panic!("an answer decides about no approval")
            }
        }
    }
    let Ok(raw) = std::str::from_utf8(&data[..end]) else { return };
    let Ok(query) = Query::parse(Some(raw)) else { return };
    assert!(raw.len() <= MAX_QUERY_BYTES);
    for posted in [None, Some(body)] {
        if let Ok(request) = GoRequest::read(&query, posted) {
            assert!(!request.query.is_empty() && request.query.len() <= MAX_ASKED_BYTES);
            assert!(is_clean(&request.query));
            within_bounds(&request.history);
            assert!(request.run.is_none() || request.history.is_empty());
        }
    }
    let _ = Query::parse_strict(Some(raw), &["after", "deltas", "limit", "cursor"]).map(|query| {
        let limit = query.number("limit", 1..=10);
        assert!(
            limit.is_err() || limit.is_ok_and(|limit| limit.is_none_or(|limit| (1..=10).contains(&limit)))
        );
        query.flag("deltas", true)
    });
});

fn is_clean(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

fn within_bounds(history: &[Message]) {
    assert!(history.len() <= MAX_HISTORY);
    for message in history {
        let content = message.content();
        assert!(content.len() <= MAX_MESSAGE_BYTES && is_clean(&content));
    }
}

/// The body of a request that starts the same run.
fn written(start: &StartRun) -> Value {
    let messages = start.history.iter().map(|message| {
        let (role, agent) = match &message.from {
            Author::User => ("user", None),
            Author::System => ("system", None),
            Author::Agent(agent) => ("assistant", agent.as_ref()),
            Author::Group(_) => unreachable!("no request has such a message"),
        };
        json!({"role": role, "agent": agent, "content": message.content()})
    });
    let mut limits = Map::new();
    for (name, value) in [
        ("max_handoffs", start.limits.max_handoffs),
        ("max_rounds", start.limits.max_rounds),
        ("timeout_seconds", start.limits.timeout_seconds),
    ] {
        limits.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    json!({
        "input": start.input,
        "history": messages.collect::<Vec<_>>(),
        "start_at": start.start_at,
        "thread": start.thread,
        "vars": start.vars,
        "metadata": start.metadata,
        "limits": limits,
        "on_disconnect": match start.on_disconnect {
            OnDisconnect::Continue => "continue",
            OnDisconnect::Cancel => "cancel",
        },
    })
}
