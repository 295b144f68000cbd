#![expect(clippy::unwrap_used, reason = "a test that cannot write its files fails")]

use std::fs;
use std::path::Path;

use boathouse_core::crew::Source;
use boathouse_core::crew::check::Catalog;
use boathouse_core::crew::problem::Code;

use super::{MAX_FILE_BYTES, compile, load};

const CREW: &str = "name: pair\nagents: [one]\n";
const ONE: &[u8] = b"id: one\nprovider: scripted\n";

fn catalog() -> Catalog {
    Catalog { tools: Vec::new(), providers: vec!["scripted".to_owned()] }
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("agents")).unwrap();
    for (file, text) in files {
        fs::write(dir.path().join(file), text).unwrap();
    }
    dir
}

/// Severity, code and file of each problem.
fn problems(files: &[(&str, &[u8])]) -> Vec<(bool, Code, String)> {
    let dir = folder(files);
    let problems = match load(dir.path(), &catalog()) {
        Ok(loaded) => loaded.warnings,
        Err(error) => error.problems,
    };
    problems.into_iter().map(|problem| (problem.is_error(), problem.code, problem.file)).collect()
}

#[test]
fn a_folder_becomes_a_crew_and_its_stored_source_the_same_crew() {
    let dir = folder(&[
        ("crew.yaml", CREW.as_bytes()),
        ("agents/one.yaml", ONE),
        ("scripted.yaml", b"rules: []\n"),
    ]);
    let loaded = load(dir.path(), &catalog()).unwrap();
    assert_eq!((loaded.crew.name.as_str(), loaded.warnings), ("pair", Vec::new()));
    assert_eq!(
        loaded.crew.source.keys().collect::<Vec<_>>(),
        ["agents/one.yaml", "crew.yaml", "scripted.yaml"]
    );
    let again = compile(loaded.crew.source, "other", &catalog()).unwrap();
    assert_eq!((again.hash, again.name), (loaded.crew.hash, loaded.crew.name));
}

#[test]
fn a_crew_without_a_name_is_called_like_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("quiz-exam");
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("crew.yaml"), "agents: [{id: one, provider: scripted}]\n").unwrap();
    assert_eq!(load(&inside, &catalog()).unwrap().crew.name, "quiz-exam");
    assert_eq!(load(&inside.join("."), &catalog()).unwrap().crew.name, "quiz-exam");
}

#[test]
fn everything_that_cannot_be_read_is_said_at_once() {
    let large = vec![b'#'; usize::try_from(MAX_FILE_BYTES).unwrap() + 1];
    assert_eq!(
        problems(&[
            ("crew.yaml", CREW.as_bytes()),
            ("agents/one.yaml", &large),
            ("agents/two.yaml", b"id: two\nname: \xff\n"),
            ("agents/three.yml", ONE),
        ]),
        [
            (true, Code::TooLarge, "agents/one.yaml".to_owned()),
            (false, Code::WrongExtension, "agents/three.yml".to_owned()),
            (true, Code::InvalidUtf8, "agents/two.yaml".to_owned()),
        ]
    );
}

#[test]
fn a_schema_that_cannot_be_compiled_is_an_error_at_its_place() {
    let text = "agents: [{id: one, provider: scripted, tools: [Find]}]
tools:
  Find:
    description: Finds.
    command: {argv: [grep, '{text}']}
    parameters: {type: object, properties: {text: {type: string, pattern: '('}}}
";
    let dir = folder(&[("crew.yaml", text.as_bytes()), ("scripted.yaml", b"rules: []\n")]);
    let error = load(dir.path(), &catalog()).unwrap_err();
    let places: Vec<_> = error.problems.iter().map(|p| (p.code, p.line, p.column)).collect();
    assert_eq!(places, [(Code::InvalidSchema, 6, 5)], "{error}");
}

#[test]
fn a_file_of_the_largest_size_is_read() {
    let mut text = ONE.to_vec();
    text.resize(usize::try_from(MAX_FILE_BYTES).unwrap(), b'#');
    let files: [(&str, &[u8]); 3] =
        [("crew.yaml", CREW.as_bytes()), ("agents/one.yaml", &text), ("scripted.yaml", b"rules: []\n")];
    assert_eq!(problems(&files), []);
    assert_eq!(problems(&files[..2]), [(false, Code::MissingScript, "crew.yaml".to_owned())]);
}

#[test]
fn a_missing_crew_file_says_what_to_do() {
    for (files, hint) in [
        (&[("crew.yml", CREW.as_bytes())][..], "rename `crew.yml` to `crew.yaml`"),
        (&[], "a crew needs a `crew.yaml` that lists its agents"),
    ] {
        let dir = folder(files);
        let error = load(dir.path(), &catalog()).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        assert!(error.to_string().contains(hint), "{error}");
    }
    let error = load(Path::new("/nowhere/at/all"), &catalog()).unwrap_err();
    assert!(error.to_string().contains("`/nowhere/at/all` does not exist"), "{error}");
}

#[test]
fn a_stored_source_whose_tool_is_gone_does_not_compile() {
    let text = "agents: [{id: one, provider: scripted, tools: [Gone]}]\n";
    let source = Source::from([("crew.yaml".to_owned(), text.to_owned())]);
    let error = compile(source, "old", &catalog()).unwrap_err();
    assert_eq!(error.problems[0].code, Code::UnknownTool);
    assert!(error.to_string().starts_with("the stored source of `old` cannot run: 1 error"));
}

#[test]
fn who_is_named_in_a_crew_file_that_cannot_be_read_is_not_missed_in_its_script() {
    let script = b"rules: [{agent: one, reply: hi}]\n";
    let files: [(&str, &[u8]); 2] = [("crew.yaml", b"agents: [one\n"), ("scripted.yaml", script)];
    assert_eq!(problems(&files), [(true, Code::YamlSyntax, "crew.yaml".to_owned())]);
}
