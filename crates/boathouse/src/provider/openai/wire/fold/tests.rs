use std::path::{Path, PathBuf};

use boathouse_core::message::Reply;
use boathouse_core::run::event::CallErrorKind;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Fold, MAX_CALLS};
use crate::provider::ProviderError;
use crate::provider::sse::{SseError, SseReader};

/// The reply to a stream that arrives in these chunks, as the client folds it.
fn fold<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Reply, ProviderError> {
    let mut reader = SseReader::default();
    let mut fold = Fold::new();
    for chunk in chunks {
        reader.feed(chunk, |event| fold.frame(&event.data).map(|_| ())).map_err(|error| match error {
            SseError::Refused(error) => error,
            SseError::TooLarge(_) => ProviderError::new(CallErrorKind::Protocol, error.to_string()),
        })?;
    }
    fold.finish()
}

fn shown(result: &Result<Reply, ProviderError>) -> Value {
    match result {
        Ok(reply) => json!({ "reply": reply }),
        Err(error) => json!({ "error": { "kind": error.kind, "message": error.message } }),
    }
}

/// Name, stream and expected outcome of each fixture.
fn fixtures() -> Vec<(String, Vec<u8>, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/wire/openai");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(paths.len() >= 20, "fixtures are missing from {}", folder.display());
    let read = |path: &Path| std::fs::read(path).expect("the fixture is readable");
    paths
        .iter()
        .map(|path| {
            let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
            let expected = serde_json::from_slice(&read(&path.with_extension("json"))).expect("it is JSON");
            (name, read(path), expected)
        })
        .collect()
}

#[test]
fn every_recorded_stream_gives_its_reply_however_it_is_split() {
    for (name, stream, expected) in fixtures() {
        assert_eq!(shown(&fold([&stream[..]])), expected, "{name}");
        for at in 0..stream.len() {
            assert_eq!(shown(&fold([&stream[..at], &stream[at..]])), expected, "{name} split at {at}");
        }
        assert_eq!(shown(&fold(stream.chunks(1))), expected, "{name} byte by byte");
    }
}

#[test]
fn a_whole_completion_is_read_as_one_frame() {
    let body = json!({
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "A", "arguments": "{\"x\": 1}"}},
                {"id": "d", "type": "function", "function": {"name": "A", "arguments": "{\"x\": 2}"}},
            ]}, "finish_reason": "tool_calls"},
            {"index": 1, "message": {"content": "another choice"}},
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    });
    let mut fold = Fold::new();
    fold.frame(&body.to_string()).expect("it is readable");
    let reply = fold.finish().expect("it is whole");
    assert_eq!(reply.text, "Hi");
    assert_eq!(
        reply.calls.iter().map(|call| &*call.arguments).collect::<Vec<_>>(),
        [r#"{"x": 1}"#, r#"{"x": 2}"#]
    );
    assert_eq!(reply.usage.map(|usage| usage.input_tokens), Some(3));
}

#[test]
fn what_belongs_to_another_choice_is_left_out() {
    let mut fold = Fold::new();
    for (index, text) in [(0, "one"), (1, "XX"), (0, " two"), (1, "YY")] {
        let frame = json!({"choices": [{"index": index, "delta": {"content": text}}]});
        fold.frame(&frame.to_string()).expect("it is readable");
    }
    assert_eq!(fold.text(), "one two");
}

#[test]
fn a_reply_is_bounded() {
    let piece = |index: usize| {
        json!({"choices": [{"delta": {"tool_calls": [
        {"index": index, "id": format!("c{index}"), "function": {"name": "A"}}]}}]})
    };
    let mut fold = Fold::new();
    for index in 0..MAX_CALLS {
        fold.frame(&piece(index).to_string()).expect("so many are taken");
    }
    let error = fold.frame(&piece(MAX_CALLS).to_string()).expect_err("one more is not");
    assert_eq!(error.kind, CallErrorKind::Protocol);

    let text = json!({"choices": [{"delta": {"content": "x".repeat(1 << 20)}}]}).to_string();
    let mut fold = Fold::new();
    let taken = (0..100).take_while(|_| fold.frame(&text).is_ok()).count();
    assert_eq!(taken, 16);
}

