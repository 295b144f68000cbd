use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

fn ping() -> ToolSpec {
    ToolSpec::new(
        "PingHost",
        "",
        json!({
            "type": "object",
            "properties": {"host": {"type": "string"}, "count": {"type": "integer"}},
            "required": ["host"],
        }),
    )
}

fn cpu() -> ToolSpec {
    ToolSpec::new("GetCPUUsage", "", json!({"type": "object", "properties": {}}))
}

fn anything() -> ToolSpec {
    ToolSpec::new("Any", "", json!({"type": "object"}))
}

fn save() -> ToolSpec {
    let parameters = json!({
        "type": "object",
        "properties": {"data": {"type": "object", "properties": {"n": {"type": "integer"}}}, "note": {"type": "string"}},
        "required": ["data"],
    });
    ToolSpec::new("Save", "", parameters)
}

/// One call: its arguments. The last of several: `None`.
fn one(tool: &ToolSpec, text: &str) -> Option<Result<Value, String>> {
    let mut calls = parse(text, &[tool]);
    if calls.len() == 1 { calls.pop().map(|call| call.arguments) } else { None }
}

fn names(text: &str) -> Vec<String> {
    parse(text, &[&ping(), &cpu()]).into_iter().map(|call| call.tool).collect()
}

#[test]
fn calls_stand_alone_on_their_line() {
    for text in [
        "GetCPUUsage()",
        "  GetCPUUsage()  ",
        "I look.\nGetCPUUsage()\nThen we see.",
        "- GetCPUUsage()",
        "* GetCPUUsage().",
        "1. GetCPUUsage()",
        "2) `GetCPUUsage()`",
        "(3) **GetCPUUsage()**",
        "a) GetCPUUsage()",
        "• GetCPUUsage()",
        "→ GetCPUUsage()",
        "🛠️ GetCPUUsage()",
        "1️⃣ GetCPUUsage()",
        "> _GetCPUUsage()_",
        "__GetCPUUsage()__",
        "```\nGetCPUUsage()\n```",
        "```tool_code\nGetCPUUsage()  # the load\n```",
        "```GetCPUUsage()```",
        "Unknown(1) GetCPUUsage()",
        "GetCPUUsage()\r\n",
        "GetCPUUsage(\n)",
    ] {
        assert_eq!(names(text), ["GetCPUUsage"], "{text:?}");
    }
    assert_eq!(
        names("GetCPUUsage() PingHost(a); `GetCPUUsage()`"),
        ["GetCPUUsage", "PingHost", "GetCPUUsage"]
    );
    assert_eq!(names("PingHost(a)\nPingHost(a)"), ["PingHost", "PingHost"]);
}

#[test]
fn prose_is_not_a_call() {
    for text in [
        "you can use GetCPUUsage() to see the load",
        "GetCPUUsage() shows the load",
        "1. GetCPUUsage() - shows the load",
        "GetCPUUsage() and then PingHost(a)",
        "GetCPUUsage() Unknown(",
        "Use GetCPUUsage()",
        "x = GetCPUUsage()",
        "MyGetCPUUsage()",
        "GetCPUUsage2()",
        "Tool.GetCPUUsage()",
        "x.GetCPUUsage()",
        "dùng GetCPUUsage()",
        "“GetCPUUsage()” is a tool",
        "getcpuusage()",
        "GetCPUUsage ()",
        "GetCPUUsage",
        "GetCPUUsage() # outside a fence",
        "Unknown(1)",
        "print(GetCPUUsage())",
        "",
    ] {
        assert_eq!(names(text), [""; 0], "{text:?}");
    }
}

