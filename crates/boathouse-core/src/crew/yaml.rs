//! A YAML document as a tree in which every node knows where it stands.
//!
//! Reads one document: scalars keep their text (what a plain `5` means is for whoever asks), aliases are resolved
//! where they stand, merge keys (`<<`) are applied. Bounded in depth and size, so that neither nesting nor aliases
//! can exhaust memory. What is wrong is told as [`Fault`]s; after a syntax error there is no tree.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError};

/// Collections nested deeper than this are refused.
pub const MAX_DEPTH: usize = 64;
/// Documents with more nodes than this, aliases counted as what they stand for, are refused.
pub const MAX_NODES: usize = 200_000;

/// A place in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// How many characters of the line are meant; at least 1.
    pub length: usize,
}

/// A value and where it stands. A node that came by an alias stands where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Place,
    /// What it is.
    pub yaml: Yaml,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Yaml {
    /// A text, a number, a flag or null: what it is depends on who asks.
    Scalar {
        /// The text, escapes resolved.
        text: String,
        /// Written without quotes: only then can it be a number, a flag or null.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text. Keys are unique.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_at: Place,
    /// Its value.
    pub value: Node,
}

/// Something that makes a text not the YAML that we read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Place,
    /// A stable word for it.
    pub code: &'static str,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Node {
    /// Whether it is `null`, `~` or nothing at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.yaml, Yaml::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match &self.yaml {
            Yaml::Scalar { .. } if self.is_null() => "nothing",
            Yaml::Scalar { .. } if self.flag().is_some() => "true or false",
            Yaml::Scalar { .. } if self.number().is_some() => "a number",
            Yaml::Scalar { .. } => "a text",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a map",
        }
    }

    /// Its text; `None` for lists, maps and null. Numbers and flags are texts too, as they are written.
    pub fn text(&self) -> Option<&str> {
        match &self.yaml {
            Yaml::Scalar { text, .. } if !self.is_null() => Some(text),
            Yaml::Scalar { .. } | Yaml::List(_) | Yaml::Map(_) => None,
        }
    }

    /// As `true` or `false`, in any of YAML's two versions' spellings.
    pub fn flag(&self) -> Option<bool> {
        match &self.yaml {
            Yaml::Scalar { text, plain: true } => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Some(true),
                "false" | "no" | "off" => Some(false),
                _ => None,
            },
            Yaml::Scalar { .. } | Yaml::List(_) | Yaml::Map(_) => None,
        }
    }

    /// As a whole number: decimal with optional sign and `_` between digits, or `0x` and `0o`.
    pub fn whole(&self) -> Option<i64> {
        let Yaml::Scalar { text, plain: true } = &self.yaml else { return None };
        if let Some(hex) = text.strip_prefix("0x") {
            return i64::from_str_radix(hex, 16).ok();
        }
        if let Some(octal) = text.strip_prefix("0o") {
            return i64::from_str_radix(octal, 8).ok();
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        text.replace('_', "").parse().ok()
    }

    /// As a finite number.
    pub fn number(&self) -> Option<f64> {
        let Yaml::Scalar { text, plain: true } = &self.yaml else { return None };
        if let Some(whole) = self.whole() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a YAML number is a double wherever it is not whole"
            )]
            return Some(whole as f64);
        }
        if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
            return None;
        }
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Its entries, if it is a map.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.yaml {
            Yaml::Map(entries) => Some(entries),
            Yaml::Scalar { .. } | Yaml::List(_) => None,
        }
    }

    /// Its items, if it is a list.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.yaml {
            Yaml::List(items) => Some(items),
            Yaml::Scalar { .. } | Yaml::Map(_) => None,
        }
    }

    /// As JSON: plain scalars become what YAML 1.2's core schema makes of them, whole numbers beyond 64 bits text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.yaml {
            Yaml::Scalar { .. } if self.is_null() => Value::Null,
            Yaml::Scalar { text, plain: true } if matches!(text.as_str(), "true" | "True" | "TRUE") => {
                Value::Bool(true)
            }
            Yaml::Scalar { text, plain: true } if matches!(text.as_str(), "false" | "False" | "FALSE") => {
                Value::Bool(false)
            }
            Yaml::Scalar { text, .. } => match (self.whole(), self.number()) {
                (Some(whole), _) => Value::from(whole),
                (None, Some(number)) => Value::from(number),
                (None, None) => Value::String(text.clone()),
            },
            Yaml::List(items) => items.iter().map(Node::to_json).collect(),
            Yaml::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect())
            }
        }
    }
}

/// Reads one YAML document. Without a tree there is at least one fault; an empty document is a null node.
pub fn parse(text: &str) -> (Option<Node>, Vec<Fault>) {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut reader = Reader::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let taken = match next {
            Ok((event, span)) => reader.take(event, place(&span)),
            Err(error) => Err(syntax_fault(&error)),
        };
        if let Err(fault) = taken {
            reader.faults.push(fault);
            return (None, reader.faults);
        }
    }
    let empty = || Node {
        at: Place { line: 1, column: 1, length: 1 },
        yaml: Yaml::Scalar { text: String::new(), plain: true },
    };
    (Some(reader.root.unwrap_or_else(empty)), reader.faults)
}

