use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use boathouse_core::crew::{AgentIx, Crew, HandoffStyle, Model, Parameters, Settings};
use boathouse_core::ids::{AgentId, CallId, RunId};
use boathouse_core::message::{Finish, Usage};
use boathouse_core::run::event::CallErrorKind;
use boathouse_core::run::request::{ModelRequest, PromptMessage};

use super::super::{Deltas, NoDeltas, Provider, ProviderError};
use super::{KEPT, Scripted};

pub(in crate::provider) fn request(script: &str, messages: Vec<PromptMessage>) -> ModelRequest {
    let source = BTreeMap::from([("scripted.yaml".to_owned(), script.to_owned())]);
    ModelRequest {
        run: RunId::new("run"),
        call: CallId(7),
        attempt: 1,
        crew: Arc::new(Crew {
            name: "desk".to_owned(),
            description: String::new(),
            hash: Arc::from(script),
            source,
            agents: Vec::new(),
            entry: AgentIx(0),
            groups: Vec::new(),
            vars: Default::default(),
            tools: Vec::new(),
            handoff: HandoffStyle::Signal,
            settings: Settings::default(),
        }),
        agent: AgentId::new("triage"),
        purpose: Default::default(),
        agent_call: 1,
        model: Model { provider: "scripted".to_owned(), model: "m".to_owned(), base_url: None },
        parameters: Parameters::default(),
        system: String::new(),
        messages,
        tools: Vec::new(),
    }
}

pub(in crate::provider) fn user(text: &str) -> PromptMessage {
    PromptMessage::User { text: text.to_owned() }
}

fn result(tool: &str, output: &str) -> PromptMessage {
    PromptMessage::Tool {
        id: "1".to_owned(),
        tool: tool.to_owned(),
        output: output.to_owned(),
        failed: false,
    }
}

async fn text(request: &ModelRequest) -> String {
    Scripted::new().reply(request, &NoDeltas).await.expect("a rule fits").text
}

async fn error(request: &ModelRequest) -> ProviderError {
    Scripted::new().reply(request, &NoDeltas).await.expect_err("it fails")
}

#[derive(Default)]
struct Pieces(Mutex<Vec<String>>);

impl Deltas for Pieces {
    fn text(&self, piece: &str) {
        self.0.lock().expect("not poisoned").push(piece.to_owned());
    }
}

#[tokio::test]
async fn the_first_rule_that_fits_in_file_order_answers() {
    let script = r#"
rules:
  - {agent: other, reply: for another agent}
  - {model: big, reply: for another model}
  - {call: 2, reply: second call}
  - {attempt: 2, reply: second attempt}
  - {when: '(?i)urgent', reply: urgent}
  - {input: printer, reply: about a printer}
  - {reply: anything else}
  - {reply: never}
"#;
    let mut asked = request(script, vec![user("hello")]);
    assert_eq!(text(&asked).await, "anything else");
    asked.agent_call = 2;
    assert_eq!(text(&asked).await, "second call");
    asked.agent_call = 1;
    asked.attempt = 2;
    assert_eq!(text(&asked).await, "second attempt");
    asked.attempt = 1;
    asked.model.model = "big".to_owned();
    assert_eq!(text(&asked).await, "for another model");
    assert_eq!(text(&request(script, vec![user("URGENT: the printer")])).await, "urgent");
    let later = vec![user("the printer is off"), result("GetCPUUsage", "3%")];
    assert_eq!(text(&request(script, later)).await, "about a printer");
}

#[tokio::test]
async fn replies_quote_results_input_and_the_last_message() {
    let script =
        "rules: [{reply: 'cpu {{result.Cpu}}, disk {{ result.Disk }}, of {{input}}, after {{last}}'}]";
    let block = "\n[📊 TOOL EXECUTION RESULTS]\n\nDisk:\n  Status: success\n  Output: 40%\nused\n\nCpu:\n  Status: \
                 success\n  Output: 9%\n\n[END RESULTS]\n";
    let native = vec![user("how?"), user(block), result("Cpu", "3%"), result("Cpu", "4%")];
    assert_eq!(text(&request(script, native)).await, "cpu 4%, disk 40%\nused, of how?, after 3%\n4%");
    let by_text = request("rules: [{reply: 'cpu {{result.Cpu}}'}]", vec![user("how?"), user(block)]);
    assert_eq!(text(&by_text).await, "cpu 9%");

    let group = "[team]\n\n[📊 PARALLEL EXECUTION RESULTS]\n\n[lan]\nFine.\n\nCpu:\n  Status: success\n  Output: 5%\n\n\
                 [hoa]\nStatus: failed: no answer\n\n\n[END PARALLEL RESULTS]\n";
    let joined = request("rules: [{reply: 'cpu {{result.Cpu}}'}]", vec![user("how?"), user(group)]);
    assert_eq!(text(&joined).await, "cpu 5%");

    let missing = error(&request(script, vec![user("how?")])).await;
    assert_eq!(missing.kind, CallErrorKind::Config);
    assert!(missing.message.contains("quotes a result of `Cpu`, but the prompt holds none"), "{missing}");
}

