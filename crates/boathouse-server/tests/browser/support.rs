//! A server with scripted crews, and a page that shows its console.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use boathouse::core::crew::check::Catalog;
use boathouse::core::crew::{Effect, ToolSpec};
use boathouse::crew_dir;
use boathouse::engine::Engine;
use boathouse::provider::Providers;
use boathouse::tool::{Tool, ToolCx, ToolError, Tools};
use boathouse_server::server::{ServerConfig, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;

use crate::chromium::{self, Page};

/// The folder of a crew that only these tests run.
pub fn crew(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/crews").join(name)
}

/// The folder of a crew that ships.
pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// An engine with its server; both ends of the test's world.
pub struct World {
    pub engine: Engine,
    pub address: SocketAddr,
    /// A permit lets one call of the tool `Gate` return.
    pub gate: Arc<Semaphore>,
    serving: Serving,
}

struct Serving {
    shutdown: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl World {
    /// Serves the crews of these folders. Every model is scripted.
    pub async fn serve(dirs: &[PathBuf]) -> World {
        let gate = Arc::new(Semaphore::new(0));
        let providers = Providers::new();
        providers.replace_all_with("scripted").unwrap();
        let tools = Tools::builtin().with(Gate::new(gate.clone())).unwrap().with(Pay::new()).unwrap();
        let catalog = Catalog {
            tools: tools.specs(),
            providers: vec!["scripted".to_owned(), "openai".to_owned()].into_iter().collect(),
        };
        let crews: Vec<_> = dirs.iter().map(|dir| crew_dir::load(dir, &catalog).unwrap()).collect();
        let mut builder = Engine::builder().providers(providers).tools(tools);
        for crew in crews {
            builder = builder.crew(crew);
        }
        let engine = builder.start().await.unwrap();
        let (address, serving) = listen(&engine, "127.0.0.1:0".parse().unwrap()).await;
        World { engine, address, gate, serving }
    }

    /// Ends the server; runs go on.
    pub async fn hang_up(&mut self) {
        self.serving.shutdown.cancel();
        (&mut self.serving.task).await.unwrap().unwrap();
    }

    /// Serves again where it was before.
    pub async fn come_back(&mut self) {
        (_, self.serving) = listen(&self.engine, self.address).await;
    }

    pub async fn stop(mut self) {
        self.hang_up().await;
        self.engine.shutdown(Duration::ZERO).await;
    }
}

async fn listen(engine: &Engine, address: SocketAddr) -> (SocketAddr, Serving) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let config = ServerConfig { grace: Duration::ZERO, ..ServerConfig::default() };
    let task = tokio::spawn(serve(listener, engine.clone(), config, shutdown.clone()));
    (address, Serving { shutdown, task })
}

/// The console of a server of these crews; `None` if there is no browser.
pub async fn console(dirs: &[PathBuf]) -> Option<(World, Page)> {
    let browser = chromium::browser()?;
    let world = World::serve(dirs).await;
    let mut page = Page::open(browser, &format!("http://{}/", world.address)).await;
    page.until("document.activeElement?.id === 'input'").await;
    Some((world, page))
}

/// Ends a test: the page has had nothing to complain about.
pub async fn end(world: World, page: Page) {
    assert_eq!(page.complaints, Vec::<String>::new());
    page.close().await;
    world.stop().await;
}

/// Sends a request to the crew that is chosen.
pub async fn send(page: &mut Page, request: &str) {
    page.click("#input").await;
    page.write(request).await;
    page.press_enter(false).await;
    page.until("location.hash.startsWith('#run=')").await;
}

/// Nobody knows whether it pays.
struct Pay(Arc<ToolSpec>);

impl Pay {
    fn new() -> Pay {
        let parameters = json!({"type": "object", "properties": {"amount": {"type": "integer"}}});
        Pay(Arc::new(ToolSpec::new("Pay", "Pays.", parameters).effect(Effect::Once)))
    }
}

#[async_trait]
impl Tool for Pay {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.0
    }

    async fn call(&self, _arguments: &Value, _cx: &ToolCx) -> Result<String, ToolError> {
        Err(ToolError::Unknown("the bank hung up".to_owned()))
    }
}