fn place(span: &granit_parser::Span) -> Place {
    let (start, end) = (&span.start, &span.end);
    let length = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Place { line: start.line().max(1), column: start.col() + 1, length: length.max(1) }
}

fn syntax_fault(error: &ScanError) -> Fault {
    let marker = error.marker();
    let at = Place { line: marker.line().max(1), column: marker.col() + 1, length: 1 };
    Fault { at, code: "yaml_syntax", message: error.info(), hint: None }
}

/// How large a finished node is.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    depth: usize,
}

/// A collection that is still open.
struct Open {
    at: Place,
    anchor: usize,
    size: Size,
    children: Children,
}

enum Children {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        /// The line of each key.
        seen: BTreeMap<String, usize>,
        merged: Vec<Node>,
        key: Option<(String, Place)>,
    },
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, Size)>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
    faults: Vec<Fault>,
}

impl Reader {
    /// Takes one event of the parser; `Err` ends the reading.
    fn take(&mut self, event: Event<'_>, at: Place) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second YAML document begins here".to_owned();
                    let hint = Some("one file holds one document: remove the `---`".to_owned());
                    return Err(Fault { at, code: "yaml_documents", message, hint });
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let forced = tag.as_ref().is_some_and(|tag| tag.core_suffix() == Some("str"));
                if let Some(tag) = tag.filter(|tag| tag.core_suffix().is_none()) {
                    self.tag_fault(at, &tag.original());
                }
                let plain = style == ScalarStyle::Plain && !forced;
                let node = Node { at, yaml: Yaml::Scalar { text: text.into_owned(), plain } };
                self.finish(node, anchor, Size { nodes: 1, depth: 0 })
            }
            Event::SequenceStart(_, anchor, tag) => {
                if let Some(tag) = tag.filter(|tag| tag.core_suffix().is_none()) {
                    self.tag_fault(at, &tag.original());
                }
                self.begin(at, anchor, Children::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                if let Some(tag) = tag.filter(|tag| tag.core_suffix().is_none()) {
                    self.tag_fault(at, &tag.original());
                }
                let children = Children::Map {
                    entries: Vec::new(),
                    seen: BTreeMap::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.begin(at, anchor, children)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                // The size is checked before the copy is made: that stops alias bombs.
                Some((_, size)) if self.nodes + size.nodes > MAX_NODES => Err(too_large(at)),
                Some((node, size)) => {
                    let (node, size) = (node.clone(), *size);
                    self.finish(node, 0, size)
                }
                None => Err(Fault {
                    at,
                    code: "yaml_alias",
                    message: "this alias stands inside what it stands for".to_owned(),
                    hint: None,
                }),
            },
            Event::UnresolvedAlias(name) => Err(Fault {
                at,
                code: "yaml_alias",
                message: format!("no anchor `&{name}` before this alias"),
                hint: Some("a text that begins with `*` needs quotes".to_owned()),
            }),
            _ => Ok(()),
        }
    }

    fn tag_fault(&mut self, at: Place, tag: &str) {
        self.faults.push(Fault {
            at,
            code: "yaml_tag",
            message: format!("the tag `{tag}` means nothing here"),
            hint: Some("remove it, or quote the text that begins with `!`".to_owned()),
        });
    }

