//! Ctrl-C and SIGTERM.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{Crew, Going};

/// A crew whose only tool runs a shell script, which says that it runs by writing to the pipe `started`.
fn sleeper(script: &str) -> Crew {
    let crew = format!(
        "\
name: desk
agents:
  - {{id: worker, name: Worker, model: any, system_prompt: Work., tools: [Sleep], is_terminal: true}}
tools:
  Sleep:
    description: Sleeps.
    command: {{argv: [sh, -c, \"echo > started; {script}\"]}}
    timeout_seconds: 300
"
    );
    let crew = Crew::new(&crew, "rules: [{agent: worker, reply: \"I sleep.\", tools: [{name: Sleep}]}]");
    let made = Command::new("mkfifo").arg(crew.dir.path().join("desk/started")).status().unwrap();
    assert!(made.success());
    crew
}

/// Starts a run of a sleeper and waits until its tool runs.
fn asleep(crew: &Crew) -> Going {
    let going = Going::start(&mut crew.boathouse(&["run", "desk", "x", "--model", "scripted", "--json"]));
    // Opening a pipe waits for whoever writes to it.
    fs::read(crew.dir.path().join("desk/started")).unwrap();
    going
}

#[test]
fn ctrl_c_cancels_the_run_and_shows_the_receipt() {
    let crew = sleeper("exec sleep 300");
    let going = asleep(&crew);
    going.signal(Signal::INT);
    let end = going.end();
    let lines = end.json_lines();
    let outcome = lines.last().unwrap();
    assert_eq!(end.code, 130, "{}", end.stderr);
    assert_eq!(outcome["state"], "cancelled");
    assert_eq!(outcome["receipt"][0]["tool"], "Sleep");
    assert_eq!(outcome["receipt"][0]["end"], "terminated");
    assert_eq!(end.stderr, "cancelling; once more to quit at once\n");
}

#[test]
fn the_receipt_is_written_for_people_too() {
    let crew = Crew::new(
        "name: desk\nagents: [{id: worker, name: Worker, model: any, is_terminal: true}]\n",
        "rules: [{agent: worker, delay_ms: 300000, reply: late}]",
    );
    let mut going = Going::start(&mut crew.boathouse(&["run", "desk", "x", "--model", "scripted"]));
    going.line_with("● Worker");
    going.signal(Signal::INT);
    let end = going.end();
    assert_eq!(end.code, 130, "{}", end.stderr);
    assert!(end.stdout.contains("■ cancelled in "), "{}", end.stdout);
    assert!(end.stdout.ends_with("  model call of Worker: dropped\n"), "{}", end.stdout);
}

#[test]
fn sigterm_cancels_as_well_and_says_so_in_the_exit_code() {
    let crew = sleeper("exec sleep 300");
    let going = asleep(&crew);
    going.signal(Signal::TERM);
    let end = going.end();
    assert_eq!(end.code, 143, "{}", end.stderr);
    assert_eq!(end.json_lines().last().unwrap()["state"], "cancelled");
}

#[test]
fn a_second_ctrl_c_quits_at_once() {
    // It does not listen to SIGTERM, so that cancelling takes as long as it may.
    let crew = sleeper("trap '' TERM; sleep 20");
    let mut going = asleep(&crew);
    going.signal(Signal::INT);
    going.error_with("once more to quit at once");
    going.signal(Signal::INT);
    let end = going.end();
    assert_eq!(end.code, 130);
    assert!(!end.stdout.contains("\"type\":\"outcome\""), "{}", end.stdout);
}

#[test]
fn ctrl_c_while_a_question_is_open_cancels_too() {
    let crew = Crew::new(
        "name: desk\nagents: [{id: a, model: any}]\nrouting: {agent_behaviors: {a: {wait_for_signal: true}}}\n",
        "rules: [{reply: \"What now?\"}]",
    );
    let mut command = crew.boathouse(&["run", "desk", "x", "--model", "scripted", "--json"]);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut going = Going::start_with(&mut command, reader.into());
    going.line_with("wait_opened");
    going.signal(Signal::INT);
    let end = going.end();
    drop(writer);
    assert_eq!(end.code, 130, "{}", end.stderr);
    assert_eq!(end.json_lines().last().unwrap()["state"], "cancelled");
}
