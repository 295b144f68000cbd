//! The arguments of a call as written: quotes, escapes, brackets, names. What they mean is for [`super::typed`].

use std::borrow::Cow;

/// Brackets inside brackets.
const MAX_DEPTH: usize = 64;

/// An argument as written.
#[derive(Debug)]
pub(super) struct Arg<'a> {
    /// The name before `=` or `:`.
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) value: Node<'a>,
}

/// A value as written.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// Its source text, quotes and brackets included.
    pub(super) raw: &'a str,
    pub(super) kind: NodeKind<'a>,
}

#[derive(Debug)]
pub(super) enum NodeKind<'a> {
    /// In quotes, escapes resolved.
    Quoted(String),
    /// Without quotes: a number, a word, several words. The text is `raw`.
    Bare,
    /// `[...]`
    Array(Vec<Node<'a>>),
    /// `{...}`
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Why arguments cannot be read.
#[derive(Debug)]
pub(super) struct Fault {
    /// For the model.
    pub(super) what: String,
}

impl Fault {
    fn new<T>(what: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { what: what.into() })
    }
}

/// Reads arguments from a place in a text to the text's end at most.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// `at` is the place after the opening `(`.
    pub(super) fn new(text: &'a str, at: usize) -> Reader<'a> {
        Reader { text, at, depth: 1 }
    }

    /// How far it has read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The arguments up to and with the closing `)`. `is_parameter` says whether `name:` names a parameter.
    pub(super) fn args(&mut self, is_parameter: impl Fn(&str) -> bool) -> Result<Vec<Arg<'a>>, Fault> {
        let mut args = Vec::new();
        loop {
            self.skip_space();
            if self.eat(')') {
                return Ok(args);
            }
            args.push(self.arg(&is_parameter)?);
            self.skip_space();
            if self.eat(')') {
                return Ok(args);
            }
            if !self.eat(',') {
                return self.misplaced(&format!("argument {}", args.len()), ')');
            }
        }
    }

    fn arg(&mut self, is_parameter: &impl Fn(&str) -> bool) -> Result<Arg<'a>, Fault> {
        if let Some((name, after)) = self.word_before_separator() {
            let is_name = self.text.as_bytes()[after] == b'=' || is_parameter(name);
            if is_name {
                self.at = after + 1;
                self.skip_space();
                if matches!(self.peek(), Some(',' | ')')) {
                    return Fault::new(format!("`{name}` has no value"));
                }
                return Ok(Arg { name: Some(Cow::Borrowed(name)), value: self.value(Within::Call)? });
            }
        }
        let value = self.value(Within::Call)?;
        if let NodeKind::Quoted(text) = &value.kind {
            let before = self.at;
            self.skip_space();
            if self.eat(':') || self.eat('=') {
                let name = Some(Cow::Owned(text.clone()));
                self.skip_space();
                return Ok(Arg { name, value: self.value(Within::Call)? });
            }
            self.at = before;
        }
        Ok(Arg { name: None, value })
    }

    /// A word followed by `:` or a single `=`, and the separator's place.
    fn word_before_separator(&self) -> Option<(&'a str, usize)> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
        let after = rest[end..].trim_start_matches([' ', '\t']);
        let is_separator = after.starts_with(':') || (after.starts_with('=') && !after.starts_with("=="));
        let starts = rest.starts_with(|c: char| c.is_alphabetic() || c == '_');
        (starts && is_separator).then(|| (&rest[..end], self.text.len() - after.len()))
    }

    fn value(&mut self, within: Within) -> Result<Node<'a>, Fault> {
        let start = self.at;
        let kind = match self.peek() {
            None => return self.misplaced("the arguments", within.closer()),
            Some(c) if closing_quote(c).is_some() => NodeKind::Quoted(self.string()?),
            Some('[') => NodeKind::Array(self.array()?),
            Some('{') => NodeKind::Object(self.object()?),
            Some(_) => {
                let raw = self.bare(within)?;
                return Ok(Node { raw, kind: NodeKind::Bare });
            }
        };
        Ok(Node { raw: &self.text[start..self.at], kind })
    }

    fn array(&mut self) -> Result<Vec<Node<'a>>, Fault> {
        self.open()?;
        let mut items = Vec::new();
        loop {
            self.skip_space();
            if self.close(']') {
                return Ok(items);
            }
            items.push(self.value(Within::Array)?);
            self.skip_space();
            if self.close(']') {
                return Ok(items);
            }
            if !self.eat(',') {
                return self.misplaced("an element of `[`", ']');
            }
        }
    }

    fn object(&mut self) -> Result<Vec<(Cow<'a, str>, Node<'a>)>, Fault> {
        self.open()?;
        let mut entries = Vec::new();
        loop {
            self.skip_space();
            if self.close('}') {
                return Ok(entries);
            }
            let key = self.key()?;
            self.skip_space();
            if !self.eat(':') && !self.eat('=') {
                return self.misplaced(&format!("the key `{}`", short(&key)), ':');
            }
            self.skip_space();
            entries.push((key, self.value(Within::Object)?));
            self.skip_space();
            if self.close('}') {
                return Ok(entries);
            }
            if !self.eat(',') {
                return self.misplaced("an entry of `{`", '}');
            }
        }
    }

    fn key(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.peek().and_then(closing_quote).is_some() {
            return Ok(Cow::Owned(self.string()?));
        }
        let rest = &self.text[self.at..];
        let end = rest.find([':', '=', ',', '{', '}', '[', ']', '(', ')', '\n']).unwrap_or(rest.len());
        let key = rest[..end].trim();
        self.at += end;
        if key.is_empty() {
            return self.misplaced("an entry of `{`", '}');
        }
        Ok(Cow::Borrowed(key))
    }

    /// Words without quotes, up to a `,` or a closing bracket or the line's end. Brackets and quoted stretches inside
    /// are passed over; a quote after a letter or digit is an apostrophe.
    fn bare(&mut self, within: Within) -> Result<&'a str, Fault> {
        let start = self.at;
        let mut closers = Vec::new();
        let mut before = ' ';
        while let Some(c) = self.peek() {
            match c {
                '\n' => break,
                ',' if closers.is_empty() => break,
                '(' | '[' | '{' => {
                    if self.depth + closers.len() >= MAX_DEPTH {
                        return too_deep();
                    }
                    closers.push(closing_bracket(c));
                }
                ')' | ']' | '}' => match closers.pop() {
                    Some(closer) if closer == c => {}
                    Some(closer) => {
                        return Fault::new(format!("`{c}` stands where `{closer}` was expected"));
                    }
                    None if c == ')' || within != Within::Call => break,
                    None => {}
                },
                _ if closing_quote(c).is_some() && !before.is_alphanumeric() => {
                    self.string()?;
                    before = ' ';
                    continue;
                }
                _ => {}
            }
            before = c;
            self.at += c.len_utf8();
        }
        if let Some(closer) = closers.pop() {
            return self.misplaced("the words without quotes", closer);
        }
        let raw = self.text[start..self.at].trim();
        if raw.is_empty() {
            return Fault::new(match self.peek() {
                Some(c) => format!("a value is missing before `{c}`"),
                None => "a value is missing at the end".to_owned(),
            });
        }
        Ok(raw)
    }

    /// A string in quotes: `"`, `'`, `` ` ``, each of them three times, or typographic ones. Line breaks are kept.
    fn string(&mut self) -> Result<String, Fault> {
        let rest = &self.text[self.at..];
        let Some((quote, closer)) = rest.chars().next().and_then(|c| Some((c, closing_quote(c)?))) else {
            return Fault::new("a quote was expected");
        };
        let mut close = [0; 12];
        let single = closer.encode_utf8(&mut close).to_owned();
        let triple = single.repeat(3);
        let close = if quote == closer && rest.starts_with(&triple) { triple } else { single };
        self.at += close.len().max(quote.len_utf8());
        let mut string = String::new();
        loop {
            let rest = &self.text[self.at..];
            if rest.starts_with(&close) {
                self.at += close.len();
                return Ok(string);
            }
            match rest.chars().next() {
                None => return Fault::new(format!("the quote `{quote}` never closes")),
                Some('\\') => self.escape(&mut string),
                Some(c) => {
                    string.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    /// At a backslash. An escape that is none keeps its backslash: `\d` is a backslash and a `d`.
    fn escape(&mut self, string: &mut String) {
        self.at += 1;
        let rest = &self.text[self.at..];
        let Some(c) = rest.chars().next() else {
            string.push('\\');
            return;
        };
        let simple = match c {
            'n' => Some('\n'),
            't' => Some('\t'),
            'r' => Some('\r'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            '\\' | '"' | '\'' | '`' | '/' | '”' | '’' => Some(c),
            _ => None,
        };
        if let Some(meant) = simple {
            string.push(meant);
            self.at += c.len_utf8();
        } else if c == '\n' {
            self.at += 1;
        } else if let Some((meant, length)) = code_point(rest) {
            string.push(meant);
            self.at += length;
        } else {
            string.push('\\');
        }
    }

    fn open(&mut self) -> Result<(), Fault> {
        if self.depth >= MAX_DEPTH {
            return too_deep();
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, bracket: char) -> bool {
        let closed = self.eat(bracket);
        if closed {
            self.depth -= 1;
        }
        closed
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at = self.text.len() - rest.trim_start().len();
    }

    /// The fault of something other than `,` or a closing bracket after `what`.
    fn misplaced<T>(&self, what: &str, closer: char) -> Result<T, Fault> {
        match self.peek() {
            None | Some('\n') => Fault::new(format!("`{closer}` is missing after {what}")),
            Some(_) => {
                let found = short(&self.text[self.at..]);
                Fault::new(format!("`,` or `{closer}` was expected after {what}, not `{found}`"))
            }
        }
    }
}

/// What a value stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Call,
    Array,
    Object,
}

impl Within {
    fn closer(self) -> char {
        match self {
            Within::Call => ')',
            Within::Array => ']',
            Within::Object => '}',
        }
    }
}

fn too_deep<T>() -> Result<T, Fault> {
    Fault::new(format!("brackets are nested more than {MAX_DEPTH} deep"))
}

fn closing_quote(c: char) -> Option<char> {
    match c {
        '"' | '\'' | '`' => Some(c),
        '“' => Some('”'),
        '‘' => Some('’'),
        _ => None,
    }
}

fn closing_bracket(c: char) -> char {
    match c {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

/// The first characters of a line, for a message.
fn short(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.char_indices().nth(20).map_or(line, |(end, _)| &line[..end])
}

/// Reads `xHH`, `uHHHH` (also a surrogate pair) or `u{H...}`: the character, and the bytes read.
fn code_point(text: &str) -> Option<(char, usize)> {
    let hex = |from: usize, to: usize| -> Option<u32> {
        let digits = text.get(from..to)?;
        let all_hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        all_hex.then(|| u32::from_str_radix(digits, 16).ok())?
    };
    if text.starts_with('x') {
        return Some((char::from_u32(hex(1, 3)?)?, 3));
    }
    if text.starts_with("u{") {
        let end = text.bytes().take(9).position(|b| b == b'}')?;
        return Some((char::from_u32(hex(2, end)?)?, end + 1));
    }
    if !text.starts_with('u') {
        return None;
    }
    let first = hex(1, 5)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, 5));
    }
    let second = (text.get(5..7)? == "\\u").then(|| hex(7, 11))??;
    let is_pair = (0xD800..0xDC00).contains(&first) && (0xDC00..0xE000).contains(&second);
    let c = is_pair.then(|| 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?;
    Some((char::from_u32(c)?, 11))
}
