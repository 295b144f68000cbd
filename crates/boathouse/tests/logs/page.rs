//! The tables of `docs/journal.md` that say what is in an event, made from the code that defines events.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A type that is written to the log.
#[derive(Debug)]
struct Item {
    docs: String,
    /// The field that names the variant, of an enum that is written as an object.
    tag: Option<String>,
    /// Fields of a struct.
    fields: Vec<Field>,
    /// Variants of an enum.
    variants: Vec<Variant>,
}

#[derive(Debug)]
struct Variant {
    name: String,
    docs: String,
    /// What an unnamed field holds.
    holds: Option<String>,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    docs: String,
    kind: String,
    flat: bool,
    may_lack: bool,
}

/// Docs and attributes in front of something.
#[derive(Debug, Default)]
struct Front {
    docs: Vec<String>,
    attributes: String,
}

impl Front {
    /// Takes a line that belongs to the front of something.
    fn take(&mut self, line: &str) -> bool {
        if let Some(doc) = line.strip_prefix("///") {
            self.docs.push(doc.trim().to_owned());
        } else if line.starts_with("#[") {
            self.attributes.push_str(line);
        } else {
            return false;
        }
        true
    }

    fn docs(&mut self) -> String {
        let first: Vec<String> = self.docs.drain(..).take_while(|line| !line.is_empty()).collect();
        first.join(" ").replace("[`", "`").replace("`]", "`")
    }

    fn attribute(&self, name: &str) -> Option<String> {
        let rest = self.attributes.split_once(&format!("{name} = \""))?.1;
        Some(rest.split_once('"')?.0.to_owned())
    }
}

/// Reads the types of a source file that is formatted as rustfmt does.
fn read(source: &str, items: &mut BTreeMap<String, Item>) {
    let mut front = Front::default();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if front.take(line) {
            continue;
        }
        let front = std::mem::take(&mut front);
        let (is_enum, rest) = match (line.strip_prefix("pub enum "), line.strip_prefix("pub struct ")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => continue,
        };
        let Some(name) = rest.strip_suffix(" {") else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
        let mut front = front;
        let item = Item {
            docs: front.docs(),
            tag: front.attribute("tag"),
            fields: if is_enum { Vec::new() } else { read_fields(&body, "    ") },
            variants: if is_enum { read_variants(&body) } else { Vec::new() },
        };
        items.insert(name.to_owned(), item);
    }
}

fn read_fields(lines: &[&str], indent: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut front = Front::default();
    for line in lines {
        let Some(line) = line.strip_prefix(indent) else { continue };
        if front.take(line) {
            continue;
        }
        if let Some((name, kind)) = line.trim_start_matches("pub ").trim_end_matches(',').split_once(": ") {
            let mut front = std::mem::take(&mut front);
            fields.push(Field {
                name: front.attribute("rename").unwrap_or_else(|| name.to_owned()),
                docs: front.docs(),
                kind: kind.to_owned(),
                flat: front.attributes.contains("flatten"),
                may_lack: front.attributes.contains("default"),
            });
        }
    }
    fields
}

fn read_variants(lines: &[&str]) -> Vec<Variant> {
    let mut variants = Vec::new();
    let mut front = Front::default();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        let Some(line) = line.strip_prefix("    ") else { continue };
        if front.take(line) || line.is_empty() {
            continue;
        }
        let mut front = std::mem::take(&mut front);
        let name: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
        let rest = &line[name.len()..];
        let mut variant = Variant { name: snake(&name), docs: front.docs(), holds: None, fields: Vec::new() };
        if let Some(held) = rest.strip_prefix('(') {
            variant.holds = Some(held.trim_end_matches("),").to_owned());
        } else if rest == " {" {
            let end = lines[at..].iter().position(|line| *line == "    },").expect("it ends") + at;
            variant.fields = read_fields(&lines[at..end], "        ");
            at = end + 1;
        }
        variants.push(variant);
    }
    variants
}