/// A frame of one of some kinds with this between the quotes of its text, whatever that makes of it.
fn text_frame(kind: usize, text: &str) -> String {
    let kinds = [
        r#"{"id":"a","choices":[{"index":0,"delta":{"content":"@"},"finish_reason":null}],"usage":null}"#,
        r#"{"id":"a","choices":[{"index":0,"delta":{"content":"@"},"finish_reason":""}],"obfuscation":"x"}"#,
        r#"{"choices":[{"delta":{"content":"@","refusal":"no"}}]}"#,
        r#"{"choices":[{"delta":{"refusal":"@"}}]}"#,
        r#"{"choices":[{"delta":{"content":"@"},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"text","text":"@"}]}}]}"#,
        r#"{"choices":[{"delta":{"content":"@","tool_calls":[{"index":0,"id":"c","function":{"name":"A"}}]}}]}"#,
        r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
        r#"{"choices":[{"delta":{"content":"@"}},{"delta":{"content":"@"}}]}"#,
        r#"{"choices":[{"delta":{"content":null},"finish_reason":"@"}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"@"}}]}"#,
    ];
    kinds[kind % kinds.len()].replace('@', text)
}

#[test]
fn frames_that_differ_only_in_their_text_are_not_parsed() {
    let mut fold = Fold::new();
    fold.frame(&text_frame(0, "one")).expect("it is readable");
    assert_eq!(fold.last.text(&text_frame(0, " zw\u{f6}lf")), Some(" zw\u{f6}lf"));
    assert_eq!(fold.last.text(&text_frame(0, "")), Some(""));
    for parsed in [text_frame(0, r"\n"), text_frame(0, "\u{1}"), text_frame(0, "\""), text_frame(1, "one")] {
        assert_eq!(fold.last.text(&parsed), None, "{parsed}");
    }
}

proptest! {
    #[test]
    fn a_frame_means_the_same_after_another_as_alone(
        frames in prop::collection::vec(
            (0..11_usize, prop_oneof![
                4 => "[a-z ]{0,4}".boxed(),
                1 => any::<String>().boxed(),
                1 => prop::sample::select(vec![
                    r"\n", r"\", r#"\""#, "\"", "\u{1}", r"\ud800", r#"a"},"finish_reason":"stop","x":{"y":"z"#,
                ]).prop_map(str::to_owned).boxed(),
            ]),
            1..12,
        ),
    ) {
        let mut whole = Fold::new();
        let mut text = String::new();
        for (kind, added) in frames {
            let frame = text_frame(kind, &added);
            let mut alone = Fold::new();
            let told = alone.frame(&frame).map_err(|error| error.to_string());
            prop_assert_eq!(whole.frame(&frame).map_err(|error| error.to_string()), told.clone());
            if told.is_err() {
                break;
            }
            text.push_str(alone.text());
            prop_assert_eq!(whole.text(), &text);
            prop_assert!(alone.finish.is_none() || whole.finish == alone.finish);
            prop_assert!(alone.usage.is_none() || whole.usage == alone.usage);
            prop_assert!(whole.refused >= alone.refused && whole.calls.len() >= alone.calls.len());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = fold([&bytes[..]]);
        let _ = Fold::new().frame(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_damage_to_a_stream_makes_it_panic(
        fixture in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let fixtures = fixtures();
        let (_, mut stream, _) = fixtures[fixture.index(fixtures.len())].clone();
        for (at, byte) in damage {
            if !stream.is_empty() {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
        }
        let whole = shown(&fold([&stream[..]]));
        prop_assert_eq!(shown(&fold(stream.chunks(7))), whole);
    }
}
