//! A Chromium without a screen, driven over a pair of pipes. It ends when its pipes close.
//!
//! Source: <https://chromedevtools.github.io/devtools-protocol/>.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long a test waits for what must come; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The browser to test with; `None`, and a line that says so, if there is none or it is not wanted.
///
/// With `CI=true` a browser that is missing is a failure.
pub fn browser() -> Option<PathBuf> {
    if env::var_os("BOATHOUSE_SKIP_BROWSER").is_some_and(|value| value == "1") {
        return skip("BOATHOUSE_SKIP_BROWSER=1");
    }
    let dirs: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found =
        names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name))).find(|file| file.is_file());
    found.or_else(|| skip("there is no Chromium; ./test installs it"))
}

fn skip(why: &str) -> Option<PathBuf> {
    assert!(env::var("CI").as_deref() != Ok("true"), "the console is not tested in a browser: {why}");
    println!("skipped: {why}");
    None
}

/// One page of a browser of its own.
pub struct Page {
    browser: Child,
    input: ChildStdin,
    output: ChildStdout,
    read: Vec<u8>,
    calls: u64,
    session: Option<String>,
    /// What the page complained about: errors and warnings of its console, exceptions, what the policy refused.
    pub complaints: Vec<String>,
    _profile: TempDir,
}

