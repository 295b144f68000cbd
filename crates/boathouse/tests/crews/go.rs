//! Crews shaped like those of the Go system, in both of its styles: they load as they are, and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use boathouse::core::crew::{Effect, ToolSpec};
use boathouse::crew_test::{Runner, Suite};
use boathouse::prelude::*;
use boathouse::tool::{Tool, ToolCx, ToolError};
use serde_json::{Value, json};

/// A tool that such a crew's program brings: it gives back what it was given.
struct Given(Arc<ToolSpec>);

#[async_trait]
impl Tool for Given {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.0
    }

    async fn call(&self, arguments: &Value, _: &ToolCx) -> Result<String, ToolError> {
        Ok(arguments.to_string())
    }
}

/// The tools of the help desk, which are built in, and those of the other crews.
fn tools() -> Tools {
    let of_programs = [
        "GenerateEmbedding",
        "SearchCollection",
        "ListCollections",
        "GetCollectionInfo",
        "GetMessageCount",
        "GetConversationSummary",
        "SearchMessages",
        "CountMessagesBy",
        "GetCurrentTime",
    ];
    of_programs.into_iter().fold(Tools::builtin(), |tools, name| {
        let spec = ToolSpec::new(name, "Looks.", json!({"type": "object"})).effect(Effect::Read);
        tools.without(name).with(Given(Arc::new(spec))).unwrap()
    })
}

/// Those that need no tools but the built-in ones, and those whose tools come from the program around them.
fn go_crews() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/crews");
    let folders = ["good", "embedded"].into_iter().flat_map(|kind| fs::read_dir(root.join(kind)).unwrap());
    let folders = folders.map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> =
        folders.filter(|folder| folder.file_name().unwrap().to_string_lossy().starts_with("go-")).collect();
    folders.sort();
    folders
}

#[tokio::test]
async fn crews_of_the_go_system_run_as_they_are() {
    let tools = tools();
    let runner = Runner::new(tools.clone());
    let catalog = Engine::builder().providers(Providers::from_env()).tools(tools).catalog();
    let mut passed = 0;
    for folder in go_crews() {
        let crew = crew_dir::load(&folder, &catalog).unwrap_or_else(|error| panic!("{error}"));
        let suite = Suite::load(&folder, crew).unwrap_or_else(|error| panic!("{error}"));
        assert!(!suite.tests.is_empty(), "{} has no tests", folder.display());
        for test in &suite.tests {
            let report = runner.run(&suite, test).await.unwrap();
            assert!(report.passed(), "{}: {report}", folder.display());
            passed += 1;
        }
    }
    assert!(passed > 10, "only {passed} tests");
}
