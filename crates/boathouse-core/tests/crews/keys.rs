//! Every key acts, or is reported with its line: those that crews of the Go system carry, and all others.

use std::collections::{BTreeMap, BTreeSet};

use boathouse_core::crew::Source;
use boathouse_core::crew::check::{Checked, check};
use boathouse_core::crew::file::{Does, Kind, Table, keys};
use boathouse_core::crew::problem::Problem;
use boathouse_core::crew::yaml::{self, Entry, Node, Yaml};
use serde_json::Value;

use crate::{catalog, folders, read};

/// The keys of the Go system's files as it first was, by the table of ours that knows them.
const FIRST: &[(&str, &[&str])] = &[
    ("crew", &["version", "description", "entry_point", "agents", "settings", "routing"]),
    ("settings", &["max_handoffs", "max_rounds", "timeout_seconds", "language", "organization"]),
    ("routing", &["signals", "defaults", "agent_behaviors", "parallel_groups"]),
    ("signal", &["signal", "target", "description"]),
    ("behavior", &["wait_for_signal", "auto_route", "is_terminal", "description"]),
    ("group", &["agents", "wait_for_all", "timeout_seconds", "next_agent", "description"]),
    (
        "agent",
        &[
            "id",
            "name",
            "role",
            "backstory",
            "description",
            "model",
            "temperature",
            "is_terminal",
            "tools",
            "handoff_targets",
            "system_prompt",
        ],
    ),
];

/// The keys that it had in the end, and those of its published crews that it did not know itself.
const LAST: &[(&str, &[&str])] = &[
    ("crew", &["name", "tasks", "parallel_targets", "parallel_execution"]),
    (
        "settings",
        &[
            "config_mode",
            "parallel_timeout_seconds",
            "tool_execution_timeout_seconds",
            "tool_result_timeout_seconds",
            "min_tool_timeout_millis",
            "stream_chunk_timeout_millis",
            "sse_keep_alive_seconds",
            "request_store_cleanup_minutes",
            "retry_backoff_min_millis",
            "retry_backoff_max_seconds",
            "client_cache_ttl_minutes",
            "graceful_shutdown_check_millis",
            "max_input_size_kb",
            "min_agent_id_length",
            "max_agent_id_length",
            "max_request_body_size_kb",
            "max_tool_output_chars",
            "max_total_tool_output_chars",
            "stream_buffer_size",
            "max_stored_requests",
            "timeout_warning_threshold_pct",
            "max_tokens_per_call",
            "max_tokens_per_day",
            "max_cost_per_day",
            "cost_alert_threshold",
            "max_memory_mb",
            "max_daily_memory_gb",
            "memory_alert_percent",
            "max_context_window",
            "context_trim_percent",
            "slow_call_threshold_seconds",
            "max_errors_per_hour",
            "max_errors_per_day",
            "max_consecutive_errors",
            "max_calls_per_minute",
            "max_calls_per_hour",
            "max_calls_per_day",
            "block_on_quota_exceed",
        ],
    ),
    (
        "agent",
        &[
            "primary",
            "backup",
            "provider",
            "provider_url",
            "cost_limits",
            "memory_limits",
            "error_limits",
            "logging",
            "max_tokens_per_call",
            "max_tokens_per_day",
            "max_cost_per_day",
            "cost_alert_threshold",
            "enforce_cost_limits",
            "enforce",
            "top_p",
            "top_k",
        ],
    ),
    ("model", &["model", "provider", "provider_url"]),
    (
        "cost_limits",
        &[
            "max_tokens_per_call",
            "max_tokens_per_day",
            "max_cost_per_day_usd",
            "alert_threshold",
            "block_on_cost_exceed",
            "input_token_price_per_million",
            "output_token_price_per_million",
        ],
    ),
    ("memory_limits", &["max_per_call_mb", "max_per_day_mb", "block_on_memory_exceed"]),
    ("error_limits", &["max_consecutive", "max_per_day", "block_on_error_exceed"]),
    (
        "logging",
        &["enable_memory_metrics", "enable_performance_metrics", "enable_quota_warnings", "log_level"],
    ),
];

/// Keys to which nothing corresponds here, and never will: memory that no agent has, lengths of ids, a mode of the
/// check, and how a server that keeps runs in memory stores, buffers and polls.
const MEANINGLESS: [&str; 11] = [
    "config_mode",
    "graceful_shutdown_check_millis",
    "max_agent_id_length",
    "max_daily_memory_gb",
    "max_memory_mb",
    "max_stored_requests",
    "memory_alert_percent",
    "memory_limits",
    "min_agent_id_length",
    "request_store_cleanup_minutes",
    "stream_buffer_size",
];

/// A key as it is written in a crew.
struct Written<'a> {
    table: &'static str,
    does: Does,
    file: &'a str,
    entry: &'a Entry,
    /// The lines of the maps around it that are keys of a table, and its own.
    lines: Vec<usize>,
}

/// Every key of a table in a tree.
fn written<'a>(node: &'a Node, kind: &Kind, file: &'a str, around: &[usize], all: &mut Vec<Written<'a>>) {
    match (kind, &node.yaml) {
        (Kind::Map(table), Yaml::Map(entries)) => {
            for entry in entries {
                let Some(key) = table.keys.iter().find(|key| key.name == entry.key) else { continue };
                let lines: Vec<usize> = around.iter().copied().chain([entry.key_at.line]).collect();
                written(&entry.value, &key.kind, file, &lines, all);
                all.push(Written { table: table.name, does: key.does, file, entry, lines });
            }
        }
        (Kind::List(item), Yaml::List(items)) => {
            items.iter().for_each(|node| written(node, item, file, around, all));
        }
        (Kind::Entries(value), Yaml::Map(entries)) => {
            entries.iter().for_each(|entry| written(&entry.value, value, file, around, all));
        }
        (Kind::Either { list: Some(kind), .. }, Yaml::List(_))
        | (Kind::Either { map: Some(kind), .. }, Yaml::Map(_)) => written(node, kind, file, around, all),
        _ => {}
    }
}