impl Page {
    pub async fn open(browser: PathBuf, address: &str) -> Page {
        let profile = TempDir::new().unwrap();
        let mut browser = Command::new("sh")
            // Chromium reads its commands from descriptor 3 and answers on 4.
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"#, "sh"])
            .arg(browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
            ])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args([
                "--disable-sync",
                "--disable-extensions",
                "--lang=en",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (browser.stdin.take().unwrap(), browser.stdout.take().unwrap());
        let (read, calls, complaints) = (Vec::new(), 0, Vec::new());
        let mut page =
            Page { browser, input, output, read, calls, session: None, complaints, _profile: profile };
        let targets = page.call("Target.getTargets", json!({})).await;
        let target =
            targets["targetInfos"].as_array().unwrap().iter().find(|target| target["type"] == "page");
        let target = target.expect("a browser opens with a page")["targetId"].clone();
        let attached = page.call("Target.attachToTarget", json!({"targetId": target, "flatten": true})).await;
        page.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        page.size(1280, 900).await;
        page.call("Page.navigate", json!({"url": address})).await;
        page
    }

    /// Ends the browser and waits for it.
    pub async fn close(mut self) {
        self.send("Browser.close", json!({})).await;
        timeout(PATIENCE, self.browser.wait()).await.expect("the browser ends").unwrap();
    }

    pub async fn size(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Waits until the expression is true, looking whenever the document changes.
    pub async fn until(&mut self, condition: &str) {
        let script = format!(
            "new Promise((resolve) => {{
                const look = () => {{
                    let is = false;
                    try {{ is = Boolean({condition}); }} catch {{ }}
                    if (!is) return;
                    observer.disconnect();
                    clearInterval(timer);
                    resolve(true);
                }};
                const observer = new MutationObserver(look);
                observer.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}});
                // Focus and addresses change without the document.
                const timer = setInterval(look, 50);
                look();
            }})"
        );
        let waiting = async {
            // A page that is left takes its promises along: the next page is asked again.
            while self.try_run(&script).await != Ok(Value::Bool(true)) {}
        };
        if timeout(PATIENCE, waiting).await.is_ok() {
            return;
        }
        let shown = timeout(PATIENCE, self.run("document.body.innerText")).await.unwrap_or_default();
        panic!("never came true: {condition}\ncomplaints: {:#?}\nthe page shows:\n{shown}", self.complaints);
    }

    /// The value of an expression.
    pub async fn run(&mut self, expression: &str) -> Value {
        self.try_run(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    pub async fn text(&mut self, selector: &str) -> String {
        let found =
            self.run(&format!("document.querySelector({})?.textContent ?? null", json!(selector))).await;
        found.as_str().unwrap_or_else(|| panic!("no {selector}")).to_owned()
    }

    pub async fn count(&mut self, selector: &str) -> u64 {
        self.run(&format!("document.querySelectorAll({}).length", json!(selector))).await.as_u64().unwrap()
    }

    async fn try_run(&mut self, expression: &str) -> Result<Value, String> {
        let asked = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true
        });
        let mut told = self.try_call("Runtime.evaluate", asked).await?;
        match told.get("exceptionDetails") {
            Some(details) => Err(details.to_string()),
            None => Ok(told["result"]["value"].take()),
        }
    }

    /// Clicks into the middle of what a person sees of the element, once it has stood still for two frames.
    ///
    /// Panics if something else is there: a test that goes on beside what still moves the page would click on that.
    pub async fn click(&mut self, selector: &str) {
        let place = self
            .run(&format!(
                "(async () => {{
                    const frame = () => new Promise(requestAnimationFrame);
                    for (let last = null, still = 0; ; ) {{
                        const element = document.querySelector({selector});
                        element.scrollIntoView({{block: 'nearest', behavior: 'instant'}});
                        const box = element.getBoundingClientRect();
                        const place = {{x: box.x + box.width / 2, y: box.y + box.height / 2}};
                        still = last && last.x === place.x && last.y === place.y ? still + 1 : 0;
                        if (still === 2) {{
                            const there = document.elementFromPoint(place.x, place.y);
                            if (!there || !element.contains(there)) throw new Error(`there is ${{there?.outerHTML}}`);
                            return place;
                        }}
                        last = place;
                        await frame();
                    }}
                }})()",
                selector = json!(selector)
            ))
            .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let mouse =
                json!({"type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", mouse).await;
        }
    }

    /// Types into what has the focus.
    pub async fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    pub async fn press_enter(&mut self, shift: bool) {
        let modifiers = if shift { 8 } else { 0 };
        for kind in ["keyDown", "keyUp"] {
            let mut key = json!({
                "type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "modifiers": modifiers
            });
            if kind == "keyDown" {
                key["text"] = json!("\r");
            }
            self.call("Input.dispatchKeyEvent", key).await;
        }
    }

    /// Loads the page again, as a person does; the new page is there when this returns.
    pub async fn reload(&mut self) {
        self.run("globalThis.isOld = true").await;
        self.call("Page.reload", json!({})).await;
        self.until("!globalThis.isOld && document.readyState === 'complete'").await;
    }

    /// A picture of what the window shows, as PNG in base64.
    pub async fn picture(&mut self) -> String {
        let told = self.call("Page.captureScreenshot", json!({"format": "png"})).await;
        told["data"].as_str().unwrap().to_owned()
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.try_call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let id = self.send(method, params).await;
        loop {
            let mut message = self.message().await;
            if message["id"] == id {
                return match message.get("error") {
                    Some(error) => Err(error.to_string()),
                    None => Ok(message["result"].take()),
                };
            }
            let params = &message["params"];
            let complains = match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => true,
                Some("Runtime.consoleAPICalled") => params["type"] == "error" || params["type"] == "warning",
                Some("Log.entryAdded") => params["entry"]["level"] == "error",
                Some(_) | None => false,
            };
            if complains {
                self.complaints.push(params.to_string());
            }
        }
    }

    async fn send(&mut self, method: &str, params: Value) -> u64 {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let sent = self.input.write_all(format!("{message}\0").as_bytes()).await;
        sent.expect("the browser is there");
        self.calls
    }

    /// The next message; each ends with a zero byte.
    async fn message(&mut self) -> Value {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == 0) {
                let message = serde_json::from_slice(&self.read[..end]).unwrap();
                self.read.drain(..=end);
                return message;
            }
            let more = timeout(2 * PATIENCE, self.output.read_buf(&mut self.read)).await;
            assert!(more.expect("the browser answers").unwrap() > 0, "the browser has ended");
        }
    }
}
