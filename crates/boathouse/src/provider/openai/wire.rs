//! Chat Completions as bytes: the body of a request, and the fold over the frames of a streamed reply.
//!
//! Pure: no I/O and no clock. Written after OpenAI's API reference ("Create chat completion" and "Streaming"), read
//! leniently, because many servers speak it with an accent.

pub mod alike;
pub mod fold;
pub mod frame;
pub mod request;

pub use fold::{Fold, Progress};
pub use request::{MaxTokens, body};
