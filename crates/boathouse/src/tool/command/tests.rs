#![expect(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn argv(elements: &[&str]) -> Vec<String> {
    elements.iter().map(|element| (*element).to_owned()).collect()
}

fn fill(elements: &[&str], arguments: Value) -> Result<Vec<String>, String> {
    let properties = json!({
        "a": {}, "b": {}, "n": {"type": "integer", "default": 4},
    });
    Template::parse(&argv(elements), Some(&properties))?.fill(&arguments, Some(&properties))
}

#[test]
fn placeholders_are_filled_within_their_element() {
    let got = fill(&["p", "{a}", "--x={a}:{b}", "{n}"], json!({"a": "one two; rm", "b": true}));
    assert_eq!(got.unwrap(), ["one two; rm", "--x=one two; rm:true", "4"]);
    let got = fill(&["p", "{a}", "{b}"], json!({"a": [1, "x y"], "b": ""}));
    assert_eq!(got.unwrap(), ["[1,\"x y\"]", ""]);
}

#[test]
fn an_element_without_its_argument_is_left_out() {
    assert_eq!(fill(&["p", "--a={a}", "{b}", "z"], json!({"b": null})).unwrap(), ["z"]);
}

#[test]
fn other_braces_are_text() {
    let got = fill(&["p", "{}", "{{a}}", "{ a }", r#"{"k":{"b":{a}}}"#, "{1}", "{"], json!({"a": 1}));
    assert_eq!(got.unwrap(), ["{}", "{a}", "{ a }", r#"{"k":{"b":1}}"#, "{1}", "{"]);
}

#[test]
fn a_value_cannot_become_an_option() {
    let told = fill(&["ls", "{a}"], json!({"a": "-rf"})).unwrap_err();
    assert_eq!(told, "`a` may not begin with `-` here: the program would take it for an option");
    assert!(fill(&["ls", "{a}{b}"], json!({"a": "", "b": "--x"})).is_err());
    assert!(fill(&["ls", "{a}"], json!({"a": -1})).is_err());
    assert_eq!(fill(&["ls", "-n{a}"], json!({"a": -1})).unwrap(), ["-n-1"]);
    assert_eq!(fill(&["ls", "--", "{a}"], json!({"a": "-rf"})).unwrap(), ["--", "-rf"]);
    assert!(fill(&["ls", "{a}", "{b}"], json!({"a": "--", "b": "-rf"})).is_err());
}

#[test]
fn a_zero_byte_is_refused() {
    assert!(fill(&["p", "{a}"], json!({"a": "x\0y"})).unwrap_err().contains("zero byte"));
}

#[test]
fn broken_definitions_are_told() {
    let spec = |run: CommandLine, cwd: Option<&str>, env: &[&str]| {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let command = CommandSpec { run, cwd: cwd.map(str::to_owned), env: argv(env) };
        CommandTool::new(Arc::new(ToolSpec::new("T", "", schema)), &command).err()
    };
    let run = |elements: &[&str]| spec(CommandLine::Argv(argv(elements)), None, &[]);
    assert_eq!(run(&["ls", "{a}"]), None);
    assert_eq!(run(&[]).unwrap(), "there is no program to run");
    assert_eq!(run(&["{a}", "x"]).unwrap(), "the program `{a}` has to be fixed, and not empty");
    let told = run(&["ls", "{path}"]).unwrap();
    assert_eq!(told, "`{path}` is no parameter of the tool; declare it, or write `{{path}}` for the text");
    for cwd in ["/etc", "../x", "a/../../x"] {
        assert!(spec(CommandLine::Argv(argv(&["ls"])), Some(cwd), &[]).is_some(), "{cwd}");
    }
    assert!(spec(CommandLine::Argv(argv(&["ls"])), Some("./data/in"), &[]).is_none());
    assert!(spec(CommandLine::Argv(argv(&["ls"])), None, &["A=B"]).is_some());
    let allow = CommandLine::Allow(BTreeMap::from([("up".to_owned(), argv(&["{a}"]))]));
    assert!(spec(allow, None, &[]).unwrap().starts_with("entry `up`: the program"));
}

proptest! {
    /// Whatever a value holds, it fills its own place: never more or fewer elements, never another place.
    #[test]
    fn a_value_never_splits_or_spreads(a in "[^\0]{0,20}", b in "[^\0]{0,20}", before in "[a-z=]{1,5}") {
        let element = format!("{before}{{a}}|{{b}}");
        let got = fill(&["p", &element, "--", "{b}", "end"], json!({"a": a, "b": b})).unwrap();
        prop_assert_eq!(got, [format!("{before}{a}|{b}"), "--".to_owned(), b, "end".to_owned()]);
    }

    #[test]
    fn an_own_element_is_the_value_or_a_refusal(a in "[^\0]{0,20}|-.{0,5}") {
        match fill(&["p", "{a}"], json!({"a": a})) {
            Ok(got) => prop_assert_eq!(got, [a]),
            Err(_) => prop_assert!(a.starts_with('-') || a.contains('\0')),
        }
    }
}
