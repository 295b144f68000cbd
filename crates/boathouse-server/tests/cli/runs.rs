//! `boathouse runs` and `boathouse replay`: at a server, on a file, and from an exported log.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Crew, Done, Going, done};

const DESK: &str = r#"
name: desk
agents:
  - {id: front, name: Front, provider: scripted, tools: [Look]}
tools:
  Look:
    description: Looks.
    command: {argv: [echo, "looked"]}
    effect: read
routing:
  agent_behaviors: {front: {wait_for_signal: true}}
  signals:
    front: [{signal: "[DONE]", target: null}]
"#;
const SCRIPT: &str = r#"
rules:
  - {agent: front, call: 1, reply: "Let me see.", tools: [{name: Look}]}
  - {agent: front, call: 2, reply: "Which one?"}
  - {when: red, reply: "The red one it is. [DONE]"}
  - {when: blue, reply: "The blue one it is. [DONE]"}
  - {reply: "Sorry, which?"}
"#;

/// A crew, and a file with one run of it that waits.
fn paused() -> (Crew, String) {
    let crew = Crew::new(DESK, SCRIPT);
    let run = done(&mut crew.boathouse(&["run", "desk", "hello", "--journal", "runs.db"]), "");
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("boathouse runs answer"), "{}", run.stderr);
    let list = runs(&crew, &["list", "--json"]);
    let id = list.json_lines()[0]["id"].as_str().unwrap().to_owned();
    (crew, id)
}

/// A `runs` command on the file.
fn runs(crew: &Crew, args: &[&str]) -> Done {
    let args = [&["runs"], args, &["--journal", "runs.db"]].concat();
    done(&mut crew.boathouse(&args), "")
}

