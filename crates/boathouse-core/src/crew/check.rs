//! From the files as written to a crew, or to all the problems in them. To come.

use std::sync::Arc;

use super::ToolSpec;

/// What the program has: crews are checked against it.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Registered tools.
    pub tools: Vec<Arc<ToolSpec>>,
    /// Names of registered providers.
    pub providers: Vec<String>,
}
