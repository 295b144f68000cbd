//! Which provider answers for a model.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use boathouse_core::crew::Model;
use boathouse_core::message::Reply;
use boathouse_core::run::event::CallErrorKind;
use boathouse_core::run::request::ModelRequest;

use secrecy::SecretString;
use tokio::time::Instant;

use super::client::Timeouts;
use super::openai::OpenAi;
use super::pool::{KeyHash, Pool, PoolKey, PoolMetrics, Pooled};
use super::script::PROVIDER;
use super::scripted::Scripted;
use super::{Deltas, Provider, ProviderError};

mod env;

/// The providers that a program knows, by name. Clones share one table and one pool of clients.
///
/// A clone is cheap. What is changed through one clone counts for all, from the next [`Providers::resolve`] on.
#[derive(Clone)]
pub struct Providers {
    inner: Arc<Inner>,
}

struct Inner {
    table: ArcSwap<Table>,
    pool: Pool<OpenAi>,
}

#[derive(Clone, Default)]
struct Table {
    entries: BTreeMap<String, Entry>,
    /// Answers for every model, whatever the crew says.
    replacement: Option<Replacement>,
    timeouts: Timeouts,
}

#[derive(Clone)]
enum Entry {
    /// One that was handed in ready-made.
    Custom(Arc<dyn Provider>),
    /// A server that speaks Chat Completions.
    Server(Server),
}

#[derive(Clone)]
struct Server {
    name: Arc<str>,
    base_url: Arc<str>,
    key: Option<SecretString>,
    key_hash: KeyHash,
    /// The server at `base_url` answers nobody without a key; the environment variable that would have given one.
    needs_key: Option<&'static str>,
    /// How base URLs are written for it.
    dialect: Dialect,
}

/// How a base URL is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// As it is requested, without `/chat/completions`.
    Plain,
    /// As for Ollama: scheme, port and `/v1` may be left out.
    Ollama,
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
        let providers =
            Providers { inner: Arc::new(Inner { table: ArcSwap::default(), pool: Pool::default() }) };
        providers.with(PROVIDER, Arc::new(Scripted::new()))
    }

    /// Adds a provider, or replaces the one of that name. It answers for every base URL.
    pub fn with(self, name: impl Into<String>, provider: Arc<dyn Provider>) -> Providers {
        self.put(name.into(), Entry::Custom(provider));
        self
    }

    /// Adds a server that speaks Chat Completions, or replaces the provider of that name: vLLM, LM Studio, llama.cpp,
    /// Azure, a gateway.
    ///
    /// `base_url` is what its requests extend by `/chat/completions`; it is checked when a model is resolved. Without a
    /// key none is sent.
    pub fn openai_compatible(
        self,
        name: impl Into<String>,
        base_url: impl AsRef<str>,
        key: Option<SecretString>,
    ) -> Providers {
        self.put_server(&name.into(), base_url.as_ref(), key, None, Dialect::Plain);
        self
    }

    /// Knows `scripted`, `openai` and `ollama`, set up from the environment. Only this reads it, once.
    ///
    /// - `openai`: `OPENAI_API_KEY`, `OPENAI_BASE_URL` (`https://api.openai.com/v1`).
    /// - `ollama`: `OLLAMA_BASE_URL`, else `OLLAMA_HOST` (`http://127.0.0.1:11434/v1`). It needs no key.
    ///
    /// An empty variable counts as unset.
    pub fn from_env() -> Providers {
        env::providers(|name| std::env::var(name).ok())
    }

    /// Sets the timeouts of clients made from now on; the ones there are dropped from the pool.
    pub fn with_timeouts(self, timeouts: Timeouts) -> Providers {
        self.change(|table| table.timeouts = timeouts);
        self.inner.pool.invalidate(|_| true);
        self
    }

    /// Gives a provider another key. Calls under way end with the old one.
    ///
    /// An error of kind `config` if there is no such provider, or if it takes no key.
    pub fn set_key(&self, name: &str, key: SecretString) -> Result<(), ProviderError> {
        let table = self.inner.table.load();
        let old = match table.entries.get(name) {
            None => return Err(unknown(name, &table)),
            Some(Entry::Custom(_)) => return Err(config(format!("the provider `{name}` takes no key"))),
            Some(Entry::Server(server)) => server.key_hash,
        };
        self.change(|table| {
            if let Some(Entry::Server(server)) = table.entries.get_mut(name) {
                server.key_hash = KeyHash::of(Some(&key));
                server.key = Some(key.clone());
            }
        });
        self.inner.pool.invalidate(|pooled| &*pooled.provider == name && pooled.key == old);
        Ok(())
    }

    /// Drops a provider's clients from the pool; the next call makes a new one. Returns how many there were.
    pub fn invalidate(&self, name: &str) -> usize {
        self.inner.pool.invalidate(|pooled| &*pooled.provider == name)
    }

    /// How the pool of clients has been used.
    pub fn pool_metrics(&self) -> PoolMetrics {
        self.inner.pool.metrics()
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
    ///
    /// The model's `base_url` takes the place of the provider's own, for servers that speak Chat Completions.
    pub fn resolve(&self, model: &Model) -> Result<Arc<dyn Provider>, ProviderError> {
        let table = self.inner.table.load();
        let Some(replacement) = &table.replacement else {
            return self.find(&table, &model.provider, model.base_url.as_deref());
        };
        let provider = self.find(&table, &replacement.provider, None)?;
        Ok(match &replacement.model {
            None => provider,
            Some(model) => Arc::new(OtherModel { provider, model: model.clone() }),
        })
    }

    fn find(
        &self,
        table: &Table,
        name: &str,
        base_url: Option<&str>,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        match table.entries.get(name) {
            None => Err(unknown(name, table)),
            Some(Entry::Custom(provider)) => Ok(provider.clone()),
            Some(Entry::Server(server)) => Ok(self.client(server, base_url, table.timeouts)?),
        }
    }

    fn client(
        &self,
        server: &Server,
        base_url: Option<&str>,
        timeouts: Timeouts,
    ) -> Result<Arc<OpenAi>, ProviderError> {
        if let (None, None, Some(variable)) = (&server.key, base_url, server.needs_key) {
            return Err(config(format!(
                "the provider `{}` needs a key; set the environment variable {variable}",
                server.name
            )));
        }
        let base_url = match base_url {
            None => server.base_url.clone(),
            Some(url) => server.dialect.base_url(url).into(),
        };
        let key = PoolKey { provider: server.name.clone(), base_url, key: server.key_hash };
        self.inner.pool.get(&key, || {
            OpenAi::new(&key.base_url, server.key.clone(), timeouts).map_err(|mut error| {
                error.message = format!("the provider `{}` is not set up: {}", server.name, error.message);
                error
            })
        })
    }

    fn put_server(
        &self,
        name: &str,
        base_url: &str,
        key: Option<SecretString>,
        needs_key: Option<&'static str>,
        dialect: Dialect,
    ) {
        let server = Server {
            name: name.into(),
            base_url: dialect.base_url(base_url).into(),
            key_hash: KeyHash::of(key.as_ref()),
            key,
            needs_key,
            dialect,
        };
        self.put(name.to_owned(), Entry::Server(server));
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

impl Dialect {
    fn base_url(self, written: &str) -> String {
        let written = written.trim();
        match self {
            Dialect::Plain => written.trim_end_matches('/').to_owned(),
            Dialect::Ollama => env::ollama_base_url(written),
        }
    }
}

impl Pooled for OpenAi {
    fn tidy(&self, now: Instant) {
        OpenAi::tidy(self, now);
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
