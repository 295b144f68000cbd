//! Bad crews as they lie on a disk: what only the reading of a folder can find, and that no problem is left untold.
//!
//! The folders are `testdata/crews/bad/disk-*`; those that a repository cannot hold are made here. `expected.txt` holds
//! the rendered problems; `BLESS=1` writes it anew.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use boathouse::core::crew::check::Catalog;
use boathouse::core::crew::problem::{Code, Problem, render};
use boathouse::crew_dir;
use boathouse::crew_test::Suite;
use boathouse::tool::Tools;
use tempfile::TempDir;

const CREW: &str = "name: desk\nagents: [clerk]\n";
const CLERK: &str = "id: clerk\nprovider: scripted\n";

/// Makes what a repository cannot hold, or should not.
fn make(name: &str, dir: &Path) -> bool {
    let write = |file: &str, text: &str| fs::write(dir.join(file), text).unwrap();
    fs::create_dir(dir.join("agents")).unwrap();
    write("crew.yaml", CREW);
    write("agents/clerk.yaml", CLERK);
    match name {
        "disk-too-large" => write("crew.yaml", &format!("{CREW}description: {}\n", "x".repeat(10 << 20))),
        "disk-too-large-together" => (0..9).for_each(|n| {
            let backstory = "x".repeat((1 << 20) - 100);
            write(&format!("agents/a{n}.yaml"), &format!("id: a{n}\nbackstory: {backstory}\n"));
        }),
        "disk-too-many-files" => (0..=1000).for_each(|n| write(&format!("agents/a{n}.yaml"), CLERK)),
        "disk-too-many-problems" => {
            write("crew.yaml", &format!("agents: [clerk{}]\n", ", clerk".repeat(600)))
        }
        "disk-loop-of-links" => {
            fs::remove_file(dir.join("agents/clerk.yaml")).unwrap();
            symlink("other.yaml", dir.join("agents/clerk.yaml")).unwrap();
            symlink("clerk.yaml", dir.join("agents/other.yaml")).unwrap();
        }
        "disk-pipe" => {
            let mut pipe = std::process::Command::new("mkfifo");
            assert!(pipe.arg(dir.join("scripted.yaml")).status().unwrap().success());
        }
        "disk-name-not-utf8" => {
            fs::write(dir.join("agents").join(OsStr::from_bytes(b"B\xfcro.yaml")), CLERK).unwrap();
        }
        _ => return false,
    }
    true
}

fn bad() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/crews/bad");
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn name(folder: &Path) -> &str {
    folder.file_name().unwrap().to_str().unwrap()
}

/// Everything that is wrong with a crew and its tests.
fn problems(dir: &Path) -> Vec<Problem> {
    let tools = Tools::builtin().specs();
    let catalog = Catalog { tools, providers: vec!["openai".to_owned(), "scripted".to_owned()] };
    match crew_dir::load(dir, &catalog) {
        Ok(crew) => match Suite::load(dir, crew) {
            Ok(suite) => suite.warnings,
            Err(error) => error.problems,
        },
        Err(error) => error.problems,
    }
}

/// The problems as people see them; of very many the first and the last ones.
fn told(problems: &[Problem]) -> String {
    match problems {
        [first, .., last] if problems.len() > 20 => format!("{first}\n\n...\n\n{last}\n"),
        few => render(few),
    }
}

#[test]
fn crews_that_cannot_be_read_say_exactly_why() {
    let mut faults = Vec::new();
    for folder in bad().iter().filter(|folder| name(folder).starts_with("disk-")) {
        let made = TempDir::with_prefix("desk").unwrap();
        let dir = if make(name(folder), made.path()) { made.path() } else { folder.as_path() };
        let found = problems(dir);
        assert!(found.iter().any(Problem::is_error), "{} gave a crew", folder.display());
        let silent = found.iter().find(|problem| problem.hint.is_none());
        assert!(silent.is_none(), "what to do about it? {}", render(&found));
        let (file, told) = (folder.join("expected.txt"), told(&found));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&file, &told).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if expected != told {
            faults.push(format!("{}\n--- expected\n{expected}\n--- actual\n{told}", folder.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// A problem of a server, not of a crew's files: the tests of the command line change a crew's name while it is served.
const OF_SERVERS: [Code; 1] = [Code::Renamed];

#[test]
fn every_code_has_a_bad_crew() {
    let told: String =
        bad().iter().map(|folder| fs::read_to_string(folder.join("expected.txt")).unwrap()).collect();
    let heads = told.lines().filter_map(|line| Some(line.split_once('[')?.1.split_once("]: ")?.0));
    let shown: BTreeSet<&str> = heads.collect();
    let missing: Vec<&Code> = Code::ALL
        .iter()
        .filter(|code| !shown.contains(code.as_str()) && !OF_SERVERS.contains(code))
        .collect();
    assert!(missing.is_empty(), "no crew of testdata/crews/bad has the problems {missing:?}");
    assert!(bad().len() >= 60, "only {} bad crews", bad().len());
}