#[tokio::test]
async fn replies_quote_what_the_patterns_matched() {
    let script = "rules: [{when: 'name(?<mark>[?!])?', input: '(?i)i am (?<name>\\w+)(?<mark>.*)', \
                  reply: '{{match.name}}, {{ match.mark }}', tools: [{name: Note, arguments: {who: '{{match.name}}'}}]}]";
    let asked =
        request(script, vec![user("I am Ada."), user("I am An."), user("[assistant]\nHi"), user("my name?")]);
    // The newest message of the user does not fit, the first one does. `mark` is in both patterns: `when` goes first.
    let reply = Scripted::new().reply(&asked, &NoDeltas).await.expect("a rule fits");
    assert_eq!(reply.text, "Ada, ?");
    assert_eq!(reply.calls[0].arguments, r#"{"who":"Ada"}"#);
    let asked = request(script, vec![user("I am Ada."), user("I am An, what is my name")]);
    assert_eq!(text(&asked).await, "An, ");
}

#[tokio::test]
async fn the_input_is_what_the_person_said() {
    let script = "rules: [{input: '^printer', reply: 'first: {{input}}'}, {reply: 'then: {{input}}'}]";
    let block = "\n[📊 TOOL EXECUTION RESULTS]\n\nA:\n  Status: success\n  Output: x\n\n[END RESULTS]\n";
    let said = vec![user("printer"), user("[assistant]\nWhich?"), user("[INFO] the big one"), user(block)];
    assert_eq!(text(&request(script, said)).await, "first: [INFO] the big one");
    let said = vec![user("screen"), user("[assistant]\nprinter")];
    assert_eq!(text(&request(script, said)).await, "then: screen");
}

#[tokio::test]
async fn native_calls_are_made_with_placeholders_filled_in() {
    let script = r#"
rules:
  - reply: looking
    tools:
      - {name: Ping, arguments: {host: "{{input}}", opts: [1, "{{last}}"]}}
      - {name: Now}
      - {name: Bad, arguments: "{not json"}
    usage: {input_tokens: 3, output_tokens: 4}
"#;
    let reply =
        Scripted::new().reply(&request(script, vec![user("db1")]), &NoDeltas).await.expect("a rule fits");
    let calls: Vec<(&str, &str, &str)> =
        reply.calls.iter().map(|call| (&*call.id, &*call.tool, &*call.arguments)).collect();
    assert_eq!(
        calls,
        [
            ("scripted_7_1", "Ping", r#"{"host":"db1","opts":[1,"db1"]}"#),
            ("scripted_7_2", "Now", "{}"),
            ("scripted_7_3", "Bad", "{not json"),
        ]
    );
    assert_eq!(reply.finish, Finish::ToolCalls);
    assert_eq!(reply.usage, Some(Usage { input_tokens: 3, output_tokens: 4 }));
}

#[tokio::test(start_paused = true)]
async fn text_streams_in_pieces_with_delays() {
    let cases = [
        (
            "rules: [{reply: 'one two  three', delay_ms: 100, piece_delay_ms: 10}]",
            &["one ", "two ", " ", "three"][..],
        ),
        ("rules: [{reply: 'chào bạn', pieces: 2, delay_ms: 120, piece_delay_ms: 10}]", &["chào", " bạn"]),
        ("rules: [{pieces: ['a', '', 'b'], delay_ms: 110, piece_delay_ms: 10}]", &["a", "b"]),
    ];
    for (script, expected) in cases {
        let began = tokio::time::Instant::now();
        let pieces = Pieces::default();
        let reply =
            Scripted::new().reply(&request(script, vec![user("x")]), &pieces).await.expect("a rule fits");
        let pieces = pieces.0.into_inner().expect("not poisoned");
        assert_eq!(pieces, expected);
        assert_eq!(reply.text, pieces.concat());
        assert_eq!(began.elapsed(), Duration::from_millis(130));
    }
}

#[tokio::test]
async fn an_error_may_follow_a_part_of_the_reply() {
    let script =
        "rules: [{reply: 'half a', error: {kind: server, message: overloaded, retry_after_ms: 250}}]";
    let pieces = Pieces::default();
    let error = Scripted::new()
        .reply(&request(script, vec![user("x")]), &pieces)
        .await
        .expect_err("the rule is an error");
    assert_eq!((error.kind, &*error.message), (CallErrorKind::Server, "overloaded"));
    assert_eq!(error.retry_after, Some(Duration::from_millis(250)));
    assert_eq!(pieces.0.into_inner().expect("not poisoned"), ["half ", "a"]);
}

#[tokio::test]
async fn no_rule_no_file_and_a_broken_file_are_config_errors_that_say_where() {
    let none = error(&request("rules: [{agent: other, reply: x}]", vec![user("my screen is black")])).await;
    assert_eq!(none.kind, CallErrorKind::Config);
    for part in ["agent `triage`", "call 1", "my screen is black"] {
        assert!(none.message.contains(part), "{none} lacks {part}");
    }

    let broken = error(&request("rules:\n  - when: '('\n    reply: x\n", vec![user("x")])).await;
    assert_eq!(broken.kind, CallErrorKind::Config);
    assert!(broken.message.starts_with("scripted.yaml:2:11: "), "{broken}");

    let mut bare = request("", vec![user("x")]);
    Arc::get_mut(&mut bare.crew).expect("not shared").source.clear();
    let bare = error(&bare).await;
    assert_eq!(bare.kind, CallErrorKind::Config);
    assert!(bare.message.contains("crew `desk` has no scripted.yaml"), "{bare}");
}

#[tokio::test]
async fn scripts_of_many_crews_are_kept_up_to_a_bound() {
    let scripted = Scripted::new();
    for crew in 0..KEPT * 3 {
        let asked = request(&format!("rules: [{{reply: 'crew {crew}'}}]"), vec![user("x")]);
        for _ in 0..2 {
            let reply = scripted.reply(&asked, &NoDeltas).await.expect("a rule fits");
            assert_eq!(reply.text, format!("crew {crew}"));
        }
        assert!(scripted.scripts.lock().expect("not poisoned").len() <= KEPT);
    }
}
