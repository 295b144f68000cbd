//! What clients say, read from bytes alone, for those who try which bytes it takes: `fuzz/`.

pub use super::go_stream::read_event_id as read_go_event_id;
pub use super::runs::{cursor, read_answer, read_cursor, read_start};
pub use super::stream::read_event_id;