fn json(done: &Done) -> Value {
    assert_eq!(done.stdout.lines().count(), 1, "{}{}", done.stdout, done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

#[test]
fn a_paused_run_in_a_file_is_listed_shown_and_answered() {
    let (crew, id) = paused();
    let list = runs(&crew, &["list"]);
    let lines: Vec<Vec<&str>> = list.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["RUN", "STATE", "CREW", "EVENTS", "BEGAN", "LAST", "EVENT"]);
    assert_eq!(lines[1][..4], [&*id, "paused", "desk", "9"]);
    assert_eq!(runs(&crew, &["list", "--state", "completed"]).stdout, "no runs\n");

    let shown = runs(&crew, &["show", &id]);
    for part in ["› hello", "● Front (front)", "✓ Look", "Which one?", "Front waits for an answer"] {
        assert!(shown.stdout.contains(part), "no {part:?} in {}", shown.stdout);
    }
    assert_eq!(json(&runs(&crew, &["show", &id, "--json"]))["waits"][0]["question"], "Which one?");

    let answered = runs(&crew, &["answer", &id, "I do not know"]);
    assert_eq!((answered.code, &*answered.stdout), (3, ""), "{}", answered.stderr);
    assert!(answered.stderr.contains("Sorry, which?"), "{}", answered.stderr);
    let answered = runs(&crew, &["answer", &id, "the blue one"]);
    assert_eq!((answered.code, &*answered.stdout), (0, "The blue one it is.\n"), "{}", answered.stderr);
    let again = runs(&crew, &["answer", &id, "the red one"]);
    assert_eq!((again.code, again.stderr.trim()), (1, "error: the run has ended"));

    let events = runs(&crew, &["show", &id, "--events"]);
    let kinds: Vec<String> = events.json_lines().iter().map(|event| event["type"].to_string()).collect();
    assert_eq!((&*kinds[0], &*kinds[kinds.len() - 1]), ("\"run_started\"", "\"run_ended\""));
}

#[test]
fn a_run_is_forked_cancelled_tried_again_and_forgotten() {
    let (crew, id) = paused();
    let fork = runs(&crew, &["fork", &id, "--answer", "red", "--json"]);
    let fork = json(&fork);
    assert_eq!((&fork["state"], &fork["output"]), (&"completed".into(), &"The red one it is.".into()));
    assert_eq!(fork["forked_from"]["run"], *id);
    let refused = runs(&crew, &["fork", &id, "--at", "2"]);
    assert!(refused.stderr.contains("the nearest where one can are 1 and 3"), "{}", refused.stderr);
    assert_eq!(refused.code, 1);

    let refused = runs(&crew, &["delete", &id]);
    assert!(refused.code == 1 && refused.stderr.contains("cancel it first"), "{}", refused.stderr);
    let cancelled = runs(&crew, &["cancel", &id, "--wait"]);
    assert_eq!((cancelled.code, &*cancelled.stdout), (0, "■ cancelled\n  nothing was in flight\n"));
    let retried = runs(&crew, &["retry", &id]);
    assert!(retried.code == 3 && retried.stderr.contains("Which one?"), "{}", retried.stderr);
    let deleted = runs(&crew, &["delete", &id, "none"]);
    assert!(deleted.code == 1 && deleted.stderr.contains("no run none"), "{}", deleted.stderr);
    assert_eq!(runs(&crew, &["list", "--json"]).json_lines().len(), 2, "the fork and the retry are left");
}

#[test]
fn commands_work_in_the_crews_folder_wherever_the_file_is_opened_from() {
    let desk = DESK.replace("argv: [echo, \"looked\"]}", "argv: [./look.sh]}\n    approval: always");
    let crew = Crew::new(&desk, SCRIPT);
    let program = |path: &str, says: &str| {
        let path = crew.dir.path().join(path);
        fs::write(&path, format!("#!/bin/sh\necho {says} in $PWD\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    program("desk/look.sh", "looked");
    program("look.sh", "TRAPPED");
    assert_eq!(done(&mut crew.boathouse(&["run", "desk", "hello", "--journal", "runs.db"]), "").code, 3);
    let id = runs(&crew, &["list", "--json"]).json_lines()[0]["id"].as_str().unwrap().to_owned();
    let answered = runs(&crew, &["answer", &id, "--approve"]);
    assert_eq!(answered.code, 3, "{}", answered.stderr);
    let shown = runs(&crew, &["show", &id, "--events"]).stdout;
    let place = crew.dir.path().join("desk");
    assert!(
        shown.contains(&format!("looked in {}", place.display())) && !shown.contains("TRAPPED"),
        "{shown}"
    );
}

#[test]
fn a_cancel_on_a_file_begins_nothing() {
    let crew = Crew::new(&DESK.replace(r#"[echo, "looked"]"#, "[sleep, \"5\"]"), SCRIPT);
    let run = ["run", "desk", "hello", "--journal", "runs.db", "--json"];
    let mut run = Going::start(&mut crew.boathouse(&run));
    // Of the model, and of the tool.
    run.line_with("call_started");
    run.line_with("call_started");
    run.signal(Signal::KILL);
    run.end();
    let id = runs(&crew, &["list", "--json"]).json_lines()[0]["id"].as_str().unwrap().to_owned();
    let cancelled = runs(&crew, &["cancel", &id, "--wait"]);
    assert_eq!(cancelled.code, 0, "{}", cancelled.stderr);
    let events = runs(&crew, &["show", &id, "--events"]);
    let kinds: Vec<String> = events.json_lines().iter().map(|event| event["type"].to_string()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "\"call_started\"").count(), 2, "{kinds:?}");
}

#[test]
fn an_exported_run_is_replayed_anywhere_and_differs_where_the_crew_does() {
    let (crew, id) = paused();
    runs(&crew, &["answer", &id, "blue"]);
    let export = runs(&crew, &["export", &id, "--output", "run.jsonl"]);
    assert_eq!(export.code, 0, "{}", export.stderr);
    let markdown = runs(&crew, &["export", &id, "--format", "markdown"]).stdout;
    for part in
        ["## User\n\nhello\n", "## front\n\nLet me see.\n", "`Look` {}", "```text\nlooked\n```", "Completed."]
    {
        assert!(markdown.contains(part), "no {part:?} in {markdown}");
    }
    let whole: Value =
        serde_json::from_str(&runs(&crew, &["export", &id, "--format", "json"]).stdout).unwrap();
    assert_eq!(whole["events"].as_array().unwrap().len(), 13);

    let replay = |args: &[&str]| done(&mut crew.boathouse(&[&["replay"], args].concat()), "");
    let same = replay(&["run.jsonl"]);
    assert_eq!(same.code, 0, "{}", same.stderr);
    assert_eq!(same.stdout, "✓ nothing differs in 13 events, 3 prompts, 1 tool call\n");
    assert_eq!(replay(&[&id, "--journal", "runs.db", "--crew", "desk"]).code, 0, "the crew is the same");

    // A prompt that says more.
    let changed = DESK.replace("name: Front,", "name: Front, backstory: Knows every drawer.,");
    fs::write(crew.dir.path().join("desk/crew.yaml"), changed).unwrap();
    let prompt = replay(&["run.jsonl", "--crew", "desk"]);
    assert_eq!(prompt.code, 1, "{}", prompt.stderr);
    assert!(prompt.stdout.starts_with("✗ event 2 differs"), "{}", prompt.stdout);
    assert!(prompt.stdout.contains("+ Backstory: Knows every drawer."), "{}", prompt.stdout);
    // Another decision: the tool may be called only once.
    let changed = DESK.replace("effect: read", "effect: once");
    fs::write(crew.dir.path().join("desk/crew.yaml"), changed).unwrap();
    let decision = replay(&["run.jsonl", "--crew", "desk"]);
    let text = &decision.stdout;
    assert_eq!(decision.code, 1, "{}", decision.stderr);
    let (recorded, now) = (text.find("\"effect\": \"read\""), text.find("\"effect\": \"once\""));
    assert!(recorded.is_some() && recorded < now, "{text}");

    fs::write(crew.dir.path().join("not.jsonl"), "{}\n").unwrap();
    let refused = replay(&["not.jsonl"]);
    assert!(refused.code == 1 && refused.stderr.contains("boathouse runs export"), "{}", refused.stderr);
}

#[test]
fn a_server_is_asked_unless_a_file_is_named() {
    let (crew, id) = paused();
    let mut serve =
        Going::start(&mut crew.boathouse(&["serve", "desk", "--port", "0", "--journal", "runs.db"]));
    let line = serve.line_with("http://");
    let url = line.split_whitespace().last().unwrap();
    let at = |args: &[&str]| {
        let args = [&["runs"], args, &["--server", url]].concat();
        done(&mut crew.boathouse(&args), "")
    };
    assert_eq!(at(&["list", "--state", "paused", "--json"]).json_lines()[0]["id"], *id);
    assert!(at(&["show", &id]).stdout.contains("Front waits for an answer"));
    let fork = at(&["fork", &id, "--answer", "red", "--use", "front=scripted/other", "--wait"]);
    assert_eq!((fork.code, &*fork.stdout), (0, "The red one it is.\n"), "{}", fork.stderr);
    let answered = at(&["answer", &id, "what?", "--wait"]);
    assert!(answered.code == 3 && answered.stderr.contains("Sorry, which?"), "{}", answered.stderr);
    let answered = at(&["answer", &id, "the blue one"]);
    assert_eq!((answered.code, answered.stdout.trim()), (0, &*id), "{}", answered.stderr);
    let cancelled = at(&["cancel", &id, "--wait"]);
    assert_eq!(cancelled.code, 0, "{}", cancelled.stderr);
    let exported = at(&["export", &id]).stdout;
    fs::write(crew.dir.path().join("run.jsonl"), exported).unwrap();
    assert_eq!(done(&mut crew.boathouse(&["replay", "run.jsonl"]), "").code, 0);
    let replay = done(&mut crew.boathouse(&["replay", &id, "--server", url]), "");
    assert_eq!(replay.code, 0, "{}", replay.stderr);
    let deleted = at(&["delete", &id]);
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    let gone = at(&["show", &id]);
    assert!(gone.code == 1 && gone.stderr.contains(&format!("no run {id}")), "{}", gone.stderr);

    let held = runs(&crew, &["list"]);
    assert!(held.code == 1 && held.stderr.contains("another process serves"), "{}", held.stderr);
    assert!(held.stderr.contains("--server URL"), "{}", held.stderr);
    serve.signal(Signal::TERM);
    assert_eq!(serve.end().code, 0);

    let nobody = at(&["list"]);
    assert!(
        nobody.code == 1 && nobody.stderr.contains("no server at http://127.0.0.1:"),
        "{}",
        nobody.stderr
    );
    assert!(nobody.stderr.contains("boathouse serve DIR"), "{}", nobody.stderr);
    let refused = done(&mut crew.boathouse(&["runs", "list", "--journal", "none.db"]), "");
    assert!(
        refused.code == 1 && refused.stderr.contains("there is no journal none.db"),
        "{}",
        refused.stderr
    );
    assert!(!crew.dir.path().join("none.db").exists(), "a file that is only read is not made");
    let refused = runs(&crew, &["show", "not an id"]);
    assert!(refused.code == 2 && refused.stderr.contains("runs list"), "{}", refused.stderr);
}
