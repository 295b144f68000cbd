//! The pages on crew files and on problems are what the program says.

use std::fs;
use std::path::{Path, PathBuf};

use boathouse_core::crew::Source;
use boathouse_core::crew::check::{Checked, check};
use boathouse_core::crew::file::page;
use boathouse_core::crew::problem::{Code, render};

use crate::catalog;

fn docs(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page)
}

#[test]
fn the_tables_of_the_page_on_crew_files_are_made_of_the_key_tables() {
    let page = fs::read_to_string(docs("crew-file.md")).unwrap();
    let filled = page::fill(&page).unwrap();
    if std::env::var_os("BLESS").is_some() {
        fs::write(docs("crew-file.md"), filled).unwrap();
        return;
    }
    let differs = page.lines().zip(filled.lines()).find(|(written, made)| written != made);
    assert!(page == filled, "`BLESS=1 cargo test -p boathouse-core --test crews` writes them: {differs:#?}");
}

#[test]
fn a_page_without_a_place_for_each_table_is_refused() {
    let page = fs::read_to_string(docs("crew-file.md")).unwrap();
    let refused = |page: &str| page::fill(page).unwrap_err();
    assert_eq!(refused(&page.replace("<!-- keys: join -->", "")), "no place for join");
    assert_eq!(
        refused(&page.replace("<!-- keys: join -->", "<!-- keys: group -->")),
        "`group` is no table, or has two places"
    );
}

#[test]
fn the_page_on_problems_is_the_table_of_codes() {
    let page = fs::read_to_string(docs("problems.md")).unwrap();
    let written: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let rows: Vec<String> = Code::ALL.iter().map(|code| format!("| `{code}` | {} |", code.means())).collect();
    assert_eq!(written, rows);
}

#[test]
fn the_crew_on_the_page_loads_without_a_problem() {
    let page = fs::read_to_string(docs("crew-file.md")).unwrap();
    let example = page.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let source = Source::from([("crew.yaml".to_owned(), example.to_owned())]);
    let Checked { crew, problems } = check(&source, "page", &catalog());
    assert_eq!(render(&problems), "");
    assert_eq!(crew.unwrap().agents.len(), 2);
}

#[test]
fn every_test_that_the_page_on_the_go_system_names_is_there() {
    let page = fs::read_to_string(docs("from-the-go-system.md")).unwrap();
    let list = page.split_once("## The list of issues").unwrap().1;
    let rows: Vec<Vec<&str>> = list
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| #") && !line.starts_with("| ---"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let numbers: Vec<usize> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=29).collect::<Vec<_>>());
    let mut faults = Vec::new();
    for row in &rows {
        let tests: Vec<&str> = row[3].split(", ").filter(|test| !test.is_empty()).collect();
        if tests.is_empty() && !row[2].contains("**Not yet**") {
            faults.push(format!("#{} claims something and shows nothing", row[0]));
        }
        for test in tests {
            let (file, name) = test.trim_matches('`').split_once("::").unwrap();
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
            let text = fs::read_to_string(&file).unwrap_or_default();
            let before = text.split_once(&format!("fn {name}(")).map(|(before, _)| before);
            let is_test = before.is_some_and(|before| {
                let above = before.rsplit("\n\n").next().unwrap_or_default();
                above.contains("#[test]") || above.contains("#[tokio::test")
            });
            if !is_test {
                faults.push(format!("there is no test {test}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
