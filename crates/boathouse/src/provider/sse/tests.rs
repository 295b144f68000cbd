use std::convert::Infallible;

use proptest::prelude::*;

use super::{SseError, SseReader};

type Event = (String, String, String);

/// The events of a stream that arrives in these chunks.
fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut reader = SseReader::default();
    let mut events = Vec::new();
    for chunk in chunks {
        let fed: Result<(), SseError<Infallible>> = reader.feed(chunk, |event| {
            events.push((event.name.to_owned(), event.data.clone().into_owned(), event.id.to_owned()));
            Ok(())
        });
        fed.expect("it is small");
    }
    events
}

fn data(stream: &[u8]) -> Vec<String> {
    read([stream]).into_iter().map(|(_, data, _)| data).collect()
}

#[test]
fn the_standards_examples_read_as_it_says() {
    // The examples of section 9.2.6.
    assert_eq!(data(b"data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
    let stream =
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
    let event = |data: &str, id: &str| (String::new(), data.to_owned(), id.to_owned());
    assert_eq!(
        read([&stream[..]]),
        [event("first event", "1"), event("second event", ""), event(" third event", "")]
    );
    assert_eq!(data(b"data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
    assert_eq!(data(b"data:test\n\ndata: test\n\n"), ["test", "test"]);
}

#[test]
fn every_line_end_comments_and_unknown_fields_are_read() {
    assert_eq!(data(b"data: a\r\rdata: b\r\n\r\ndata: c\n\n"), ["a", "b", "c"]);
    assert_eq!(data(b"\xEF\xBB\xBFdata: after a mark\n\n"), ["after a mark"]);
    assert_eq!(data(b"\n\xEF\xBB\xBFdata: a mark only counts at the start\n\n"), Vec::<String>::new());
    assert_eq!(data(b"retry: 10\nfoo: bar\n:keep-alive\ndata: x\n\nevent: lone\n\n"), ["x"]);
    let named = read([&b"event: error\ndata: {}\n\ndata: next\n\n"[..]]);
    assert_eq!(named[0].0, "error");
    assert_eq!(named[1].0, "", "a name does not carry over");
    assert_eq!(data(b"data: \xFF\n\n"), ["\u{FFFD}"]);
}

#[test]
fn a_carriage_return_at_the_end_of_a_chunk_ends_the_line_at_once() {
    let mut reader = SseReader::default();
    let mut events = 0;
    let mut feed = |reader: &mut SseReader, chunk: &[u8]| {
        let fed: Result<(), SseError<Infallible>> = reader.feed(chunk, |_| {
            events += 1;
            Ok(())
        });
        fed.expect("it is small");
        events
    };
    assert_eq!(feed(&mut reader, b"data: x\r\n\r"), 1);
    assert_eq!(feed(&mut reader, b"\ndata: y\n\n"), 2);
}

#[test]
fn an_event_too_large_is_refused_however_it_arrives() {
    let streams: [&[u8]; 4] = [
        b"data: 0123456789012345678901234567\n\n",
        b": 0123456789012345678901234567890\n\n",
        b"data: 01234567890\ndata: 01234567890\ndata: 12345\n\n",
        b"0123456789012345678901234567890123",
    ];
    for stream in streams {
        for size in 1..=stream.len() {
            let mut reader = SseReader::new(32);
            let fed: Result<(), SseError<Infallible>> =
                stream.chunks(size).try_for_each(|chunk| reader.feed(chunk, |_| Ok(())));
            assert_eq!(fed, Err(SseError::TooLarge(32)), "{stream:?} by {size}");
        }
        let mut reader = SseReader::new(40);
        let fed: Result<(), SseError<Infallible>> = reader.feed(stream, |_| Ok(()));
        assert_eq!(fed, Ok(()));
    }
}

#[test]
fn a_refused_event_stops_the_reading() {
    let mut reader = SseReader::default();
    let mut seen = Vec::new();
    let fed = reader.feed(b"data: a\n\ndata: b\n\ndata: c\n\n", |event| {
        seen.push(event.data.clone().into_owned());
        if event.data == "b" { Err("no") } else { Ok(()) }
    });
    assert_eq!(fed, Err(SseError::Refused("no")));
    assert_eq!(seen, ["a", "b"]);
}

/// Streams with a lot of what matters.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 14] = [
        b"data: ",
        b"data:",
        b"event: e",
        b"id: 7",
        b": comment",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\xEF\xBB\xBF",
        "chào 🚣".as_bytes(),
        b"{\"a\":1}",
        b"\xF0\x9F",
        b"\0",
    ];
    let piece = prop::sample::select(pieces.to_vec());
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn where_a_stream_is_split_changes_nothing(stream in streams(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let whole = read([&stream[..]]);
        for at in 0..=stream.len() {
            prop_assert_eq!(&read([&stream[..at], &stream[at..]]), &whole, "split at {}", at);
        }
        prop_assert_eq!(&read(stream.chunks(1)), &whole, "byte by byte");
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        prop_assert_eq!(&read(cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]])), &whole, "at {:?}", cuts);
    }

    #[test]
    fn no_bytes_make_it_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
        read(chunks.iter().map(Vec::as_slice));
    }
}
