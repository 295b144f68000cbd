//! Places of a tool's definition that arguments fill.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::crew::argv;
use crate::crew::check::Check;
use crate::crew::file::{At, Said, View};
use crate::crew::http;
use crate::crew::problem::Code;

/// A tool's parameters, and those that have a place.
pub(super) struct Places<'p> {
    declared: BTreeSet<&'p str>,
    used: BTreeSet<String>,
}

impl<'p> Places<'p> {
    pub(super) fn new(parameters: &'p Value) -> Places<'p> {
        let properties = parameters.get("properties").and_then(Value::as_object);
        let declared = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        Places { declared, used: BTreeSet::new() }
    }

    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.declared.contains(name)
    }
}

impl<'a> Check<'a> {
    /// A text with places: each must be that of a parameter.
    pub(super) fn places_in(&mut self, said: Said<'a, &str>, places: &mut Places<'_>) {
        for name in placeholders(said.value) {
            if !places.is_declared(&name) {
                let message = format!("`{{{name}}}` is not a parameter of this tool");
                let hint = self.problems.similar(&name, places.declared.iter().copied());
                let hint = hint.unwrap_or_else(|| {
                    format!("declare it under `parameters`, or write `{{{{{name}}}}}` for the text itself")
                });
                self.problems.error(said.at, Code::UnknownPlaceholder, message, Some(hint));
            }
            places.used.insert(name);
        }
    }

    /// Parameters without a place.
    pub(super) fn idle_parameters(&mut self, tool: View<'a>, places: &Places<'_>, whose: &str, needs: &str) {
        for name in places.declared.iter().filter(|name| !places.used.contains(**name)) {
            let at: At<'a> = tool.key("parameters").unwrap_or(tool.at());
            let message = format!("the parameter `{name}` does nothing: `{whose}` has no `{{{name}}}`");
            let hint = format!("write `{{{name}}}` where the {needs} needs it, or remove the parameter");
            self.problems.warn(at, Code::NoEffect, message, Some(hint));
        }
    }
}

/// The names of the arguments that have a place in a text.
pub(super) fn placeholders(text: &str) -> Vec<String> {
    http::arguments(argv::pieces(text).iter()).map(str::to_owned).collect()
}
