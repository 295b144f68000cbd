//! The tables of `docs/crew-file.md`: every key with what it takes, what counts without it, and what it does.
//!
//! The page has a marked place for each table of [`keys`], and one for each reason why a key does nothing.
//! [`fill`] writes what belongs there, so the page cannot say anything else than the check of a crew's files.

use std::collections::BTreeMap;

use super::{Does, Key, Kind, Table, keys, schema};

/// Ends a marked place.
const END: &str = "<!-- end of keys -->";

/// The page with every marked place written anew.
///
/// A place begins with `<!-- keys: NAME -->`, where NAME is that of a table, or `nothing`, `instead` or `not yet` for the
/// keys that do nothing. Fails where a table has no place or more than one, and where a place is of no table.
pub fn fill(page: &str) -> Result<String, String> {
    let sections = sections(page);
    let mut missing: Vec<&str> = keys::ALL.iter().map(|table| table.name).chain(IDLE).collect();
    let mut filled = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("<!-- keys: ") {
        let (name, after) = after.split_once(" -->").ok_or("a place without ` -->`")?;
        let (_, after) =
            after.split_once(END).ok_or_else(|| format!("the place `{name}` does not end with `{END}`"))?;
        let known = missing.iter().position(|other| *other == name);
        missing.remove(known.ok_or_else(|| format!("`{name}` is no table, or has two places"))?);
        let rows = match keys::ALL.iter().find(|table| table.name == name) {
            Some(table) => rows(table, &sections),
            None => idle_rows(name),
        };
        filled.push_str(&format!("{before}<!-- keys: {name} -->\n{rows}{END}"));
        rest = after;
    }
    if !missing.is_empty() {
        return Err(format!("no place for {}", missing.join(", ")));
    }
    Ok(filled + rest)
}

/// The reasons why a key does nothing.
const IDLE: [&str; 3] = ["nothing", "instead", "not yet"];

/// The heading under which each table has its place.
fn sections(page: &str) -> BTreeMap<&str, &str> {
    let mut sections = BTreeMap::new();
    let (mut heading, mut in_code) = ("", false);
    for line in page.lines() {
        in_code ^= line.starts_with("```");
        if line.starts_with('#') && !in_code {
            heading = line.trim_start_matches('#').trim();
        } else if let Some(name) = line.strip_prefix("<!-- keys: ") {
            sections.insert(name.trim_end_matches(" -->"), heading);
        }
    }
    sections
}

/// The keys of a table that act.
fn rows(table: &Table, sections: &BTreeMap<&str, &str>) -> String {
    let mut text = "| key | takes | default | does |\n| --- | --- | --- | --- |\n".to_owned();
    let here = sections.get(table.name);
    for key in table.keys.iter().filter(|key| key.idle().is_none()) {
        let there =
            inner(&key.kind).and_then(|inner| sections.get(inner.name)).filter(|there| Some(*there) != here);
        let see = there.map_or_else(String::new, |there| format!(", see [{there}](#{})", anchor(there)));
        let does = format!("{}{see}", key.says);
        text.push_str(&row(&[&format!("`{}`", key.name), &takes(key), &default(key), &does]));
    }
    text
}

/// The keys of all tables that do nothing, for one reason.
fn idle_rows(reason: &str) -> String {
    let mut text = "| key | in | takes | does nothing |\n| --- | --- | --- | --- |\n".to_owned();
    for table in keys::ALL {
        for key in table.keys {
            let why = match (key.does, reason) {
                (Does::Nothing(why), "nothing")
                | (Does::Instead(why), "instead")
                | (Does::NotYet(why), "not yet") => why,
                _ => continue,
            };
            text.push_str(&row(&[&format!("`{}`", key.name), table.what, &takes(key), why]));
        }
    }
    text
}

fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |")
}

fn default(key: &Key) -> String {
    if key.is_needed() {
        return "needed".to_owned();
    }
    match schema::default(key) {
        Some(_) => format!("`{}`", key.default),
        None => key.default.to_owned(),
    }
}

fn takes(key: &Key) -> String {
    if key.takes.is_empty() { of(&key.kind) } else { key.takes.to_owned() }
}

fn of(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::TextOrNull => "text or null".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Whole { min: i64::MIN, max: i64::MAX } => "whole number".to_owned(),
        Kind::Whole { min, max } => format!("{min} to {max}"),
        Kind::Number { min: f64::MIN, max: f64::MAX } => "number".to_owned(),
        Kind::Number { min, max } => format!("number, {min} to {max}"),
        Kind::Setting { max, .. } => format!("1 to {max}"),
        Kind::Seconds { .. } => "seconds".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::List(item) => format!("list of {}", many(item)),
        Kind::Entries(value) => format!("map of name to {}", of(value)),
        Kind::Map(_) | Kind::Json => "map".to_owned(),
        Kind::Any => "anything".to_owned(),
        Kind::Either { what, .. } => (*what).to_owned(),
    }
}

/// What a list holds.
fn many(item: &Kind) -> String {
    match item {
        Kind::Text | Kind::TextOrNull => "texts".to_owned(),
        Kind::Map(_) | Kind::Json | Kind::Entries(_) => "maps".to_owned(),
        other => of(other),
    }
}

/// The table that describes what is under a key.
fn inner(kind: &Kind) -> Option<&'static Table> {
    match kind {
        Kind::Map(table) => Some(table),
        Kind::List(item) | Kind::Entries(item) => inner(item),
        Kind::Either { list, map, .. } => map.and_then(inner).or_else(|| list.and_then(inner)),
        Kind::Text
        | Kind::TextOrNull
        | Kind::Flag
        | Kind::Whole { .. }
        | Kind::Number { .. }
        | Kind::Setting { .. }
        | Kind::Seconds { .. }
        | Kind::Choice(_)
        | Kind::Json
        | Kind::Any => None,
    }
}

/// A heading's place in a page, as Markdown readers make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
