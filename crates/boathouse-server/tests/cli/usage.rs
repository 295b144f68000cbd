//! Help, and what is said to a command line that makes no sense.

use crate::support::{Crew, boathouse, done};

const CREW: &str =
    "name: desk\nagents: [{id: a, name: Al, model: any, system_prompt: x, is_terminal: true}]\n";
const SCRIPT: &str = "rules: [{reply: x}]";

#[test]
fn help_shows_examples_and_exit_codes() {
    for command in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["test", "--help"],
        &["graph", "--help"],
        &["new", "--help"],
        &["schema", "--help"],
        &["serve", "--help"],
    ] {
        let help = done(&mut boathouse(command), "");
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{command:?}");
        assert!(help.stdout.contains("Examples:") && help.stdout.contains("Exit codes:"), "{}", help.stdout);
    }
    insta::assert_snapshot!(done(&mut boathouse(&["run", "--help"]), "").stdout);
}

#[test]
fn a_command_line_that_makes_no_sense_is_explained() {
    let crew = Crew::new(CREW, SCRIPT);
    let says = |args: &[&str]| {
        let said = done(&mut crew.boathouse(args), "");
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{args:?}: {}", said.stderr);
        format!("$ boathouse {}\n{}\n", args.join(" "), said.stderr)
    };
    let told = [
        says(&["rnu", "desk"]),
        says(&["run"]),
        says(&["run", "desk", "hello", "--var", "topic"]),
        says(&["run", "desk", "hello", "--jornal", "x"]),
        says(&["run", "desk", "hello", "--journal", "mysql://db"]),
        says(&["run", "desk", "hello", "--model", "scrpted"]),
        says(&["run", "desk", " ", "--model", "scripted"]),
        says(&["run", "desk", "hello", "--model", "scripted", "--start-at", "A"]),
        says(&["serve", "desk", "--host", "example.org"]),
        says(&["serve", "desk", "--host", "0.0.0.0", "--model", "scripted"]),
    ];
    insta::assert_snapshot!(told.concat());
}

#[test]
fn a_wrong_environment_is_explained() {
    let crew = Crew::new(CREW, SCRIPT);
    let says = |name: &str, value: &str| {
        let said = done(crew.boathouse(&["run", "desk", "hello"]).env(name, value), "");
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{name}={value}: {}", said.stderr);
        said.stderr
    };
    assert!(says("BOATHOUSE_MODEL", "nothing").contains("nothing"));
    assert!(says("BOATHOUSE_LOG", "a=b=c").contains("BOATHOUSE_LOG"));
    assert!(says("BOATHOUSE_LOG_FORMAT", "xml").contains("`text` or `json`"));
}

#[test]
fn a_crew_with_errors_is_not_run() {
    let crew = Crew::new("name: desk\nagents: [{id: a, modle: any}]\n", SCRIPT);
    let said = done(&mut crew.boathouse(&["run", "desk", "hello", "--model", "scripted"]), "");
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains("desk/crew.yaml:2:"), "{}", said.stderr);
    assert!(said.stderr.ends_with("error: desk cannot be run: 1 error\n"), "{}", said.stderr);
}

#[test]
fn a_journal_that_cannot_be_opened_is_explained() {
    let crew = Crew::new(CREW, SCRIPT);
    let said = done(
        &mut crew.boathouse(&["run", "desk", "x", "--model", "scripted", "--journal", "no/where.db"]),
        "",
    );
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.starts_with("error: ") && said.stderr.contains("hint: "), "{}", said.stderr);
}
