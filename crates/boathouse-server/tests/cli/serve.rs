//! `boathouse serve`.

use rustix::process::Signal;

use crate::support::{Crew, Going, boathouse, done, http};

pub(crate) const SLOW: &str =
    "name: desk\nagents: [{id: a, name: Al, model: any, system_prompt: x, is_terminal: true}]\n";
pub(crate) const SLOW_SCRIPT: &str = "rules: [{delay_ms: 300000, reply: late}]";

/// The address in the line that a server prints.
pub(crate) fn address(line: &str) -> String {
    line.split_once("http://").unwrap().1.trim().to_owned()
}

pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    http(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

pub(crate) fn start_run(address: &str, crew: &str) -> (u16, String) {
    post(address, &format!("/v1/crews/{crew}/runs"), r#"{"input":"hello"}"#)
}

pub(crate) fn post(address: &str, path: &str, body: &str) -> (u16, String) {
    http(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

#[test]
fn several_crews_are_served_at_once_and_sigterm_stops_in_order() {
    let args = [
        "serve",
        "examples/it-support",
        "examples/it-support-vi",
        "--model",
        "scripted",
        "--journal",
        "memory",
        "--port",
        "0",
    ];
    let mut going = Going::start(&mut boathouse(&args));
    let line = going.line_with("Boathouse serves");
    let address = address(&line);
    assert_eq!(line, format!("Boathouse serves it-support, it-support-vi at http://{address}"));
    assert!(!address.ends_with(":0"));
    assert_eq!(get(&address, "/healthz").0, 200);
    let (status, crews) = get(&address, "/v1/crews");
    assert_eq!(status, 200);
    assert!(crews.contains("it-support") && crews.contains("it-support-vi"), "{crews}");
    going.signal(Signal::TERM);
    let end = going.end();
    assert_eq!((end.code, end.stdout.as_str()), (0, ""), "{}", end.stderr);
}

#[test]
fn a_run_that_a_crash_interrupted_goes_on_at_the_next_start() {
    let crew = Crew::new(SLOW, SLOW_SCRIPT);
    let args = ["serve", "desk", "--model", "scripted", "--port", "0"];
    let mut going = Going::start(&mut crew.boathouse(&args));
    let first = address(&going.line_with("Boathouse serves"));
    let (status, _) = start_run(&first, "desk");
    assert_eq!(status, 202);
    going.signal(Signal::KILL);
    going.end();
    assert!(crew.dir.path().join("boathouse.db").exists(), "the journal is here unless another one is named");

    let mut going = Going::start(&mut crew.boathouse(&args));
    let address = address(&going.line_with("Boathouse serves"));
    going.error_with("one interrupted run goes on");
    let (_, runs) = get(&address, "/v1/runs");
    assert!(runs.contains("\"running\""), "{runs}");
}

#[test]
fn a_run_that_the_terminal_left_paused_is_answered_through_a_server() {
    let crew = "\
name: desk
agents: [{id: a, name: Al, model: any, system_prompt: \"End with [DONE].\"}]
routing:
  signals: {a: [{signal: \"[DONE]\", target: null}]}
  agent_behaviors: {a: {wait_for_signal: true}}
";
    let crew =
        Crew::new(crew, "rules: [{call: 1, reply: \"What now?\"}, {reply: \"You said: {{last}} [DONE]\"}]");
    let args = ["run", "desk", "hello", "--model", "scripted", "--journal", "runs.db", "--json"];
    let run = done(&mut crew.boathouse(&args), "");
    assert_eq!(run.code, 3, "{}", run.stderr);
    let id = run.json_lines().last().unwrap()["id"].as_str().unwrap().to_owned();

    let args = ["serve", "desk", "--model", "scripted", "--port", "0", "--journal", "runs.db"];
    let mut going = Going::start(&mut crew.boathouse(&args));
    let address = address(&going.line_with("Boathouse serves"));
    let (status, body) = post(&address, &format!("/v1/runs/{id}/answer"), r#"{"text":"blue"}"#);
    assert!((200..300).contains(&status), "{status} {body}");
    // The stream ends with the run.
    let (_, events) = get(&address, &format!("/v1/runs/{id}/events"));
    assert!(events.contains("run_ended"), "{events}");
    let (_, view) = get(&address, &format!("/v1/runs/{id}"));
    assert!(view.contains("\"state\":\"completed\"") && view.contains("You said: blue"), "{view}");
}

#[test]
fn a_second_signal_quits_at_once() {
    let crew = Crew::new(SLOW, SLOW_SCRIPT);
    let mut going =
        Going::start(&mut crew.boathouse(&["serve", "desk", "--model", "scripted", "--port", "0"]));
    let address = address(&going.line_with("Boathouse serves"));
    assert_eq!(start_run(&address, "desk").0, 202);
    // The run in flight keeps the stop waiting.
    going.signal(Signal::INT);
    going.error_with("once more to quit at once");
    going.signal(Signal::INT);
    assert_eq!(going.end().code, 130);
}

#[test]
fn two_crews_of_one_name_refuse_to_start() {
    let crew = Crew::new(SLOW, SLOW_SCRIPT);
    let said = done(&mut crew.boathouse(&["serve", "desk", "desk", "--port", "0"]), "");
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    insta::assert_snapshot!(said.stderr);
}

#[test]
fn a_port_that_is_taken_is_explained() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let crew = Crew::new(SLOW, SLOW_SCRIPT);
    let said = done(&mut crew.boathouse(&["serve", "desk", "--model", "scripted", "--port", &port]), "");
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains("--port 0"), "{}", said.stderr);
    assert!(!crew.dir.path().join("boathouse.db").exists(), "nothing was begun");
}

#[test]
fn one_journal_has_one_server() {
    let crew = Crew::new(SLOW, SLOW_SCRIPT);
    let args = ["serve", "desk", "--model", "scripted", "--port", "0"];
    let mut going = Going::start(&mut crew.boathouse(&args));
    going.line_with("Boathouse serves");
    let said = done(&mut crew.boathouse(&args), "");
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains("boathouse.db") && said.stderr.contains("hint: "), "{}", said.stderr);
}
