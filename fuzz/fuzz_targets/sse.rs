//! A model's stream: server-sent events, and the reply that their frames fold to. The first byte says how the rest is
//! split.
//!
//! How bytes are split makes no difference, not even to what is refused; and a reply is within its bounds.
#![no_main]

use std::convert::Infallible;

use boathouse::provider::openai::wire::Fold;
use boathouse::provider::openai::wire::fold::{MAX_CALLS, MAX_REPLY_BYTES};
use boathouse::provider::sse::{SseError, SseReader};
use libfuzzer_sys::fuzz_target;

/// Small enough for inputs to exceed it.
const MAX_EVENT: usize = 512;

fuzz_target!(|data: &[u8]| {
    let Some((size, stream)) = data.split_first() else { return };
    let whole = read([stream]);
    assert_eq!(whole, read(stream.chunks(1)));
    assert_eq!(whole, read(stream.chunks(usize::from(*size) + 1)));
    let (one, other) = stream.split_at(stream.len().min(usize::from(*size)));
    assert_eq!(whole, read([one, &[], other]));

    let mut fold = Fold::new();
    let mut before = 0;
    for event in &whole.0 {
        if fold.frame(&event.data).is_err() {
            return;
        }
        assert!(fold.text().len() >= before);
        before = fold.text().len();
    }
    if let Ok(reply) = fold.finish() {
        assert!(reply.calls.len() <= MAX_CALLS && reply.text.len() <= MAX_REPLY_BYTES);
        assert!(reply.calls.iter().all(|call| !call.tool.is_empty()));
    }
});

#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    data: String,
    id: String,
}

/// The events, and whether one was too large.
fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, bool) {
    let mut reader = SseReader::new(MAX_EVENT);
    let mut events = Vec::new();
    for chunk in chunks {
        let fed = reader.feed(chunk, |event| {
            let (name, data, id) = (event.name.to_owned(), event.data.into_owned(), event.id.to_owned());
            events.push(Event { name, data, id });
            Ok::<_, Infallible>(())
        });
        match fed {
            Ok(()) => {}
            Err(SseError::TooLarge(_)) => return (events, true),
            Err(SseError::Refused(never)) => match never {},
        }
    }
    (events, false)
}
