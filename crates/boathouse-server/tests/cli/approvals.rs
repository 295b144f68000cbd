//! `boathouse run` and calls that need an approval: asked about at a terminal, left alone elsewhere. `boathouse serve`
//! and webhooks.

use std::process::Command;

use crate::support::{Crew, Done, boathouse, done};

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
}
