//! Which provider answers for a model.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use boathouse_core::crew::Model;
use boathouse_core::message::Reply;
use boathouse_core::run::event::CallErrorKind;
use boathouse_core::run::request::ModelRequest;

use super::scripted::Scripted;
use super::{Deltas, Provider, ProviderError};

/// The providers that a program knows, by name. Clones share one table.
#[derive(Clone)]
pub struct Providers {
    inner: Arc<Inner>,
}

struct Inner {
    table: ArcSwap<Table>,
}

#[derive(Clone, Default)]
struct Table {
    entries: BTreeMap<String, Entry>,
    /// Answers for every model, whatever the crew says.
    replacement: Option<Replacement>,
}

#[derive(Clone)]
enum Entry {
    /// One that was handed in ready-made.
    Custom(Arc<dyn Provider>),
}

#[derive(Clone)]
struct Replacement {
    provider: String,
    model: Option<String>,
}

impl Default for Providers {
    fn default() -> Self {
        Providers::new()
    }
}

impl Providers {
    /// Knows `scripted` and nothing else. Reads no environment.
    pub fn new() -> Providers {
        let providers = Providers { inner: Arc::new(Inner { table: ArcSwap::default() }) };
        providers.with("scripted", Arc::new(Scripted::new()))
    }

    /// Adds a provider, or replaces the one of that name. It answers for every base URL.
    pub fn with(self, name: impl Into<String>, provider: Arc<dyn Provider>) -> Providers {
        self.put(name.into(), Entry::Custom(provider));
        self
    }

    /// From now on one provider answers for every model: `scripted`, or `openai/gpt-4o-mini` to set the model too.
    ///
    /// A model's `base_url` does not count then. An unknown provider is an error of kind `config`.
    pub fn replace_all_with(&self, provider: &str) -> Result<(), ProviderError> {
        let (provider, model) = match provider.split_once('/') {
            Some((provider, model)) => (provider, Some(model)),
            None => (provider, None),
        };
        let table = self.inner.table.load();
        if !table.entries.contains_key(provider) {
            return Err(unknown(provider, &table));
        }
        if model == Some("") {
            return Err(config(format!("no model is named after `{provider}/`")));
        }
        let replacement = Replacement { provider: provider.to_owned(), model: model.map(str::to_owned) };
        self.change(|table| table.replacement = Some(replacement.clone()));
        Ok(())
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.inner.table.load().entries.keys().cloned().collect()
    }

    /// The provider that answers for a model. Errors are of kind `config` and say what to set.
    pub fn resolve(&self, model: &Model) -> Result<Arc<dyn Provider>, ProviderError> {
        let table = self.inner.table.load();
        let Some(replacement) = &table.replacement else {
            return self.find(&table, &model.provider);
        };
        let provider = self.find(&table, &replacement.provider)?;
        Ok(match &replacement.model {
            None => provider,
            Some(model) => Arc::new(OtherModel { provider, model: model.clone() }),
        })
    }

    fn find(&self, table: &Table, name: &str) -> Result<Arc<dyn Provider>, ProviderError> {
        match table.entries.get(name) {
            None => Err(unknown(name, table)),
            Some(Entry::Custom(provider)) => Ok(provider.clone()),
        }
    }

    fn put(&self, name: String, entry: Entry) {
        self.change(|table| {
            table.entries.insert(name.clone(), entry.clone());
        });
    }

    fn change(&self, change: impl Fn(&mut Table)) {
        self.inner.table.rcu(|table| {
            let mut table = Table::clone(table);
            change(&mut table);
            table
        });
    }
}

/// Asks a provider for another model than the crew names.
struct OtherModel {
    provider: Arc<dyn Provider>,
    model: String,
}

#[async_trait]
impl Provider for OtherModel {
    async fn reply(&self, request: &ModelRequest, deltas: &dyn Deltas) -> Result<Reply, ProviderError> {
        let mut request = request.clone();
        request.model.model.clone_from(&self.model);
        self.provider.reply(&request, deltas).await
    }
}

fn config(why: String) -> ProviderError {
    ProviderError::new(CallErrorKind::Config, why)
}

fn unknown(name: &str, table: &Table) -> ProviderError {
    let known = table.entries.keys().map(|name| format!("`{name}`")).collect::<Vec<String>>().join(", ");
    config(format!("no provider named `{name}`; known are {known}"))
}

#[cfg(test)]
mod tests;
