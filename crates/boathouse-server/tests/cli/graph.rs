//! `boathouse graph`.

use std::fs;

use crate::support::{Crew, boathouse, done, root};

#[test]
fn the_routing_is_drawn_for_markdown() {
    let graph = done(&mut boathouse(&["graph", "examples/it-support"]), "");
    assert_eq!((graph.code, graph.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(graph.stdout);
}

#[test]
fn the_routing_is_drawn_for_graphviz() {
    let graph = done(&mut boathouse(&["graph", "examples/it-support-vi", "--format", "dot"]), "");
    assert_eq!((graph.code, graph.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(graph.stdout);
}

#[test]
fn every_good_crew_has_a_picture() {
    let style = regex::Regex::new("(?s)<style>.*</style>").unwrap();
    let mut folders: Vec<_> = fs::read_dir(root().join("testdata/crews/good"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let drawn = done(&mut boathouse(&["graph", folder.to_str().unwrap(), "--format", "svg"]), "");
        assert_eq!(drawn.code, 0, "{name}: {}", drawn.stderr);
        insta::assert_snapshot!(format!("svg_{name}"), style.replace(&drawn.stdout, "<style/>"));
    }
}

#[test]
fn every_example_shows_its_picture() {
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("crew.yaml").exists() {
            continue;
        }
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let dir = format!("examples/{name}");
        let drawn = done(&mut boathouse(&["graph", &dir, "--format", "svg"]), "");
        assert_eq!(drawn.code, 0, "{dir}: {}", drawn.stderr);
        let kept = fs::read_to_string(folder.join("crew.svg")).unwrap_or_default();
        assert!(
            kept.trim_end() == drawn.stdout.trim_end(),
            "{dir}/crew.svg is missing or old; make it again with\n  boathouse graph {dir} --format svg --output {dir}/crew.svg"
        );
        let page = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        assert!(page.contains("(crew.svg)"), "{dir}/README.md does not show crew.svg");
    }
}

#[test]
fn a_drawing_goes_to_a_file_or_says_why_not() {
    let crew = Crew::new("name: desk\nagents: [{id: a, provider: scripted}]\n", "");
    let written = done(&mut crew.boathouse(&["graph", "desk", "--format", "svg", "-o", "crew.svg"]), "");
    assert_eq!((written.code, written.stdout.as_str()), (0, ""), "{}", written.stderr);
    assert!(fs::read_to_string(crew.dir.path().join("crew.svg")).unwrap().starts_with("<svg "));
    let refused = done(&mut crew.boathouse(&["graph", "desk", "--output", "nowhere/crew.mmd"]), "");
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("cannot write nowhere/crew.mmd"), "{}", refused.stderr);
}

#[test]
fn a_crew_that_no_picture_can_show_is_refused_at_once() {
    // Everybody hands over to everybody.
    let ids: Vec<String> = (0..300).map(|n| format!("a{n}")).collect();
    let all = ids.join(", ");
    let agents: String = ids
        .iter()
        .map(|id| format!("  - {{id: {id}, provider: scripted, handoff_targets: [{all}]}}\n"))
        .collect();
    let crew = Crew::new(&format!("name: desk\nhandoff: tool\nagents:\n{agents}"), "");
    let drawn = done(&mut crew.boathouse(&["graph", "desk", "--format", "svg"]), "");
    assert_eq!((drawn.code, drawn.stdout.as_str()), (1, ""));
    assert!(drawn.stderr.contains("too many agents and routes for one picture"), "{}", drawn.stderr);
}
