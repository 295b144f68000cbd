//! The JSON Schemas of a crew's files agree with what reads the files.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its data fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use boathouse::core::crew::check::{Catalog, check};
use boathouse::core::crew::file::{Does, Kind, Problems, Table, keys, validate};
use boathouse::core::crew::problem::Code;
use boathouse::core::crew::{Source, yaml};
use boathouse::{crew_dir, provider, schema};
use jsonschema::Validator;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn folders(of: &str) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root().join(of)).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

static VALIDATORS: LazyLock<BTreeMap<&str, Validator>> = LazyLock::new(|| {
    let compile = |schema: &'static schema::Schema| jsonschema::draft7::new(&schema.value()).unwrap();
    schema::ALL.iter().map(|schema| (schema.name, compile(schema))).collect()
});

/// What the schema of a file says about its text; `None` if it has no schema or is no YAML.
fn violations(file: &str, text: &str) -> Option<Vec<String>> {
    let name = match file {
        "crew.yaml" => "crew",
        "scripted.yaml" => "scripted",
        file if file.starts_with("agents/") => "agent",
        file if file.starts_with("tests/") => "tests",
        _ => return None,
    };
    let value = yaml::parse(text).0?.to_json();
    Some(
        VALIDATORS[name]
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect(),
    )
}

#[test]
fn the_committed_schemas_are_those_of_the_program() {
    let mut stale = Vec::new();
    for schema in &schema::ALL {
        let file = root().join(format!("schema/{}.json", schema.name));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&file, schema.text()).unwrap();
        }
        if fs::read_to_string(&file).unwrap_or_default() != schema.text() {
            stale.push(schema.name);
        }
    }
    assert!(
        stale.is_empty(),
        "not in step: {stale:?}; `BLESS=1 cargo test -p boathouse --test schema` writes them"
    );
}

#[test]
fn each_schema_is_one_of_draft_07() {
    for schema in &schema::ALL {
        let value = schema.value();
        assert_eq!(value["$schema"], "http://json-schema.org/draft-07/schema#", "{}", schema.name);
        assert_eq!(value["$id"], format!("urn:boathouse:schema:{}", schema.name));
        assert!(jsonschema::draft7::meta::is_valid(&value), "{}", schema.name);
    }
}

