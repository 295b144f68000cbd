//! Tool calls written in text. To come.

use std::ops::Range;

use serde_json::Value;

use crate::crew::ToolSpec;

/// A tool call found in a text.
#[derive(Clone, Debug, PartialEq)]
pub struct TextCall {
    /// The tool's name.
    pub tool: String,
    /// Its arguments, or what is wrong with them.
    pub arguments: Result<Value, String>,
    /// Where it stands.
    pub range: Range<usize>,
}

/// Finds the calls in a text.
pub fn parse(_text: &str, _tools: &[&ToolSpec]) -> Vec<TextCall> {
    Vec::new()
}
