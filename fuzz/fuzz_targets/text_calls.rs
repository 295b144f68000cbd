//! Tool calls written in text.
//!
//! Calls come in the order of the text, apart from each other, and are found again when they stand alone.
#![no_main]

use std::sync::LazyLock;

use boathouse::core::crew::ToolSpec;
use boathouse::core::run::text_calls::parse;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

static TOOLS: LazyLock<Vec<ToolSpec>> = LazyLock::new(|| {
    let none = json!({"type": "object", "properties": {}});
    let ping = json!({
        "type": "object",
        "properties": {"host": {"type": "string"}, "count": {"type": "integer"}, "fast": {"type": "boolean"}},
        "required": ["host"],
    });
    let save = json!({
        "type": "object",
        "properties": {
            "data": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "tags": {"type": "array", "items": {"type": "string"}},
            "rate": {"type": ["number", "null"]},
            "mode": {"enum": ["a", "b", 3]},
        },
        "required": ["data"],
    });
    vec![
        ToolSpec::new("GetCPUUsage", "", none),
        ToolSpec::new("PingHost", "", ping),
        ToolSpec::new("Save", "", save),
        ToolSpec::new("Any", "", json!({"type": "object"})),
    ]
});

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let tools: Vec<&ToolSpec> = TOOLS.iter().collect();
    let calls = parse(&text, &tools);
    let mut after = 0;
    for call in &calls {
        let range = call.range.clone();
        assert!(after <= range.start && range.start < range.end, "{call:?} after {after}");
        let written = text.get(range.clone()).expect("a range of whole characters");
        assert!(written.starts_with(&call.tool), "{written:?}");
        assert!(TOOLS.iter().any(|tool| tool.name == call.tool));
        after = range.end;
        match &call.arguments {
            Ok(arguments) => {
                assert!(arguments.is_object());
                let alone = parse(written, &tools);
                assert!(
                    matches!(&alone[..], [again] if again.arguments == call.arguments && again.range == (0..written.len())),
                    "{written:?} alone gives {alone:?}"
                );
            }
            Err(why) => assert!(!why.trim().is_empty()),
        }
    }
    assert_eq!(calls, parse(&text, &tools));
});
