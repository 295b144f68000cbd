use super::check;

#[test]
fn a_whole_file_is_accepted() {
    let text = r#"
rules:
  - agent: triage
    model: fast
    when: "(?i)cpu|máy (?<which>\\w+)"
    input: slow
    call: 1
    attempt: 2
    reply: "It is at {{result.GetCPUUsage}} for {{ input }}; you said {{last}} of {{match.which}}. JSON: {\"a\": {\"b\": 1}}"
    tools:
      - name: GetCPUUsage
      - {name: PingHost, arguments: {host: "{{input}}", count: 4}}
    delay_ms: 5
    piece_delay_ms: 1
    pieces: 3
    usage: {input_tokens: 10, output_tokens: 4}
  - error: {kind: rate_limited, message: slow down, retry_after_ms: 250}
  - pieces: ["one ", "two"]
"#;
    assert_eq!(check(text), []);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        ("rules:\n  - agnt: a\n    reply: x\n", "scripted.yaml:2:", "agnt"),
        (
            "rules:\n  - agent: a\n",
            "scripted.yaml:2:5: ",
            "the rule gives nothing; add `reply`, `tools` or `error`",
        ),
        (
            "rules:\n  - when: 'a(b'\n    reply: x\n",
            "scripted.yaml:2:11: ",
            "`when` is not a regular expression: unclosed group",
        ),
        (
            "rules:\n  - reply: 'see {{resutl.A}}'\n",
            "scripted.yaml:2:12: ",
            "unknown placeholder `{{resutl.A}}`",
        ),
        (
            "rules:\n  - when: '(?<host>.*)'\n    reply: '{{match.hosts}}'\n",
            "scripted.yaml:3:12: ",
            "the rule has no group `hosts`; write `(?<hosts>...)` in its `when` or `input`",
        ),
        ("rules:\n  - reply: x\n    call: 0\n", "scripted.yaml:3:11: ", "`call` counts from 1"),
        (
            "rules:\n  - tools: [{name: A, arguments: [1]}]\n",
            "scripted.yaml:2:",
            "`arguments` of `A` must be",
        ),
        ("rules:\n  - reply: x\n    pieces: 0\n", "scripted.yaml:3:13: ", "`pieces` must be between 1"),
        ("rules:\n  - reply: x\n    pieces: [a]\n", "scripted.yaml:3:13: ", "leave `reply` out"),
        ("rules:\n  - error: {kind: oops}\n", "scripted.yaml:2:", "oops"),
        ("rules: [\n", "scripted.yaml:", ""),
        ("", "scripted.yaml: ", "rules"),
        ("a: 1\n", "scripted.yaml:1:1: ", "rules"),
    ];
    for (text, place, why) in cases {
        let faults = check(text);
        let error = faults.first().expect(text).to_string();
        assert!(error.starts_with(place), "{text:?} gave {error:?}, expected it at {place:?}");
        assert!(error.contains(why), "{text:?} gave {error:?}, expected {why:?} in it");
        assert!(!error.contains('\n'), "{text:?} gave several lines: {error:?}");
    }
}

#[test]
fn a_file_that_grows_when_it_is_read_is_refused() {
    let mut text = "rules:\n  - reply: x\n    pieces: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let list = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("  - tools: [{{name: A, arguments: {{a: &a{level} [{list}]}}}}]\n"));
    }
    let error = check(&text).first().expect("it would fill the memory").to_string();
    assert!(error.starts_with("scripted.yaml:"), "{error}");
}

#[test]
fn every_rule_that_is_wrong_is_said() {
    let faults = check("rules:\n  - {reply: '{{x}}'}\n  - {reply: fine}\n  - {agent: a}\n");
    assert_eq!(faults.iter().map(|fault| (fault.line, fault.column)).collect::<Vec<_>>(), [(2, 13), (4, 5)]);
}
