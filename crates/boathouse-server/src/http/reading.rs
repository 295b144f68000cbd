//! What clients say, read from bytes alone, for those who try which bytes it takes: `fuzz/`.

pub use super::go_stream::read_event_id as read_go_event_id;
pub use super::page::{cursor, read_cursor};
pub use super::runs::{read_answer, read_start};
pub use super::stream::read_event_id;