/// A name as serde writes it.
pub fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (place, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && place > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The names of an enum's variants as serde writes them.
pub fn variants(sources: &[&str], name: &str) -> Vec<String> {
    let mut items = BTreeMap::new();
    sources.iter().for_each(|source| read(source, &mut items));
    items[name].variants.iter().map(|variant| variant.name.clone()).collect()
}

/// The tables for all events and all that they hold.
pub fn tables(sources: &[&str]) -> String {
    let mut items = BTreeMap::new();
    sources.iter().for_each(|source| read(source, &mut items));
    let mut page = String::new();
    let mut named: Vec<String> = Vec::new();
    for variant in &items["Event"].variants {
        let _ = write!(page, "\n#### `{}`\n\n{}\n", variant.name, variant.docs);
        let boxed =
            variant.holds.as_deref().map(|held| held.trim_start_matches("Box<").trim_end_matches('>'));
        let fields = boxed.map_or(&variant.fields, |held| &items[held].fields);
        write_fields(&mut page, fields, &items, &mut named);
    }
    page.push_str("\n### What events hold\n");
    let mut written = BTreeSet::new();
    let mut next = 0;
    while next < named.len() {
        let name = named[next].clone();
        next += 1;
        if written.insert(name.clone()) {
            write_item(&mut page, &name, &items[&name], &items, &mut named);
        }
    }
    page
}

fn write_item(
    page: &mut String,
    name: &str,
    item: &Item,
    items: &BTreeMap<String, Item>,
    named: &mut Vec<String>,
) {
    let _ = write!(page, "\n#### {name}\n\n{}", item.docs);
    if item.variants.is_empty() {
        page.push('\n');
        return write_fields(page, &item.fields, items, named);
    }
    match &item.tag {
        Some(tag) => {
            let _ = write!(
                page,
                " An object; `{tag}` says which:\n\n| `{tag}` | other fields | |\n| --- | --- | --- |\n"
            );
            for variant in &item.variants {
                let fields: Vec<String> =
                    variant.fields.iter().map(|field| in_words(field, items, named)).collect();
                let docs = tell(&variant.docs, &variant.fields);
                let _ = writeln!(page, "| `{}` | {} | {docs} |", variant.name, fields.join(", "));
            }
        }
        None => {
            page.push_str(" One of:\n\n| value | |\n| --- | --- |\n");
            for variant in &item.variants {
                let value = match &variant.holds {
                    None => format!("`\"{}\"`", variant.name),
                    Some(held) => {
                        format!("`{{\"{}\": ...}}` with {}", variant.name, words(held, items, named))
                    }
                };
                let _ = writeln!(page, "| {value} | {} |", variant.docs);
            }
        }
    }
}

/// What a variant means, and its fields.
fn tell(docs: &str, fields: &[Field]) -> String {
    let told =
        fields.iter().filter(|field| !field.flat).map(|field| format!("`{}`: {}", field.name, field.docs));
    [docs.to_owned()].into_iter().chain(told).collect::<Vec<_>>().join(" ")
}

fn in_words(field: &Field, items: &BTreeMap<String, Item>, named: &mut Vec<String>) -> String {
    let kind = words(&field.kind, items, named);
    let lack = if field.may_lack { ", may be missing" } else { "" };
    if field.flat { format!("the fields of {kind}") } else { format!("`{}` ({kind}{lack})", field.name) }
}

fn write_fields(
    page: &mut String,
    fields: &[Field],
    items: &BTreeMap<String, Item>,
    named: &mut Vec<String>,
) {
    if fields.is_empty() {
        return;
    }
    page.push_str("\n| field | type | |\n| --- | --- | --- |\n");
    for field in fields {
        let kind = words(&field.kind, items, named);
        let lack = if field.may_lack { "; may be missing" } else { "" };
        let name = if field.flat { "(its fields)".to_owned() } else { format!("`{}`", field.name) };
        let _ = writeln!(page, "| {name} | {kind}{lack} | {} |", field.docs);
    }
}

/// A type in words; types of ours are noted to be written down.
fn words(kind: &str, items: &BTreeMap<String, Item>, named: &mut Vec<String>) -> String {
    let inner = |outer: &str| kind.strip_prefix(outer).and_then(|rest| rest.strip_suffix('>'));
    if let Some(of) = inner("Vec<") {
        return format!("list of {}", words(of, items, named));
    }
    if let Some(of) = inner("Option<") {
        return format!("{} or null", words(of, items, named));
    }
    if let Some(of) = inner("Box<") {
        return words(of, items, named);
    }
    if let Some((_, of)) = inner("BTreeMap<").and_then(|of| of.split_once(", ")) {
        return format!("object of {}", words(of, items, named));
    }
    if let Some(pair) = kind.strip_prefix('(').and_then(|pair| pair.strip_suffix(')')) {
        let of: Vec<String> = pair.split(", ").map(|of| words(of, items, named)).collect();
        return format!("pair `[a, b]` of {}", of.join(" and "));
    }
    match kind {
        "String" | "AgentId" | "RunId" | "ThreadId" => "text".to_owned(),
        "u8" | "u32" | "u64" | "usize" | "i64" | "f64" | "Seq" | "CallId" | "BranchId" | "WaitId" => {
            "number".to_owned()
        }
        "bool" => "true or false".to_owned(),
        "Timestamp" => "time".to_owned(),
        "Value" => "any JSON".to_owned(),
        name => {
            assert!(items.contains_key(name), "no type {name} in the sources of the page");
            named.push(name.to_owned());
            format!("[{name}](#{})", name.to_lowercase())
        }
    }
}
