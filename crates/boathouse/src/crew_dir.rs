//! Crews from folders. To come.

use std::path::PathBuf;

use boathouse_core::crew::check::Catalog;
use boathouse_core::crew::{Crew, Source};

/// A crew that was read from a folder.
#[derive(Clone, Debug)]
pub struct CrewDir {
    /// The crew.
    pub crew: Crew,
    /// Where it was read from; `None` for a crew that came from elsewhere. Command tools run there.
    pub dir: Option<PathBuf>,
}

/// Compiles a crew from its source, as the journal keeps it.
pub fn compile(_source: Source, _name: &str, _catalog: &Catalog) -> Result<Crew, String> {
    Err("to come".to_owned())
}