#[test]
fn crews_that_load_fit_their_schemas() {
    let mut checked = 0;
    for folder in folders("testdata/crews/good")
        .into_iter()
        .chain(folders("examples"))
        .chain(folders("crates/boathouse-server/templates"))
    {
        let (mut source, _) = crew_dir::read(&folder);
        for test in
            fs::read_dir(folder.join("tests")).into_iter().flatten().map(|entry| entry.unwrap().path())
        {
            let name = test.file_name().unwrap().to_str().unwrap();
            source.insert(format!("tests/{name}"), fs::read_to_string(&test).unwrap());
        }
        for (file, text) in &source {
            let Some(violations) = violations(file, text) else { continue };
            assert!(violations.is_empty(), "{}/{file}: {violations:#?}", folder.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} files");
}

/// The codes of problems that are of shape: a schema can see them.
const OF_SHAPE: [Code; 4] = [Code::UnknownKey, Code::WrongType, Code::OutOfRange, Code::UnknownChoice];

#[test]
fn files_of_a_wrong_shape_do_not_fit() {
    let mut refused = 0;
    for folder in folders("testdata/crews/bad") {
        let (source, _) = crew_dir::read(&folder);
        let problems = check(&source, "crew", &Catalog::default()).problems;
        for (file, text) in &source {
            let Some(violations) = violations(file, text) else { continue };
            let of_shape: Vec<String> = problems
                .iter()
                .filter(|problem| problem.file == *file && OF_SHAPE.contains(&problem.code))
                .map(ToString::to_string)
                .collect();
            if !of_shape.is_empty() {
                assert!(!violations.is_empty(), "{}/{file} fits, but: {of_shape:#?}", folder.display());
                refused += 1;
            }
        }
    }
    assert!(refused > 5, "only {refused} files");
}

/// Where the map of a table stands in a file, and the keys that it needs with values that are good.
fn place(
    table: &Table,
) -> (&'static str, &'static Table, &'static str, &'static [(&'static str, &'static str)]) {
    let group: &[_] = &[("agents", "[x]")];
    let (text, needs): (&str, &[(&str, &str)]) = match table.name {
        "crew" => ("{HERE}", &[("agents", "[x]")]),
        "agent" => ("{HERE}", &[("id", "x")]),
        "model" => ("{id: x, backup: [{HERE}]}", &[]),
        "parameters" => ("{id: x, parameters: {HERE}}", &[]),
        "routing" => ("{agents: [x], routing: {HERE}}", &[]),
        "signal" => ("{agents: [x], routing: {signals: {x: [{HERE}]}}}", &[("signal", "x")]),
        "behavior" => ("{agents: [x], routing: {agent_behaviors: {x: {HERE}}}}", &[]),
        "group" => ("{agents: [x], routing: {parallel_groups: {g: {HERE}}}}", group),
        "join" => (
            "{agents: [x], routing: {parallel_groups: {g: {agents: [x], join: {HERE}}}}}",
            &[("quorum", "1")],
        ),
        "aggregate" => (
            "{agents: [x], routing: {parallel_groups: {g: {agents: [x], aggregate: {HERE}}}}}",
            &[("template", "x")],
        ),
        "tool" => ("{agents: [x], tools: {T: {HERE}}}", &[]),
        "command" => ("{agents: [x], tools: {T: {command: {HERE}}}}", &[]),
        "http" => ("{agents: [x], tools: {T: {http: {HERE}}}}", &[("url", "x")]),
        "mcp" => ("{agents: [x], tools: {T: {mcp: {HERE}}}}", &[("server", "x")]),
        "mcp_server" => ("{agents: [x], mcp_servers: {s: {HERE}}}", &[]),
        "settings" => ("{agents: [x], settings: {HERE}}", &[]),
        "cost_limits" => ("{id: x, cost_limits: {HERE}}", &[]),
        "memory_limits" => ("{id: x, memory_limits: {HERE}}", &[]),
        "error_limits" => ("{id: x, error_limits: {HERE}}", &[]),
        "logging" => ("{id: x, logging: {HERE}}", &[]),
        other => panic!("say where `{other}` stands"),
    };
    let of_agents = text.starts_with("{id") || table.name == "agent";
    let (file, root) = if of_agents { ("agents/x.yaml", &keys::AGENT) } else { ("crew.yaml", &keys::CREW) };
    (file, root, text, needs)
}

#[test]
fn schema_and_check_agree_on_every_value_of_every_key() {
    // A schema sees neither quotes nor how a number is written: `"5"` and `1e3` are told by the check alone.
    let values = [
        "",
        "null",
        "x",
        "5",
        "0",
        "-1",
        "0.5",
        "0.0001",
        "99999999999",
        "true",
        "yes",
        "Off",
        "[]",
        "[x]",
        "[[x]]",
        "[1, true]",
        "[null]",
        "{}",
        "{x: y}",
        "{x: [y]}",
        "{x: {y: z}}",
        "{x: null}",
        "{quorum: 1}",
        "{quorum: 0}",
        "{template: x}",
        "{model: x}",
        "[{model: x}]",
        "[{modle: x}]",
        "first",
        "read",
        "native",
        "tool",
    ];
    let mut compared = 0;
    let mut faults = Vec::new();
    for table in keys::ALL {
        let (file, root, text, needs) = place(table);
        let needed: String = needs.iter().map(|(name, value)| format!("{name}: {value}, ")).collect();
        assert_eq!(violations(file, &text.replace("HERE", &needed)), Some(Vec::new()), "{}", table.name);
        let unknown = text.replace("HERE", &format!("{needed}x-free: 1, no_such_key: 1"));
        assert!(!violations(file, &unknown).unwrap().is_empty(), "{unknown}");
        for key in table.keys {
            let others: String = needs
                .iter()
                .filter(|(name, _)| *name != key.name)
                .map(|(name, value)| format!("{name}: {value}, "))
                .collect();
            for value in values {
                let text = text.replace("HERE", &format!("{others}{}: {value}", key.name));
                let source = Source::from([(file.to_owned(), text.clone())]);
                let mut problems = Problems::new(&source);
                validate(&yaml::parse(&text).0.unwrap(), &Kind::Map(root), file, file, &mut problems);
                // That one is told by the check of the whole crew.
                let is_missing = key.does == Does::NeededByCheck && matches!(value, "" | "null");
                let is_sound = !problems.any_error() && !is_missing;
                let violations = violations(file, &text).unwrap();
                compared += 1;
                if is_sound != violations.is_empty() {
                    faults.push(format!("{text}\n  sound: {is_sound}, schema: {violations:?}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} of {compared} differ:\n{}", faults.len(), faults.join("\n"));
    assert!(compared > 3000, "only {compared}");
}

#[test]
fn whoever_edits_is_told_what_a_key_does_and_what_counts_without_it() {
    let crew = schema::named("crew").unwrap().value();
    assert_eq!(
        crew["properties"]["settings"]["properties"]["max_handoffs"],
        json!({
            "type": ["integer", "null"], "minimum": 0, "maximum": 1_000_000, "default": 5,
            "description": "Routes that a run may take.",
        })
    );
    assert_eq!(crew["properties"]["name"]["description"], "Names the crew. Default: the folder's name.");
    let money = &crew["properties"]["settings"]["properties"]["max_cost_per_day"];
    assert_eq!(money["deprecationMessage"], "Does nothing yet: money is not limited.");
    for schema in &schema::ALL {
        described(&schema.value(), schema.name);
    }
}

/// Every property says what it is for.
fn described(schema: &Value, path: &str) {
    match schema {
        Value::Object(map) => {
            for (name, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
                assert!(property["description"].is_string(), "{path}.{name} has no description");
            }
            map.iter().for_each(|(key, value)| described(value, &format!("{path}.{key}")));
        }
        Value::Array(items) => items.iter().for_each(|item| described(item, path)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The script's schema and its reader, on every value of every key.
#[test]
fn script_and_schema_agree() {
    let values = [
        "x",
        "5",
        "0",
        "-1",
        "true",
        "[]",
        "[x]",
        "{}",
        "[{name: x}]",
        "[{name: x, arguments: {a: 1}}]",
        "[{name: x, arguments: [1]}]",
        "[{nam: x}]",
        "{kind: timeout}",
        "{kind: tiemout}",
        "{kind: server, message: x}",
        "{input_tokens: 1}",
        "{input: 1}",
    ];
    let schema = schema::named("scripted").unwrap().value();
    let rule = schema["properties"]["rules"]["items"]["properties"].as_object().unwrap();
    assert!(rule.len() > 10, "{rule:?}");
    let mut faults = Vec::new();
    for key in rule.keys().map(String::as_str).chain(["repyl"]) {
        for value in values {
            // A rule must give something.
            let reply =
                if matches!(key, "reply" | "pieces" | "tools" | "error") { "" } else { "reply: hi, " };
            let text = format!("rules: [{{{reply}{key}: {value}}}]");
            // A number of pieces cuts a reply; a list of them is one.
            let text = if key == "pieces" && value == "5" {
                "rules: [{reply: hi, pieces: 5}]".to_owned()
            } else {
                text
            };
            let reads = provider::script::check(&text);
            let violations = violations("scripted.yaml", &text).unwrap();
            let empty = reads.iter().any(|fault| fault.message.contains("gives nothing"));
            if !empty && reads.is_empty() != violations.is_empty() {
                faults.push(format!("{text}\n  read: {reads:?}, schema: {violations:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} differ:\n{}", faults.len(), faults.join("\n"));
}