    fn begin(&mut self, at: Place, anchor: usize, children: Children) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open { at, anchor, size: Size { nodes: 1, depth: 1 }, children });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let yaml = match open.children {
            Children::List(items) => Yaml::List(items),
            Children::Map { mut entries, mut seen, merged, .. } => {
                self.merge(&mut entries, &mut seen, merged);
                Yaml::Map(entries)
            }
        };
        // Its parts are counted already.
        self.nodes -= open.size.nodes - 1;
        self.finish(Node { at: open.at, yaml }, open.anchor, open.size)
    }

    /// Applies `<<`: keys that the map does not have itself, the first merged map first.
    fn merge(&mut self, entries: &mut Vec<Entry>, seen: &mut BTreeMap<String, usize>, merged: Vec<Node>) {
        for node in merged {
            let at = node.at;
            let maps = match node.yaml {
                Yaml::List(items) => items,
                Yaml::Map(_) | Yaml::Scalar { .. } => vec![node],
            };
            for map in maps {
                let Yaml::Map(more) = map.yaml else {
                    self.faults.push(Fault {
                        at,
                        code: "yaml_merge",
                        message: "`<<` takes a map or a list of maps".to_owned(),
                        hint: None,
                    });
                    continue;
                };
                for entry in more {
                    if !seen.contains_key(&entry.key) {
                        seen.insert(entry.key.clone(), entry.key_at.line);
                        entries.push(entry);
                    }
                }
            }
        }
    }

    /// Hands a finished node to the collection that it belongs to.
    fn finish(&mut self, node: Node, anchor: usize, size: Size) -> Result<(), Fault> {
        self.nodes += size.nodes;
        if self.nodes > MAX_NODES {
            return Err(too_large(node.at));
        }
        if self.open.len() + size.depth > MAX_DEPTH {
            return Err(too_deep(node.at));
        }
        if anchor != 0 {
            // The copy counts too, so that many nested anchors cannot multiply a document.
            self.nodes += size.nodes;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        parent.size.nodes += size.nodes;
        parent.size.depth = parent.size.depth.max(size.depth + 1);
        match &mut parent.children {
            Children::List(items) => items.push(node),
            Children::Map { entries, seen, merged, key } => match key.take() {
                None => match node.yaml {
                    Yaml::Scalar { text, .. } => *key = Some((text, node.at)),
                    Yaml::List(_) | Yaml::Map(_) => {
                        return Err(Fault {
                            at: node.at,
                            code: "yaml_key",
                            message: "a key must be a text, not a list or a map".to_owned(),
                            hint: Some("a text that begins with `{` or `[` needs quotes".to_owned()),
                        });
                    }
                },
                Some((name, _)) if name == "<<" => merged.push(node),
                Some((name, key_at)) => {
                    if let Some(first) = seen.get(&name) {
                        self.faults.push(Fault {
                            at: key_at,
                            code: "duplicate_key",
                            message: format!("the key `{name}` is here twice"),
                            hint: Some(format!("the first one is in line {first}")),
                        });
                    } else {
                        seen.insert(name.clone(), key_at.line);
                        entries.push(Entry { key: name, key_at, value: node });
                    }
                }
            },
        }
        Ok(())
    }
}

fn too_large(at: Place) -> Fault {
    let message = format!("more than {MAX_NODES} values, counting what aliases stand for");
    Fault { at, code: "yaml_size", message, hint: None }
}

fn too_deep(at: Place) -> Fault {
    let message = format!("lists and maps are nested more than {MAX_DEPTH} deep");
    Fault { at, code: "yaml_depth", message, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(text: &str) -> Node {
        let (node, faults) = parse(text);
        assert_eq!(faults, []);
        node.expect("a text without faults gives a tree")
    }

    #[test]
    fn every_value_knows_its_place() {
        let root = tree("a:\n  - x\n  - \"y z\"\n");
        let entry = &root.entries().expect("a map")[0];
        assert_eq!(entry.key_at, Place { line: 1, column: 1, length: 1 });
        let items = entry.value.items().expect("a list");
        assert_eq!(items[1].at, Place { line: 3, column: 5, length: 5 });
    }

    #[test]
    fn only_plain_scalars_are_numbers_flags_and_null() {
        let json = tree("[5, '5', 0.5, 1_000, 0x1f, true, 'true', null, ~, yes, .5, 1e3, 0b1]").to_json();
        let expected =
            serde_json::json!([5, "5", 0.5, 1000, 31, true, "true", null, null, "yes", 0.5, 1000.0, "0b1"]);
        assert_eq!(json, expected);
    }

    #[test]
    fn a_key_written_twice_is_a_fault_and_the_first_counts() {
        let (root, faults) = parse("a: 1\nb: 2\na: 3\n");
        assert_eq!(root.expect("still a tree").to_json(), serde_json::json!({"a": 1, "b": 2}));
        assert_eq!((faults[0].code, faults[0].at.line), ("duplicate_key", 3));
    }

    #[test]
    fn aliases_and_merge_keys_are_resolved() {
        let root = tree("base: &base {a: 1, b: 2}\nmore:\n  <<: *base\n  b: 3\n");
        assert_eq!(root.to_json(), serde_json::json!({"base": {"a": 1, "b": 2}, "more": {"b": 3, "a": 1}}));
    }

    #[test]
    fn bombs_are_refused_at_once() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert_eq!(parse(&bomb).1[0].code, "yaml_size");
        for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
            let (root, faults) = parse(&deep);
            assert!(root.is_none() && !faults.is_empty());
        }
        let mut chain = String::from("a0: &a0 [x]\n");
        for level in 1..100 {
            chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        assert_eq!(parse(&chain).1[0].code, "yaml_depth");
    }

    proptest! {
        #[test]
        fn any_text_gives_a_tree_or_a_fault(text in any::<String>()) {
            let (root, faults) = parse(&text);
            prop_assert!(root.is_some() || !faults.is_empty());
        }

        #[test]
        fn yaml_like_text_gives_a_tree_or_a_fault(text in "([-?:,{}&*!|>'\"%@ #a\n]|\\[|\\]|&a|\\*a|<<: |\r\n|\t){0,60}") {
            let (root, faults) = parse(&text);
            prop_assert!(root.is_some() || !faults.is_empty());
        }
    }
}
