//! `boathouse new` and `boathouse schema`.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Done, boathouse, done};

const TEMPLATES: [&str; 4] = ["single", "support", "research", "teams"];

fn at(folder: &Path, args: &[&str]) -> Done {
    done(boathouse(args).current_dir(folder), "")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn every_template_makes_a_crew_without_problems_that_runs_at_once() {
    let here = TempDir::new().unwrap();
    for template in TEMPLATES {
        let made = at(here.path(), &["new", template, "--template", template]);
        assert_eq!((made.code, made.stderr.as_str()), (0, ""), "{template}");
        let check = at(here.path(), &["check", template]);
        assert_eq!((check.code, check.stderr.as_str()), (0, ""), "{template}");
        assert!(check.stdout.contains("no problems"), "{}", check.stdout);

        // The first step that was printed, as a shell would read it.
        let step = made.stdout.lines().find(|line| line.starts_with("  boathouse run ")).unwrap();
        let input = step.split('"').nth(1).unwrap();
        let run = at(here.path(), &["run", template, input, "--json"]);
        assert_eq!(run.code, 0, "{template}: {}{}", run.stdout, run.stderr);
        assert_eq!(run.json_lines().last().unwrap()["state"], "completed");

        let test = at(here.path(), &["test", template]);
        assert_eq!((test.code, test.stderr.as_str()), (0, ""), "{template}: {}", test.stdout);
        assert!(test.stdout.contains("passed"), "{}", test.stdout);
    }
}

#[test]
fn a_template_shows_what_it_is_for() {
    let here = TempDir::new().unwrap();
    let speakers = |template: &str, input: &str| -> Vec<String> {
        at(here.path(), &["new", template, "--template", template]);
        let run = at(here.path(), &["run", template, input, "--json"]);
        let replies = run.json_lines().into_iter().filter(|event| event["type"] == "model_replied");
        replies.map(|event| event["agent"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(speakers("single", "How full is the disk?"), ["assistant", "assistant"]);
    assert_eq!(speakers("support", "The app is slow"), ["triage", "technician", "technician"]);
    let research = speakers("research", "Why is the sky blue?");
    assert_eq!((research.len(), research[4].as_str()), (5, "editor"));
    // Both teams, the way back, and both teams again.
    let teams = speakers("teams", "A guest book");
    let once = |agent: &str| teams.iter().filter(|speaker| *speaker == agent).count();
    assert_eq!((teams.len(), once("backend"), once("quality"), once("release")), (13, 2, 2, 2), "{teams:?}");

    let asks =
        done(boathouse(&["run", "support", "Hello"]).current_dir(here.path()), "an invoice is wrong\n");
    assert_eq!(asks.code, 0, "{}{}", asks.stdout, asks.stderr);
    assert!(asks.stdout.contains("Bela"), "{}", asks.stdout);
}

#[test]
fn the_files_point_editors_to_the_schemas_of_this_program() {
    let here = TempDir::new().unwrap();
    at(here.path(), &["new", "desk", "--template", "support"]);
    let desk = here.path().join("desk");
    let pairs = [
        ("crew.yaml", "crew"),
        ("agents/triage.yaml", "agent"),
        ("scripted.yaml", "scripted"),
        ("tests/requests.yaml", "tests"),
    ];
    for (file, schema) in pairs {
        let text = fs::read_to_string(desk.join(file)).unwrap();
        let target = text.lines().next().unwrap().strip_prefix("# yaml-language-server: $schema=").unwrap();
        let pointed = fs::read_to_string(desk.join(file).parent().unwrap().join(target)).unwrap();
        assert_eq!(pointed, at(here.path(), &["schema", schema]).stdout, "{file}");
    }
    assert_eq!(at(here.path(), &["schema"]).stdout, at(here.path(), &["schema", "crew"]).stdout);
}

#[test]
fn nothing_is_overwritten_and_no_half_crew_is_left() {
    let here = TempDir::new().unwrap();
    let says = |args: &[&str], code: i32| {
        let said = at(here.path(), args);
        assert_eq!((said.code, said.stdout.as_str()), (code, ""), "{args:?}: {}", said.stderr);
        format!("$ boathouse {}\n{}\n", args.join(" "), said.stderr)
    };
    fs::create_dir(here.path().join("full")).unwrap();
    fs::write(here.path().join("full/notes"), "mine").unwrap();
    fs::write(here.path().join("file"), "mine").unwrap();
    fs::create_dir(here.path().join("empty")).unwrap();
    let told = [
        says(&["new", "full"], 1),
        says(&["new", "file"], 1),
        says(&["new", "no/such/place"], 1),
        says(&["new", "/proc/desk"], 1),
        says(&["new", ".."], 2),
        says(&["new", ""], 2),
        says(&["new", ".hidden"], 2),
        says(&["new", "a b"], 2),
        says(&["new", "what?"], 2),
        says(&["new", "desk", "--template", "suport"], 2),
        says(&["schema", "agents"], 2),
    ];
    insta::assert_snapshot!(told.concat());
    assert_eq!(names(here.path()), ["empty", "file", "full"]);
    assert_eq!(names(&here.path().join("full")), ["notes"]);

    let made = at(here.path(), &["new", "empty"]);
    assert_eq!((made.code, made.stderr.as_str()), (0, ""));
    assert_eq!(names(&here.path().join("empty")), [".schema", "crew.yaml", "scripted.yaml", "tests"]);
    insta::assert_snapshot!("next_steps", made.stdout);
}
