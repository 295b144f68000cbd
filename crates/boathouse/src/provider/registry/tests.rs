use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use boathouse_core::crew::Model;
use boathouse_core::message::{Finish, Reply};
use boathouse_core::run::event::CallErrorKind;
use boathouse_core::run::request::ModelRequest;

use super::super::scripted::tests::{request, user};
use super::super::{Deltas, NoDeltas, Provider, ProviderError};
use super::Providers;

/// Replies with its own name and the model that it was asked for.
struct Echo(&'static str, Mutex<u32>);

#[async_trait]
impl Provider for Echo {
    async fn reply(&self, request: &ModelRequest, _: &dyn Deltas) -> Result<Reply, ProviderError> {
        *self.1.lock().expect("not poisoned") += 1;
        let text = format!("{}/{}", self.0, request.model.model);
        Ok(Reply { text, calls: Vec::new(), usage: None, finish: Finish::Stop })
    }
}

fn echo(name: &'static str) -> Arc<Echo> {
    Arc::new(Echo(name, Mutex::new(0)))
}

fn model(provider: &str) -> Model {
    Model { provider: provider.to_owned(), model: "m".to_owned(), base_url: None }
}

async fn ask(providers: &Providers, model: &Model) -> String {
    let mut asked = request("", vec![user("x")]);
    asked.model = model.clone();
    let provider = providers.resolve(model).expect("it is known");
    provider.reply(&asked, &NoDeltas).await.expect("it answers").text
}

#[tokio::test]
async fn a_model_goes_to_the_provider_it_names() {
    let providers = Providers::new().with("a", echo("a")).with("b", echo("b"));
    assert_eq!(ask(&providers, &model("a")).await, "a/m");
    assert_eq!(ask(&providers.clone(), &model("b")).await, "b/m");
    let error = providers.resolve(&model("c")).err().expect("it is unknown");
    assert_eq!(error.kind, CallErrorKind::Config);
    assert_eq!(error.message, "no provider named `c`; known are `a`, `b`, `scripted`");
}

#[tokio::test]
async fn one_provider_can_answer_for_every_model() {
    let providers = Providers::new().with("a", echo("a")).with("b", echo("b"));
    let before = providers.clone();
    providers.replace_all_with("b").expect("it is known");
    assert_eq!(ask(&before, &model("a")).await, "b/m", "clones share the choice");
    assert_eq!(ask(&providers, &model("unknown")).await, "b/m");
    providers.replace_all_with("a/org/large").expect("it is known");
    assert_eq!(ask(&providers, &model("b")).await, "a/org/large");
    for (wrong, why) in [("gpt", "no provider named `gpt`"), ("a/", "no model is named after `a/`")] {
        let error = providers.replace_all_with(wrong).expect_err("it is refused");
        assert!(error.message.contains(why), "{error}");
    }
    assert_eq!(ask(&providers, &model("b")).await, "a/org/large", "a refused choice changes nothing");
}
