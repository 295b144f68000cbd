//! Where a reader wants to go on: cursors of lists, `Last-Event-ID` of both streams, and times.
//!
//! Whatever is taken stands for one place, and what is written for that place is taken as the same.
#![no_main]

use boathouse::core::ids::Timestamp;
use boathouse_server::http::reading::{cursor, read_cursor, read_event_id, read_go_event_id};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(seq) = read_event_id(data) {
        assert_eq!(read_event_id(seq.to_string().as_bytes()), Some(seq));
    }
    if let Some((run, seq)) = read_go_event_id(data) {
        assert!(!run.as_str().contains('/'));
        assert_eq!(read_go_event_id(format!("{run}/{seq}").as_bytes()), Some((run, seq)));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some((at, run)) = read_cursor(text) {
        assert_eq!(read_cursor(&cursor(at, &run)), Some((at, run)));
    }
    // Any text may stand in a cursor, and any place in a list.
    if let Some((at, run)) = text.split_once('.').and_then(|(at, run)| Some((at.parse().ok()?, run))) {
        let written = cursor(Timestamp(at), run);
        assert!(written.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if let Some(read) = read_cursor(&written) {
            assert_eq!(read, (Timestamp(at), run.to_owned()));
        }
    }
    if let Some(at) = Timestamp::parse(text) {
        let written = at.to_string();
        assert_eq!(Timestamp::parse(&written), Some(at), "{written}");
    }
});
