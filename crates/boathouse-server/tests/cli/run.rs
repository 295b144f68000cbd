//! `boathouse run`: what people see, answers, formats and exit codes.

use crate::support::{Crew, boathouse, done, without_numbers};

/// One agent that asks once and then repeats the answer.
const ECHO: &str = "\
name: desk
agents:
  - id: echo
    name: Echo
    model: any
    system_prompt: Ask, then end with [DONE].
routing:
  signals:
    echo:
      - {signal: \"[DONE]\", target: null}
  agent_behaviors:
    echo: {wait_for_signal: true}
";
const ECHO_SCRIPT: &str = "\
rules:
  - {agent: echo, call: 1, reply: \"What now?\"}
  - {agent: echo, when: \"again\", reply: \"And now?\"}
  - {agent: echo, reply: \"You said: {{last}}\\n\\n[DONE]\"}
";

#[test]
fn a_request_that_names_its_machine_goes_straight_to_the_diagnosis() {
    let run = done(
        &mut boathouse(&["run", "examples/it-support", "Check this machine", "--model", "scripted"]),
        "",
    );
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(without_numbers(&run.stdout));
}

#[test]
fn a_vague_request_is_asked_about_and_the_answer_leads_on() {
    let args = ["run", "examples/it-support", "My computer is very slow", "--model", "scripted"];
    let run = done(&mut boathouse(&args), "\nThe one in front of me, everything, since Monday\n");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(without_numbers(&run.stdout));
}

#[test]
fn an_answer_that_says_nothing_is_asked_for_once_more() {
    let args = ["run", "examples/it-support", "Help me check the system", "--model", "scripted", "--json"];
    let run = done(&mut boathouse(&args), "I don't know\nno idea\n");
    let lines = run.json_lines();
    let asked = lines.iter().filter(|line| line["type"] == "wait_opened").count();
    assert_eq!((run.code, asked), (0, 2), "{}", run.stderr);
}

#[test]
fn answers_in_vietnamese_lead_on_as_well() {
    let args = ["run", "examples/it-support-vi", "Máy tính của tôi chậm lắm", "--model", "scripted", "-q"];
    let run = done(&mut boathouse(&args), "Máy trước mặt tôi, mọi thứ, từ thứ hai\n");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("🔍 Chẩn đoán"), "{}", run.stdout);
    assert!(run.stdout.contains("✅ Khuyến nghị cuối cùng:"), "{}", run.stdout);
    assert!(
        !run.stdout.contains("[HOÀN TẤT]"),
        "the closing signal is not part of the output: {}",
        run.stdout
    );
}

#[test]
fn without_an_answer_the_run_stays_paused() {
    let crew = Crew::new(ECHO, ECHO_SCRIPT);
    let run = done(&mut crew.boathouse(&["run", "desk", "hello", "--model", "scripted"]), "");
    assert_eq!(run.code, 3);
    assert_eq!(run.stdout, "\n● Echo (echo)\nWhat now?\n");
    insta::assert_snapshot!(run.stderr);
}

#[test]
fn a_paused_run_is_kept_where_the_journal_says() {
    let crew = Crew::new(ECHO, ECHO_SCRIPT);
    let args = ["run", "desk", "hello", "--model", "scripted", "--journal", "runs.db"];
    let run = done(&mut crew.boathouse(&args), "");
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("--journal runs.db"), "{}", run.stderr);
    assert!(crew.dir.path().join("runs.db").exists());
}

#[test]
fn the_output_alone_can_be_had() {
    let crew = Crew::new(ECHO, ECHO_SCRIPT);
    let run = done(
        &mut crew.boathouse(&["run", "desk", "hello", "--model", "scripted", "--quiet"]),
        "again\nblue\n",
    );
    assert_eq!((run.code, run.stdout.as_str()), (0, "You said: blue\n"));
    // The questions are not the output.
    assert_eq!(run.stderr, "Echo: What now?\nEcho: And now?\n");
}

#[test]
fn the_input_may_come_from_stdin() {
    let crew = Crew::new(ECHO, "rules: [{agent: echo, reply: \"{{input}} [DONE]\"}]");
    for args in [&["run", "desk", "-q"][..], &["run", "desk", "-", "-q"][..]] {
        let run = done(crew.boathouse(args).env("BOATHOUSE_MODEL", "scripted"), "two\nlines");
        assert_eq!((run.code, run.stdout.as_str()), (0, "two\nlines\n"), "{}", run.stderr);
    }
}

#[test]
fn every_json_line_is_an_event_and_the_last_is_the_outcome() {
    let crew = Crew::new(ECHO, ECHO_SCRIPT);
    let args = ["run", "desk", "hello", "--model", "scripted", "--json", "--thread", "friday"];
    let run = done(&mut crew.boathouse(&args), "blue\n");
    let lines = run.json_lines();
    let (outcome, events) = lines.split_last().unwrap();
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<u64>>());
    assert_eq!(events[0]["type"], "run_started");
    assert_eq!(events.last().unwrap()["type"], "run_ended");
    assert_eq!(
        (&outcome["type"], &outcome["state"], &outcome["output"], &outcome["thread"]),
        (&"outcome".into(), &"completed".into(), &"You said: blue".into(), &"friday".into())
    );
    assert_eq!(outcome["seq"], *seqs.last().unwrap());
}

#[test]
fn a_run_may_start_at_another_agent_and_bring_values() {
    let crew = "\
name: desk
entry_point: first
agents:
  - {id: first, model: any, system_prompt: \"I talk.\", is_terminal: true}
  - {id: second, model: any, system_prompt: \"I talk about {{topic}}.\", is_terminal: true}
vars: {topic: null}
";
    let crew = Crew::new(crew, "rules: [{agent: second, reply: second}, {reply: first}]");
    let args = [
        "run",
        "desk",
        "hello",
        "--model",
        "scripted",
        "--json",
        "--start-at",
        "second",
        "--var",
        "topic=a=b",
    ];
    let run = done(&mut crew.boathouse(&args), "");
    let lines = run.json_lines();
    assert_eq!(lines[0]["vars"]["topic"], "a=b");
    assert_eq!(lines.last().unwrap()["output"], "second", "{}", run.stderr);
}

#[test]
fn warnings_about_the_crew_take_one_line() {
    let crew = Crew::new(&format!("tasks: []\n{ECHO}"), ECHO_SCRIPT);
    let run = done(&mut crew.boathouse(&["run", "desk", "hello", "--model", "scripted"]), "blue\n");
    assert_eq!(run.code, 0);
    assert_eq!(run.stderr, "warning: desk: 1 warning; `boathouse check desk` shows them\n");
}

#[test]
fn a_failed_run_says_why_and_what_helps() {
    let crew = Crew::new(ECHO, "rules: [{when: never said, reply: x}]");
    let run = done(&mut crew.boathouse(&["run", "desk", "hello", "--model", "scripted"]), "");
    assert_eq!(run.code, 1);
    assert!(run.stderr.starts_with("error: the run failed: "), "{}", run.stderr);
    assert!(run.stdout.contains("✗ failed"), "{}", run.stdout);
}

#[test]
fn a_limit_has_an_exit_code_of_its_own() {
    let crew = "\
name: desk
agents:
  - {id: ping, model: any, system_prompt: \"[GO]\"}
  - {id: pong, model: any, system_prompt: \"[GO]\"}
settings: {max_handoffs: 2}
routing:
  signals:
    ping: [{signal: \"[GO]\", target: pong}]
    pong: [{signal: \"[GO]\", target: ping}]
";
    let crew = Crew::new(crew, "rules: [{reply: \"over to you [GO]\"}]");
    let run = done(&mut crew.boathouse(&["run", "desk", "hello", "--model", "scripted"]), "");
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.stdout.contains("■ limit reached: max_handoffs"), "{}", run.stdout);
}

#[test]
fn colours_appear_only_where_they_are_wanted() {
    let crew = Crew::new(ECHO, ECHO_SCRIPT);
    let run = |name: &str, value: &str| {
        let mut command = crew.boathouse(&["run", "desk", "hello", "--model", "scripted"]);
        done(command.env(name, value), "blue\n").stdout
    };
    assert!(run("CLICOLOR_FORCE", "1").contains("\u{1b}["));
    assert!(!run("CLICOLOR", "1").contains('\u{1b}'), "not a terminal");
    assert!(!run("NO_COLOR", "1").contains('\u{1b}'));
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    let crew = Crew::new(ECHO, ECHO_SCRIPT);
    let mut command = crew.boathouse(&["run", "desk", "hello", "--model", "scripted"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdin(std::process::Stdio::null()).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(1), &b""[..]));
}