fn trees(source: &Source) -> BTreeMap<&str, Node> {
    let files = source.iter().filter(|(file, _)| file.as_str() != "scripted.yaml");
    files.map(|(file, text)| (file.as_str(), yaml::parse(text).0.unwrap())).collect()
}

fn keys_of<'a>(trees: &'a BTreeMap<&str, Node>) -> Vec<Written<'a>> {
    let mut all = Vec::new();
    for (file, tree) in trees {
        let table = if *file == "crew.yaml" { &keys::CREW } else { &keys::AGENT };
        written(tree, &Kind::Map(table), file, &[], &mut all);
    }
    all
}

/// The tree as JSON, which is YAML too, without one key.
fn without(node: &Node, gone: &Entry) -> Value {
    match &node.yaml {
        Yaml::Map(entries) => {
            let kept = entries.iter().filter(|entry| !std::ptr::eq(*entry, gone));
            Value::Object(kept.map(|entry| (entry.key.clone(), without(&entry.value, gone))).collect())
        }
        Yaml::List(items) => items.iter().map(|item| without(item, gone)).collect(),
        // `yes` is a flag in YAML, but not in JSON.
        Yaml::Scalar { .. } => node.flag().map_or_else(|| node.to_json(), Value::Bool),
    }
}

/// What becomes of a crew: everything but the text that it came from, and what would be said of it.
fn meaning(source: &Source) -> String {
    let Checked { crew, problems } = check(source, "crew", &catalog());
    let told: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    match crew {
        Some(mut crew) => {
            crew.source = Source::new();
            crew.hash = "".into();
            format!("{crew:#?}")
        }
        None => format!("{told:#?}"),
    }
}

/// Whether a key counts: without it the crew would be another one.
fn counts(source: &Source, trees: &BTreeMap<&str, Node>, key: &Written<'_>) -> bool {
    let as_json = |gone: Option<&Entry>| {
        let mut changed = source.clone();
        let nothing = Entry { key: String::new(), key_at: key.entry.key_at, value: key.entry.value.clone() };
        changed.insert(key.file.to_owned(), without(&trees[key.file], gone.unwrap_or(&nothing)).to_string());
        meaning(&changed)
    };
    let whole = as_json(None);
    assert!(whole.starts_with("Crew"), "{} does not load as JSON: {whole}", key.file);
    whole != as_json(Some(key.entry))
}

fn good(name: &str) -> Source {
    read(&folders("good").into_iter().find(|folder| folder.ends_with(name)).unwrap())
}

#[test]
fn every_key_of_the_go_system_acts_or_is_reported_with_its_line() {
    let mut said = BTreeSet::new();
    for (name, listed) in [("go-help-desk", FIRST), ("go-help-desk-strict", LAST)] {
        let source = good(name);
        let Checked { crew, problems } = check(&source, name, &catalog());
        assert!(crew.is_some(), "{name} does not load");
        let trees = trees(&source);
        let keys = keys_of(&trees);
        let reported = |key: &Written<'_>| {
            let at = |problem: &Problem| problem.file == key.file && key.lines.contains(&problem.line);
            problems.iter().any(at)
        };
        for (table, names) in listed {
            for wanted in *names {
                let found: Vec<_> =
                    keys.iter().filter(|key| key.table == *table && key.entry.key == *wanted).collect();
                assert!(!found.is_empty(), "{name} has no `{wanted}` of `{table}`");
                let accounted = |key: &&Written<'_>| {
                    key.does == Does::Note || reported(key) || counts(&source, &trees, key)
                };
                assert!(found.iter().any(accounted), "`{wanted}` of `{table}` neither acts nor is reported");
                said.insert((*table, *wanted));
            }
        }
    }
    assert!(said.len() > 100, "only {} keys", said.len());
}

#[test]
fn only_keys_to_which_nothing_corresponds_are_called_meaningless() {
    let tables = keys::ALL.iter().flat_map(|table| table.keys);
    let nothing: BTreeSet<&str> =
        tables.filter(|key| matches!(key.does, Does::Nothing(_))).map(|key| key.name).collect();
    assert_eq!(nothing, BTreeSet::from(MEANINGLESS));
}

#[test]
fn each_key_that_acts_makes_a_difference_in_some_crew() {
    let mut missing: BTreeSet<(&str, &str)> = BTreeSet::new();
    let acts =
        |table: &Table| !matches!(table.name, "cost_limits" | "memory_limits" | "error_limits" | "logging");
    for table in keys::ALL.into_iter().filter(|table| acts(table)) {
        let acting = table.keys.iter().filter(|key| key.idle().is_none() && key.does != Does::Note);
        missing.extend(acting.map(|key| (table.name, key.name)));
    }
    for folder in folders("good") {
        let source = read(&folder);
        let trees = trees(&source);
        for key in keys_of(&trees) {
            let id = (key.table, key.entry.key.as_str());
            let known = missing.iter().find(|missing| **missing == id).copied();
            if let Some(known) = known.filter(|_| counts(&source, &trees, &key)) {
                missing.remove(&known);
            }
        }
    }
    assert!(missing.is_empty(), "no crew of testdata/crews/good would be another one without {missing:?}");
}
