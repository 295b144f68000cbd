//! `boathouse run` and calls that need an approval: asked about at a terminal, left alone elsewhere. `boathouse serve`
//! and webhooks.

use std::process::Command;

use crate::support::{Crew, Done, Going, boathouse, done};

const PAY: &str = "\
name: desk
agents:
  - id: clerk
    name: Clerk
    model: any
    tools: [Pay]
    is_terminal: true
tools:
  Pay:
    description: Pays.
    command: {argv: [echo, \"paid {amount} euros\"]}
    parameters:
      type: object
      properties: {amount: {type: integer, minimum: 1}}
      required: [amount]
    approval: args.amount > 2
";
const PAY_SCRIPT: &str = "\
rules:
  - {agent: clerk, call: 1, reply: \"\", tools: [{name: Pay, arguments: {amount: 5}}]}
  - {agent: clerk, reply: \"So: {{result.Pay}}\"}
";

/// Runs the crew at a terminal, on which a person types; what the terminal shows and the exit code.
fn at_a_terminal(typed: &str) -> Done {
    let crew = Crew::new(PAY, PAY_SCRIPT);
    let run = crew.boathouse(&["run", "desk", "hello", "--model", "scripted"]);
    let line: Vec<String> = std::iter::once(run.get_program())
        .chain(run.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]).current_dir(crew.dir.path());
    script.env("NO_COLOR", "1").env("TERM", "dumb").env("USER", "ann").env_remove("BOATHOUSE_JOURNAL");
    done(&mut script, typed)
}

#[test]
fn a_person_at_the_terminal_decides() {
    for (typed, shown) in [
        ("y\n", "So: paid 5 euros"),
        ("what?\nyes\n", "So: paid 5 euros"),
        ("e\n{\"amount\": 3}\n", "paid 3 euros"),
        ("e\n[3]\ne\n{\"amount\": 3}\n", "paid 3 euros"),
        ("e\n{\"amount\": 0}\ny\n", "So: paid 5 euros"),
        ("n\nnot today\n", "So: not run: a person rejected the call: not today"),
        ("r\npaid by hand\n", "So: paid by hand"),
    ] {
        let run = at_a_terminal(typed);
        assert_eq!(run.code, 0, "{typed:?}: {}", run.stdout);
        assert!(run.stdout.contains(shown), "{typed:?}: {}", run.stdout);
        assert!(run.stdout.contains("\"amount\": 5"), "the real arguments are shown: {}", run.stdout);
        assert!(run.stdout.contains("by ann"), "{}", run.stdout);
    }
}

#[test]
fn where_nobody_sits_nothing_is_approved() {
    let crew = Crew::new(PAY, PAY_SCRIPT);
    let run = done(&mut crew.boathouse(&["run", "desk", "hello", "--model", "scripted"]), "y\ny\n");
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(!run.stdout.contains("paid"), "{}", run.stdout);
    insta::assert_snapshot!(run.stderr);
}

#[test]
fn a_call_that_the_expression_lets_pass_is_made_at_once() {
    let crew = Crew::new(PAY, &PAY_SCRIPT.replace("amount: 5", "amount: 2"));
    let run = done(&mut crew.boathouse(&["run", "desk", "hello", "--model", "scripted", "-q"]), "");
    assert_eq!((run.code, run.stdout.as_str()), (0, "So: paid 2 euros\n"), "{}", run.stderr);
}

#[test]
fn webhooks_need_an_address_and_a_secret() {
    let serve = |url: &str, secret: Option<&str>| {
        let mut command = boathouse(&[
            "serve",
            "examples/it-support",
            "--journal",
            "memory",
            "--port",
            "0",
            "--webhook",
            url,
        ]);
        if let Some(secret) = secret {
            command.env("BOATHOUSE_WEBHOOK_SECRET", secret);
        }
        let run = done(&mut command, "");
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
        assert!(!run.stderr.contains("hunter2"), "no secret is shown: {}", run.stderr);
        run.stderr
    };
    let told = serve("https://example.com/hook", None);
    assert!(told.contains("BOATHOUSE_WEBHOOK_SECRET") && told.contains("openssl rand"), "{told}");
    let told = serve("https://example.com/hook", Some("hunter2"));
    assert!(told.contains("whsec_"), "{told}");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let told = serve("ftp://example.com/", Some(secret));
    assert!(told.contains("must begin with `http://` or `https://`"), "{told}");
    let told = serve("https://ann:hunter2@example.com/", Some(secret));
    assert!(told.contains("user name or a password"), "{told}");
    for url in ["http://127.0.0.1:9/", "http://[::1]/hook", "https://LocalHost/", "http://10.1.2.3"] {
        let told = serve(url, Some(secret));
        assert!(told.contains(url) && told.contains("--webhook-allow-private"), "{told}");
    }
}

/// Two calls that wait for a person, then one that was cut off.
const DESK: &str = "\
name: desk
agents:
  - {id: clerk, provider: scripted, tools: [Pay, Send], is_terminal: true}
tools:
  Pay:
    description: Pays.
    command: {argv: [echo, \"paid {amount} euros\"]}
    parameters:
      type: object
      properties: {amount: {type: integer, minimum: 1}}
      required: [amount]
    approval: always
  Send:
    description: Sends, and takes too long for it.
    command: {argv: [sleep, \"60\"]}
    timeout_seconds: 0.05
";
const DESK_SCRIPT: &str = "\
rules:
  - {agent: clerk, call: 1, reply: \"\", tools: [{name: Pay, arguments: {amount: 5}}, {name: Pay, arguments: {amount: 7}}]}
  - {agent: clerk, call: 2, reply: \"{{result.Pay}}\", tools: [{name: Send}]}
  - {agent: clerk, reply: \"Sent: {{result.Send}}\"}
";

/// A `runs` command of ann, on the file or at the server.
fn runs(crew: &Crew, place: [&str; 2], args: &[&str]) -> Done {
    let args = [&["runs"], args, &place].concat();
    done(crew.boathouse(&args).env("USER", "ann"), "")
}

/// A file with one run of the crew that waits for its two approvals.
fn two_wait() -> (Crew, String) {
    let crew = Crew::new(DESK, DESK_SCRIPT);
    let args = ["run", "desk", "hello", "--model", "scripted", "--journal", "runs.db"];
    let run = done(&mut crew.boathouse(&args), "");
    assert_eq!(run.code, 3, "{}", run.stderr);
    let list = runs(&crew, ["--journal", "runs.db"], &["list", "--json"]);
    let id = list.json_lines()[0]["id"].as_str().unwrap().to_owned();
    (crew, id)
}

/// What every `runs answer` about calls does, wherever the run is.
fn decides(crew: &Crew, id: &str, place: [&str; 2]) {
    let answer = |args: &[&str]| runs(crew, place, &[&["answer", id], args].concat());
    let refused = |args: &[&str], code: i32, why: &str| {
        let told = answer(args);
        assert_eq!((told.code, told.stdout.as_str()), (code, ""), "{args:?}: {}", told.stderr);
        assert!(told.stderr.contains(why), "{args:?}: no {why:?} in {}", told.stderr);
    };
    let seq = |crew: &Crew| runs(crew, place, &["show", id, "--json"]).json_lines()[0]["seq"].clone();
    let before = seq(crew);
    refused(&["--approve"], 2, "waits for several approvals");
    refused(&["--approve", "--to", "9"], 1, "no approval 9");
    refused(&["yes"], 1, "2 waits are open");
    refused(&["yes", "--to", "1"], 1, "approve, edit, reject or respond");
    refused(&["--done", "x", "--to", "1"], 1, "approve, edit, reject or respond");
    refused(&["--edit", "[1]", "--to", "1"], 2, "one JSON object");
    refused(&["--edit", "{\"amount\": 0}", "--to", "1"], 1, "/amount");
    refused(&["--approve", "--reject", "no", "--to", "1"], 2, "cannot be used with");
    assert_eq!(seq(crew), before, "nothing was decided");

    let edited = answer(&["--edit", "{\"amount\": 3}", "--to", "1", "--wait"]);
    assert_eq!(edited.code, 3, "the other one still waits: {}", edited.stderr);
    refused(&["--approve", "--to", "1"], 1, "approval 1 has been decided, and not like this");
    assert_eq!(answer(&["--edit", "{\"amount\": 3}", "--to", "1", "--wait"]).code, 3, "the same again");
    let rejected = answer(&["--reject", "too much", "--wait"]);
    assert_eq!(rejected.code, 3, "one approval was left, and now a call was cut off: {}", rejected.stderr);
    refused(&["--approve"], 1, "rerun, done with its output, or fail");
    let again = answer(&["--rerun", "--wait"]);
    assert_eq!(again.code, 3, "it was cut off again: {}", again.stderr);
    let last = answer(&["--done", "by hand", "--wait"]);
    assert_eq!((last.code, last.stdout.as_str()), (0, "Sent: by hand\n"), "{}", last.stderr);
    refused(&["--respond", "x"], 1, "waits for no approval");
    refused(&["--fail", "--to", "4"], 1, "approval 4 has been decided, and not like this");
    assert_eq!(answer(&["--done", "by hand", "--to", "4"]).code, 0, "the same again, also after the end");

    let events = runs(crew, place, &["show", id, "--events"]).json_lines();
    let answers: Vec<_> = events.iter().filter(|event| event["type"] == "answered").collect();
    let kinds: Vec<_> = answers.iter().map(|event| event["answer"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["edit", "reject", "rerun", "done"]);
    assert!(answers.iter().all(|event| event["by"] == "ann"), "who decided is kept: {answers:?}");
    let results: Vec<_> = events.iter().filter(|event| event["type"] == "tool_returned").collect();
    let outputs: String = results.iter().map(|event| event["result"]["output"].to_string()).collect();
    assert!(outputs.contains("paid 3 euros") && outputs.contains("rejected the call: too much"), "{outputs}");
    assert!(!outputs.contains("paid 5") && !outputs.contains("paid 7"), "{outputs}");
}

#[test]
fn calls_of_a_run_in_a_file_are_decided_about() {
    let (crew, id) = two_wait();
    decides(&crew, &id, ["--journal", "runs.db"]);
}

#[test]
fn calls_of_a_run_at_a_server_are_decided_about() {
    let (crew, id) = two_wait();
    let serve = ["serve", "desk", "--port", "0", "--journal", "runs.db", "--model", "scripted"];
    let mut serve = Going::start(&mut crew.boathouse(&serve));
    let url = serve.line_with("http://").split_whitespace().last().unwrap().to_owned();
    decides(&crew, &id, ["--server", &url]);
}
