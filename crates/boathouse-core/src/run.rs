//! A run: the value that its log folds to.

pub mod admit;
pub mod decide;
pub mod event;
pub mod prompt;
pub mod request;
pub mod signal;
pub mod text_calls;

/// To come.
pub struct Run;
