//! From the parser's events to a tree.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError};

use crate::crew::problem::{Code, lines};

use super::{Entry, Fault, MAX_BYTES, MAX_DEPTH, MAX_NODES, Node, Place, Yaml};

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
            Err(error) => Err(syntax_fault(&error, text)),
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

fn syntax_fault(error: &ScanError, text: &str) -> Fault {
    let marker = error.marker();
    let mut at = Place { line: marker.line().max(1), column: marker.col() + 1, length: 1 };
    let message = error.info();
    if message.contains("tab") {
        // The parser tells where it was, which may be the end of a line before.
        at = indenting_tab(text, at.line).unwrap_or(at);
    }
    if message.contains("recursion limit") {
        return too_deep(at);
    }
    let hint = HINTS.iter().find(|(said, _)| message.contains(said)).map_or(ANY_SYNTAX, |(_, hint)| hint);
    Fault { at, code: Code::YamlSyntax, message, hint: Some(hint.to_owned()) }
}

/// The first tab from this line on that stands in front of a line's text.
fn indenting_tab(text: &str, from: usize) -> Option<Place> {
    lines(text).into_iter().enumerate().skip(from - 1).find_map(|(at, line)| {
        let rest = line.trim_start_matches(' ');
        let column = line.len() - rest.len() + 1;
        rest.starts_with('\t').then_some(Place { line: at + 1, column, length: 1 })
    })
}

/// What to do about what the parser says, the first that fits; [`ANY_SYNTAX`] where none does.
const HINTS: [(&str, &str); 15] = [
    ("tab", "YAML indents with blanks, never with tabs"),
    ("\\u{0}", "the file holds zero bytes: is it a text?"),
    (
        "unexpected character: ``'",
        "a text that begins with a backtick needs quotes; a code fence does not belong here",
    ),
    ("unexpected character", "a text that begins with a special character needs quotes"),
    (
        "mapping values are not allowed",
        "a text with `: ` in it needs quotes, or stands below `|` on lines of its own; a key begins a line of its own, in one \
         column with the other keys of its map",
    ),
    ("expected '-' indicator", "the keys of one item stand below each other, in one column"),
    (
        "expected key",
        "the keys of one map stand in one column; a text that begins with `[`, `{` or a quote needs quotes as a whole",
    ),
    (
        "expected ':'",
        "write `key: value`, with a blank after the colon; a text of several lines stands below `|`, indented",
    ),
    ("after single-quoted scalar", "inside `'...'` a `'` is written twice; or use `\"...\"`"),
    ("after double-quoted scalar", "inside `\"...\"` a `\"` is written `\\\"`; or use `'...'`"),
    ("unclosed bracket '['", "close it with `]`; a text that begins with `[` needs quotes"),
    ("unclosed bracket '{'", "close it with `}`; a text that begins with `{` needs quotes"),
    ("unclosed quote", "close it; a text of several lines stands below `|`, indented"),
    ("quoted scalar, ", "inside `\"...\"` a `\\` begins an escape: write `\\\\`, or use `'...'`"),
    (
        "expected ',' or",
        "items in brackets are separated by commas; a text with `[`, `]`, `{`, `}` or `,` in it needs quotes",
    ),
];

/// What to do about everything else.
const ANY_SYNTAX: &str =
    "a text with special characters needs quotes, or stands below `|` on lines of its own, indented";

/// How large a finished node is.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    bytes: usize,
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
    /// Of all texts.
    bytes: usize,
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
                    return Err(Fault { at, code: Code::YamlDocuments, message, hint });
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let forced = tag.as_ref().is_some_and(|tag| tag.core_suffix() == Some("str"));
                if let Some(tag) = tag.filter(|tag| tag.core_suffix().is_none()) {
                    self.tag_fault(at, &tag.original());
                }
                let plain = style == ScalarStyle::Plain && !forced;
                let size = Size { nodes: 1, bytes: text.len(), depth: 0 };
                let node = Node { at, yaml: Yaml::Scalar { text: text.into_owned(), plain } };
                self.finish(node, anchor, size)
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
                Some((node, size)) => {
                    let size = *size;
                    // Before the copy is made: that stops alias bombs.
                    self.room_for(size, at)?;
                    let node = node.clone();
                    self.finish(node, 0, size)
                }
                None => Err(Fault {
                    at,
                    code: Code::YamlAlias,
                    message: "this alias stands inside what it stands for".to_owned(),
                    hint: Some("write out what is meant".to_owned()),
                }),
            },
            Event::UnresolvedAlias(name) => Err(Fault {
                at,
                code: Code::YamlAlias,
                message: format!("no anchor `&{name}` before this alias"),
                hint: Some("a text that begins with `*` needs quotes".to_owned()),
            }),
            _ => Ok(()),
        }
    }

    fn tag_fault(&mut self, at: Place, tag: &str) {
        self.faults.push(Fault {
            at,
            code: Code::YamlTag,
            message: format!("the tag `{tag}` means nothing here"),
            hint: Some(match tag {
                "!include" => "files cannot include others; each agent has a file in `agents/`".to_owned(),
                _ => "remove it, or quote the text that begins with `!`".to_owned(),
            }),
        });
    }

    fn begin(&mut self, at: Place, anchor: usize, children: Children) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open { at, anchor, size: Size { nodes: 1, bytes: 0, depth: 1 }, children });
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
        self.bytes -= open.size.bytes;
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
                        code: Code::YamlMerge,
                        message: "`<<` takes a map or a list of maps".to_owned(),
                        hint: Some("write `<<: *name`, where `&name` stands before a map".to_owned()),
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

    fn room_for(&self, size: Size, at: Place) -> Result<(), Fault> {
        let (most, of) = if self.nodes + size.nodes > MAX_NODES {
            (MAX_NODES, "values")
        } else if self.bytes + size.bytes > MAX_BYTES {
            (MAX_BYTES, "bytes of text")
        } else {
            return Ok(());
        };
        let message = format!("more than {most} {of}, counting what aliases stand for");
        let hint = Some("write less, and fewer aliases of what is long".to_owned());
        Err(Fault { at, code: Code::YamlSize, message, hint })
    }

    fn count(&mut self, size: Size) {
        self.nodes += size.nodes;
        self.bytes += size.bytes;
    }

    /// Hands a finished node to the collection that it belongs to.
    fn finish(&mut self, node: Node, anchor: usize, size: Size) -> Result<(), Fault> {
        self.room_for(size, node.at)?;
        self.count(size);
        if self.open.len() + size.depth > MAX_DEPTH {
            return Err(too_deep(node.at));
        }
        if anchor != 0 {
            // The copy counts too, so that many nested anchors cannot multiply a document.
            self.count(size);
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
                            code: Code::YamlKey,
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
                            code: Code::DuplicateKey,
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

fn too_deep(at: Place) -> Fault {
    let message = format!("lists and maps are nested more than {MAX_DEPTH} deep");
    let hint = Some("close what is open, and quote a text that begins with `[` or `{`".to_owned());
    Fault { at, code: Code::YamlDepth, message, hint }
}
