//! Tests of crews: `tests/*.yaml` beside a crew, run with the scripted model.
//!
//! A [`Suite`] is read from a crew's folder, a [`Runner`] runs its tests one by one, each in an engine of its own with
//! its journal in memory, and [`verdict()`] holds what became of a run against what was expected. `docs/testing.md`
//! describes the files.
//!
//! ```no_run
//! use boathouse::crew_test::{Runner, Suite};
//! use boathouse::prelude::*;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = "examples/it-support".as_ref();
//! let catalog = Engine::builder().providers(Providers::from_env()).tools(Tools::builtin()).catalog();
//! let suite = Suite::load(dir, crew_dir::load(dir, &catalog)?)?;
//! let runner = Runner::new(Tools::builtin());
//! for test in &suite.tests {
//!     let report = runner.run(&suite, test).await.expect("nobody stops the runner");
//!     assert!(report.passed(), "{report}");
//! }
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use boathouse_core::crew::Source;
use boathouse_core::crew::file::Problems;
use boathouse_core::crew::problem::{Problem, sort};
use boathouse_core::ids::AgentId;
use boathouse_core::message::Message;
use boathouse_core::run::event::Answer;

use crate::crew_dir::{self, LoadError, Loaded};

pub mod expect;
pub mod facts;
mod file;
mod keys;
mod runner;
mod verdict;

pub use expect::Expect;
pub use facts::Facts;
pub use runner::{Report, Runner};
pub use verdict::{Miss, path_text, verdict};

/// The folder of tests in a crew's folder.
pub const TESTS_DIR: &str = "tests/";

/// A crew and its tests.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The crew.
    pub crew: Loaded,
    /// Its tests: file by file, in the order of the text.
    pub tests: Vec<Test>,
    /// What does not do what the files say; the tests run all the same.
    pub warnings: Vec<Problem>,
}

/// A test of a crew.
#[derive(Clone, Debug)]
pub struct Test {
    /// What it shows. Unique in its file.
    pub name: String,
    /// Its file, from the crew's folder.
    pub file: String,
    /// Where in it.
    pub line: usize,
    /// What the run is asked.
    pub input: String,
    /// What was said before.
    pub history: Vec<Message>,
    /// Values for placeholders in prompts.
    pub vars: BTreeMap<String, String>,
    /// The agent to start at, instead of the crew's entry.
    pub start_at: Option<AgentId>,
    /// Answers to pauses, in order.
    pub answers: Vec<Answer>,
    /// What `scripted` answers from, instead of the crew's own script.
    pub script: Option<Arc<str>>,
    /// The time that it may take.
    pub timeout: Duration,
    /// What must come of it.
    pub expect: Expect,
}

/// The JSON Schema of a file of tests.
pub(crate) fn schema() -> serde_json::Value {
    boathouse_core::crew::file::schema::of_table(&keys::FILE, "Boathouse: tests/*.yaml")
}

impl Suite {
    /// Reads the tests of a crew: all `.yaml` files directly in the folder `tests` of its folder. There may be none.
    /// Blocks while it reads.
    pub fn load(dir: &Path, crew: Loaded) -> Result<Suite, LoadError> {
        let (mut source, mut found) = (Source::new(), Vec::new());
        crew_dir::read_folder(dir, TESTS_DIR, &mut source, &mut found);
        let mut problems = Problems::new(&source);
        let mut tests = Vec::new();
        for (file, text) in &source {
            tests.extend(file::read(&crew.crew, &dir.join(TESTS_DIR), file, text, &mut problems, &mut found));
        }
        found.extend(problems.finish());
        sort(&mut found);
        // Tests may share a script.
        found.dedup();
        if found.iter().any(Problem::is_error) {
            return Err(LoadError { what: format!("the tests in {}", dir.display()), problems: found });
        }
        Ok(Suite { crew, tests, warnings: found })
    }
}
