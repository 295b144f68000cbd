//! The files of a crew. A line `%%% NAME` begins the next file; before the first one it is `crew.yaml`.
//!
//! Whatever they hold, they give a crew or problems that point into them, the same ones each time; and a crew is the same
//! again from the source that it keeps.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use boathouse::core::crew::Source;
use boathouse::core::crew::check::Catalog;
use boathouse::core::crew::graph::{Graph, dot, mermaid};
use boathouse::core::crew::problem::{Problem, lines};
use boathouse::crew_dir::{compile, load_files};
use boathouse::tool::Tools;
use libfuzzer_sys::fuzz_target;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog {
    tools: Tools::builtin().specs(),
    providers: ["openai", "ollama", "scripted"].map(str::to_owned).into(),
});

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let source = files(&text);
    let read = || load_files(Path::new("crew"), (source.clone(), Vec::new()), &CATALOG);
    match (read(), read()) {
        (Ok(loaded), Ok(again)) => {
            assert_eq!(loaded.crew.hash, again.crew.hash);
            assert_eq!(loaded.warnings, again.warnings);
            point_into(&source, &loaded.warnings);
            let crew = loaded.crew;
            let kept = compile(crew.source.clone(), &crew.name, &CATALOG).expect("its source has no errors");
            assert_eq!(crew.hash, kept.hash);
            let graph = Graph::of(&crew);
            assert!(!mermaid(&graph).is_empty() && !dot(&graph).is_empty());
        }
        (Err(refused), Err(again)) => {
            assert!(refused.problems.iter().any(Problem::is_error), "refused without an error");
            assert_eq!(refused.problems, again.problems);
            point_into(&source, &refused.problems);
        }
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => panic!("the same files are a crew, and are not"),
    }
});

fn files(text: &str) -> Source {
    let mut source = Source::new();
    let (mut name, mut rest) = ("crew.yaml", text);
    loop {
        let (file, next) = rest.split_once("\n%%% ").unwrap_or((rest, ""));
        source.insert(name.to_owned(), file.to_owned());
        if next.is_empty() {
            return source;
        }
        (name, rest) = next.split_once('\n').unwrap_or((next, ""));
    }
}

fn point_into(source: &Source, problems: &[Problem]) {
    for problem in problems {
        assert!(!problem.message.is_empty());
        if problem.line == 0 {
            continue;
        }
        let text = source.get(&problem.file).unwrap_or_else(|| panic!("no such file: {problem:?}"));
        let line = lines(text).get(problem.line - 1).copied().unwrap_or_default();
        let length = line.chars().count();
        assert!(problem.column <= length + 1, "{problem:?} in {line:?}");
        assert!(problem.source_line.is_empty() || problem.source_line == line, "{problem:?} in {line:?}");
    }
}
