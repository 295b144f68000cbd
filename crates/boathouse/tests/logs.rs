//! Logs that earlier versions wrote, and that every version reads: each folds to the state that it folded to, and says
//! what would be written again. `testdata/logs/v1` is never changed, only added to (see CONTRIBUTING.md).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use boathouse::core::run::event::Event;
use boathouse::core::run::fork::{Edits, Fresh, Parent, fork};
use boathouse::core::run::verify::first_difference;
use boathouse::log_file::LogFile;
use serde_json::Value;

#[expect(unreachable_pub, reason = "the module is shared with a program")]
#[path = "logs/golden.rs"]
mod golden;
#[expect(unreachable_pub, reason = "as above")]
#[path = "logs/page.rs"]
mod page;

/// What events are made of.
const SOURCES: [&str; 8] = [
    include_str!("../../boathouse-core/src/run/event.rs"),
    include_str!("../../boathouse-core/src/run/event/branch.rs"),
    include_str!("../../boathouse-core/src/run/event/call.rs"),
    include_str!("../../boathouse-core/src/run/event/end.rs"),
    include_str!("../../boathouse-core/src/run/event/start.rs"),
    include_str!("../../boathouse-core/src/run/event/wait.rs"),
    include_str!("../../boathouse-core/src/message.rs"),
    include_str!("../../boathouse-core/src/crew.rs"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All frozen logs, by file.
fn logs() -> Vec<(PathBuf, LogFile)> {
    let entries = fs::read_dir(root().join("testdata/logs/v1")).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "jsonl"));
    files.sort();
    assert!(files.len() >= 12, "{} frozen logs", files.len());
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("it can be read");
        let log = LogFile::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(log.to_text(), text.into_bytes(), "{} is written as it was", file.display());
        (file, log)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn frozen_logs_fold_to_what_they_always_folded_to() {
    for (file, log) in logs() {
        let state = golden::golden(&golden::fold(&log));
        let golden = file.with_extension("state.json");
        if std::env::var_os("BLESS").is_some() && !golden.exists() {
            fs::write(&golden, &state).expect("it can be written");
        }
        let expected = fs::read_to_string(&golden)
            .unwrap_or_else(|_| panic!("{} is missing; BLESS=1 writes it", golden.display()));
        assert!(state == expected, "{} folds to another state:\n{state}", file.display());
    }
}

#[test]
fn frozen_logs_are_what_would_be_written_again() {
    for (file, log) in logs() {
        let crew = Arc::new(log.head.compile(&golden::catalog()).unwrap_or_else(|error| panic!("{error}")));
        let found = first_difference(&log.head.run, &crew, &log.recorded());
        assert!(matches!(found, Ok(None)), "{}: {found:#?}", file.display());
    }
}

#[test]
fn frozen_logs_can_be_forked_at_their_beginning() {
    for (file, log) in logs() {
        let crew = Arc::new(log.head.compile(&golden::catalog()).unwrap_or_else(|error| panic!("{error}")));
        let recorded = log.recorded();
        let fresh = Fresh { run: "fork".into(), thread: "fork".into(), now: recorded[0].at };
        let parent = Parent { run: log.head.run.clone(), crew, log: &recorded };
        let forked = fork(&parent, &fresh, Some(boathouse::core::ids::Seq(1)), &Edits::default());
        assert!(forked.is_ok(), "{}: {forked:?}", file.display());
    }
}

/// Every kind of event, with what tells its kinds apart, as the JSON names them.
fn kinds(event: &Event) -> Vec<String> {
    let json = serde_json::to_value(event).expect("events are JSON");
    let kind = json["type"].as_str().expect("they have a type").to_owned();
    let of = |part: &Value| part.as_str().map(|part| format!("{kind}: {part}"));
    let parts = [&json["kind"], &json["next"]["do"], &json["end"], &json["end"]["status"], &json["why"]];
    let more = [&json["for"]["kind"], &json["answer"]["kind"], &json["state"], &json["reason"]];
    let mut kinds: Vec<String> = parts.into_iter().chain(more).filter_map(of).collect();
    kinds.push(kind);
    kinds
}

#[test]
fn every_kind_of_event_is_in_some_frozen_log() {
    let mut wanted: Vec<String> = page::variants(&SOURCES, "Event");
    assert!(wanted.len() > 20, "{wanted:?}");
    let parts = [
        ("call_started", "CallKind"),
        ("attempt_failed", "NextAttempt"),
        ("branch_ended", "BranchEnd"),
        ("group_closing", "ClosingReason"),
        ("wait_opened", "WaitFor"),
        ("answered", "Answer"),
        ("run_ended", "Outcome"),
    ];
    for (event, part) in parts {
        wanted.extend(page::variants(&SOURCES, part).iter().map(|variant| format!("{event}: {variant}")));
    }
    let found: BTreeSet<String> = logs()
        .iter()
        .flat_map(|(_, log)| log.recorded())
        .flat_map(|recorded| kinds(&recorded.event))
        .collect();
    // That a group ran out of time is told by `timed_out`.
    let never = |kind: &String| kind == "group_closing: timed_out";
    let missing: Vec<&String> = wanted.iter().filter(|kind| !found.contains(*kind) && !never(kind)).collect();
    assert!(missing.is_empty(), "no frozen log has {missing:?}; CONTRIBUTING.md says how to add one");
}

#[test]
fn the_page_about_the_journal_has_every_event_and_field() {
    const BEGIN: &str = "<!-- made from the code: BLESS=1 cargo test -p boathouse --test logs -->\n";
    const END: &str = "\n<!-- end of what is made from the code -->";
    let file = root().join("docs/journal.md");
    let page = fs::read_to_string(&file).expect("it is there");
    let (before, rest) = page.split_once(BEGIN).expect("the page says where the tables begin");
    let (found, after) = rest.split_once(END).expect("the page says where they end");
    let wanted = page::tables(&SOURCES);
    if found != wanted && std::env::var_os("BLESS").is_some() {
        fs::write(&file, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("it can be written");
        return;
    }
    assert!(found == wanted, "docs/journal.md is behind the code; BLESS=1 makes its tables again");
}
