//! `{{name}}`, `{{role}}`, `{{description}}`, `{{backstory}}` and the run's variables in prompts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::crew::Agent;
use crate::run::Run;

/// Placeholders inside the values of placeholders.
const MAX_DEPTH: usize = 8;
/// Placeholders that are replaced in one text.
const MAX_FILLED: usize = 10_000;
/// Bytes of a placeholder's name, with the spaces around it.
const MAX_NAME: usize = 128;
/// Bytes that placeholders may grow one text to.
const MAX_BYTES: usize = 1 << 20;

/// What placeholders stand for, for one agent in one run.
pub(super) struct Placeholders<'a> {
    vars: BTreeMap<&'a str, &'a str>,
    agent: &'a Agent,
}

impl<'a> Placeholders<'a> {
    pub(super) fn new(run: &'a Run, agent: &'a Agent) -> Placeholders<'a> {
        Placeholders { vars: run.vars(), agent }
    }

    /// The text with its placeholders replaced, also those inside what they stand for. Unknown ones, ones that stand inside
    /// themselves, and those past the bounds above are left as they are.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filling = Filling { out: String::with_capacity(text.len()), within: Vec::new(), filled: 0 };
        self.fill_into(text, &mut filling);
        filling.out
    }

    fn fill_into(&self, text: &str, filling: &mut Filling<'a>) {
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            filling.out.push_str(&rest[..open]);
            rest = &rest[open..];
            let known =
                name(rest).and_then(|(name, end)| self.value(name).map(|(name, value)| (name, value, end)));
            match known {
                Some((name, value, end)) if filling.has_room(name, &value) => {
                    filling.filled += 1;
                    filling.within.push(name);
                    self.fill_into(&value, filling);
                    filling.within.pop();
                    rest = &rest[end..];
                }
                _ => {
                    filling.out.push('{');
                    rest = &rest[1..];
                }
            }
        }
        filling.out.push_str(rest);
    }

    /// The name as we hold it, and what it stands for.
    fn value(&self, name: &str) -> Option<(&'a str, Cow<'a, str>)> {
        let agent = self.agent;
        match name {
            "name" => Some(("name", Cow::Borrowed(&agent.name))),
            "role" => Some(("role", Cow::Borrowed(&agent.role))),
            "backstory" => Some(("backstory", Cow::Borrowed(&agent.backstory))),
            // The Go system put the name and the role here, so that is what its crews expect where they describe nothing.
            "description" if agent.description.is_empty() => {
                Some(("description", Cow::Owned(format!("{} - {}", agent.name, agent.role))))
            }
            "description" => Some(("description", Cow::Borrowed(&agent.description))),
            name => self.vars.get_key_value(name).map(|(name, value)| (*name, Cow::Borrowed(*value))),
        }
    }
}

/// A text that is being filled.
struct Filling<'a> {
    out: String,
    /// The placeholders whose value is being filled.
    within: Vec<&'a str>,
    filled: usize,
}

impl Filling<'_> {
    fn has_room(&self, name: &str, value: &str) -> bool {
        self.within.len() < MAX_DEPTH
            && self.filled < MAX_FILLED
            && self.out.len() + value.len() <= MAX_BYTES
            && !self.within.contains(&name)
    }
}

/// The name in a text that begins with `{{`, and where the placeholder ends.
fn name(text: &str) -> Option<(&str, usize)> {
    let inner = &text[2..];
    let end = inner.bytes().take(MAX_NAME).position(|b| matches!(b, b'{' | b'}' | b'\n'))?;
    let name = inner[..end].trim();
    (!name.is_empty() && inner[end..].starts_with("}}")).then_some((name, end + 4))
}