#[test]
fn arguments_are_read_by_name_order_and_type() {
    for (text, expected) in [
        (r#"PingHost("10.0.0.1", 4)"#, json!({"host": "10.0.0.1", "count": 4})),
        (r#"PingHost(host="a", count=4)"#, json!({"host": "a", "count": 4})),
        (r#"PingHost(count: "5", host: 'a')"#, json!({"host": "a", "count": 5})),
        (r#"PingHost("host": "a", "count": 5.0)"#, json!({"host": "a", "count": 5})),
        ("PingHost(10.0.0.1, count=4,)", json!({"host": "10.0.0.1", "count": 4})),
        ("PingHost(count=4, srv)", json!({"host": "srv", "count": 4})),
        ("PingHost(5)", json!({"host": "5"})),
        ("PingHost(`a`)", json!({"host": "a"})),
        ("PingHost(“a”)", json!({"host": "a"})),
        ("PingHost(\"\"\"a \"quoted\"\nline\"\"\")", json!({"host": "a \"quoted\"\nline"})),
        ("PingHost('''it's''')", json!({"host": "it's"})),
        (r#"PingHost("a)b, (c")"#, json!({"host": "a)b, (c"})),
        (
            r#"PingHost("say \"hi\"\n\u00e9\ud83d\ude00\x41\u{1F600}\d")"#,
            json!({"host": "say \"hi\"\né😀A😀\\d"}),
        ),
        ("PingHost(it's here)", json!({"host": "it's here"})),
        ("PingHost(http://a/b?x=1)", json!({"host": "http://a/b?x=1"})),
        (r#"PingHost(run "a)b" (c, d))"#, json!({"host": "run \"a)b\" (c, d)"})),
        ("PingHost(\n  host = \"a\",\n  count = 4\n)", json!({"host": "a", "count": 4})),
        (r#"PingHost({"host": "a", "count": "4"})"#, json!({"host": "a", "count": 4})),
        ("PingHost({host: a})", json!({"host": "a"})),
        ("PingHost(host=a, count=None)", json!({"host": "a"})),
        ("PingHost(host=[1, {a: 2}])", json!({"host": "[1, {a: 2}]"})),
        ("PingHost()", json!({})),
        ("PingHost(hots=a)", json!({"hots": "a"})),
        ("PingHost(a, count=many)", json!({"host": "a", "count": "many"})),
    ] {
        assert_eq!(one(&ping(), text), Some(Ok(expected)), "{text}");
    }
    for (text, expected) in [
        (
            "Any(a=1, b: -2.5, c=True, d=null, e=[1, \"2\", x], f={k: 'v', \"w\": []}, g=007)",
            json!({"a": 1, "b": -2.5, "c": true, "d": null, "e": [1, "2", "x"], "f": {"k": "v", "w": []}, "g": "007"}),
        ),
        ("Any(n=123456789012345678901234567890)", json!({"n": "123456789012345678901234567890"})),
    ] {
        assert_eq!(one(&anything(), text), Some(Ok(expected)), "{text}");
    }
    for (text, expected) in [
        (r#"Save({"n": "1"})"#, json!({"data": {"n": 1}})),
        (r#"Save({"data": {"n": 1}, "note": "x"})"#, json!({"data": {"n": 1}, "note": "x"})),
        (r#"Save("{\"n\": 1}")"#, json!({"data": {"n": 1}})),
        (r#"Save({"n": 1}, {"as": "text"})"#, json!({"data": {"n": 1}, "note": "{\"as\": \"text\"}"})),
    ] {
        assert_eq!(one(&save(), text), Some(Ok(expected)), "{text}");
    }
}

#[test]
fn types_come_from_enums_unions_and_references() {
    let tool = ToolSpec::new(
        "T",
        "",
        json!({
            "type": "object",
            "$defs": {"Level": {"enum": ["low", "high", 3, null]}, "Loop": {"$ref": "#/$defs/Loop"}},
            "properties": {
                "level": {"$ref": "#/$defs/Level"},
                "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "both": {"type": ["string", "integer"]},
                "list": {"type": "array", "items": {"type": "number"}},
                "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}]},
                "flag": {"type": "boolean"},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "loop": {"$ref": "#/$defs/Loop"},
            },
        }),
    );
    for (text, expected) in [
        ("T(level=high)", json!({"level": "high"})),
        ("T(level=\"3\")", json!({"level": 3})),
        ("T(level=None)", json!({"level": null})),
        ("T(level=other)", json!({"level": "other"})),
        ("T(either=\"7\")", json!({"either": 7})),
        ("T(either=null)", json!({"either": null})),
        ("T(both=7)", json!({"both": 7})),
        ("T(both=\"7\")", json!({"both": "7"})),
        ("T(list=[\"1\", 2.5, 1e3])", json!({"list": [1, 2.5, 1000.0]})),
        ("T(list=\"[1, 2]\")", json!({"list": [1, 2]})),
        ("T(pair=[1, \"TRUE\"])", json!({"pair": ["1", true]})),
        ("T(flag=\"false\")", json!({"flag": false})),
        ("T(map={a: 1, b: true})", json!({"map": {"a": "1", "b": "true"}})),
        ("T(loop=1)", json!({"loop": 1})),
    ] {
        assert_eq!(one(&tool, text), Some(Ok(expected)), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_to_the_model() {
    let messages: Vec<String> = [
        "PingHost(\"a",
        "PingHost(a",
        "PingHost(\"a\" b)",
        "PingHost(a, 1, 2)",
        "PingHost(host=a, host=b)",
        "PingHost(, a)",
        "PingHost(host=)",
        "PingHost([1, 2)",
        "PingHost((a])",
        "PingHost({a})",
        "GetCPUUsage(all)",
        &format!("PingHost({}{})", "[".repeat(70), "]".repeat(70)),
    ]
    .iter()
    .map(|text| match one(&if text.starts_with('P') { ping() } else { cpu() }, text) {
        Some(Err(message)) => message,
        other => format!("{text} gave {other:?}"),
    })
    .collect();
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_broken_call_ends_with_its_line() {
    let text = "PingHost(host=\"a)\nPingHost(host=\"b\")\nPingHost(\n";
    let calls = parse(text, &[&ping()]);
    assert_eq!(calls.len(), 3);
    assert!(calls[0].arguments.is_err());
    assert_eq!(calls[1].arguments, Ok(json!({"host": "b"})));
    assert!(calls[2].arguments.is_err());
    assert_eq!(&text[calls[0].range.clone()], "PingHost(host=\"a)");
    assert_eq!(&text[calls[1].range.clone()], "PingHost(host=\"b\")");
}

#[test]
fn hostile_texts_are_read_twice_at_most() {
    let tool = ping();
    for piece in [
        "(",
        ")",
        "\"",
        "'",
        "`",
        "\\",
        "[",
        "{",
        "{a:",
        "{\"a\":",
        "PingHost(",
        "PingHost(\n",
        "PingHost(\"\n",
        "PingHost('\\\"\n",
        "PingHost(\"\"\"\n",
        "PingHost([\n",
        "PingHost({a:\n",
        "PingHost(a) ",
        "PingHost(a) x\n",
        "PingHost(\n) x\n",
        "x(",
        "x(\n",
        "x() ",
        "_",
        "*",
        "a",
        "1. ",
        "(1)",
        "```\n",
        "PingHost(a,",
        "PingHost(\"a\\",
    ] {
        let many = piece.repeat(100_000 / piece.len());
        parse(&many, &[&tool]);
        parse(&format!("PingHost({many}"), &[&tool]);
        parse(&format!("PingHost({many})"), &[&tool]);
        parse(&format!("PingHost(\"{many}"), &[&tool]);
    }
}

/// How the reference printer writes.
#[derive(Clone, Debug)]
struct Style {
    quote: usize,
    named: usize,
    space: &'static str,
    fence: bool,
    marker: &'static str,
}

fn print_string(text: &str, style: &Style) -> String {
    let quote = ["\"", "'", "`", "\"\"\"", "'''"][style.quote];
    let mut out = quote.to_owned();
    for c in text.chars() {
        match c {
            '\\' | '"' | '\'' | '`' => out.extend(['\\', c]),
            '\n' if style.quote < 3 => out.push_str("\\n"),
            _ => out.push(c),
        }
    }
    out + quote
}

fn print(value: &Value, style: &Style) -> String {
    let comma = format!(",{}", style.space);
    match value {
        Value::String(text) => print_string(text, style),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| print(item, style)).collect::<Vec<_>>().join(&comma))
        }
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{}:{}{}", print_string(key, style), style.space, print(value, style))
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(&comma))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn print_call(arguments: &[(String, Value)], style: &Style) -> String {
    let written: Vec<String> = arguments
        .iter()
        .enumerate()
        .map(|(at, (name, value))| match style.named {
            _ if at < style.named => print(value, style),
            named if named % 2 == 0 => format!("{name}={}", print(value, style)),
            _ => format!("{name}:{}{}", style.space, print(value, style)),
        })
        .collect();
    let call = format!("{}T({})", style.marker, written.join(&format!(",{}", style.space)));
    if style.fence { format!("```\n{call}\n```") } else { call }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[\"'`\\\\()\\[\\]{},:=\n a]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn styles() -> impl Strategy<Value = Style> {
    let space = prop::sample::select(vec!["", " ", "\n  "]);
    let marker = prop::sample::select(vec!["", "- ", "3. ", "  "]);
    (0..5usize, 0..5usize, space, any::<bool>(), marker)
        .prop_map(|(quote, named, space, fence, marker)| Style { quote, named, space, fence, marker })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn calls_read_back_as_written(
        values in prop::collection::vec(values(), 1..4),
        more in styles(),
        times in 1..3usize,
    ) {
        // An object as the only argument would be all arguments: the first parameter is declared as anything, the call gives it a name.
        let lone_object = values.len() == 1 && values[0].is_object();
        let style = Style { named: if lone_object { 0 } else { more.named }, ..more };
        let arguments: Vec<(String, Value)> =
            values.into_iter().enumerate().map(|(at, value)| (format!("p{at}"), value)).collect();
        let properties: Map<String, Value> = arguments.iter().map(|(name, _)| (name.clone(), json!({}))).collect();
        let tool = ToolSpec::new("T", "", json!({"type": "object", "properties": properties}));
        let call = print_call(&arguments, &style);
        let text = vec![format!("Some words first.\n{call}"); times].join("\nAnd again.\n");
        let expected: Map<String, Value> = arguments.into_iter().collect();
        let calls = parse(&text, &[&tool]);
        prop_assert_eq!(calls.len(), times, "{}", &text);
        for found in calls {
            prop_assert_eq!(found.arguments, Ok(Value::Object(expected.clone())), "{}", &text);
        }
    }

    #[test]
    fn nothing_panics(text in ".{0,200}") {
        parse(&text, &[&ping(), &cpu(), &anything()]);
    }

    #[test]
    fn nothing_near_a_call_panics(pieces in prop::collection::vec(prop::sample::select(vec![
        "PingHost", "Any", "(", ")", "[", "]", "{", "}", "\"", "'", "`", "\"\"\"", "\\", "\\u", "d83d", ",", ":", "=",
        " ", "\n", "a", "5", "é", "“", "”", "- ", "1.", "**", "```", "null",
    ]), 0..40)) {
        let text: String = pieces.concat();
        let calls = parse(&text, &[&ping(), &cpu(), &anything()]);
        let mut end = 0;
        for call in calls {
            prop_assert!(call.range.start >= end, "calls are in order and apart");
            prop_assert!(text[call.range.clone()].starts_with(&call.tool));
            end = call.range.end;
        }
    }
}
