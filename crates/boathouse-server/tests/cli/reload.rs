//! Crews that are edited while `boathouse serve` serves them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::serve::{address, get, post};
use crate::support::{Crew, Going};

const CREW: &str = "name: desk\nagents: [clerk]\n";
const CLERK: &str = "id: clerk\nmodel: any\nsystem_prompt: x\nis_terminal: true\n";
const CHANGED: &str = "crew desk has changed: new runs take its new version";

/// A script that answers with one text.
fn says(text: &str) -> String {
    format!("rules: [{{reply: {text}}}]\n")
}

/// A crew in a folder, and a server that serves it.
struct Served {
    crew: Crew,
    going: Going,
    address: String,
}

impl Served {
    fn start() -> Served {
        let crew = Crew::new(CREW, &says("first"));
        fs::create_dir(crew.dir.path().join("desk/agents")).unwrap();
        fs::write(crew.dir.path().join("desk/agents/clerk.yaml"), CLERK).unwrap();
        Served::serve(crew)
    }

    fn serve(crew: Crew) -> Served {
        let args = ["serve", "desk", "--model", "scripted", "--port", "0"];
        let mut going = Going::start(&mut crew.boathouse(&args));
        let address = address(&going.line_with("Boathouse serves"));
        Served { crew, going, address }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.crew.dir.path().join("desk").join(name)
    }

    /// `GET /v1/crews/desk`.
    fn shown(&self) -> Value {
        let (status, body) = get(&self.address, "/v1/crews/desk");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// What a new run says.
    fn says(&self) -> String {
        let (_, run) = post(&self.address, "/v1/crews/desk/runs?wait=true", r#"{"input":"hello"}"#);
        let run: Value = serde_json::from_str(&run).unwrap();
        assert_eq!(run["state"], "completed", "{run}");
        run["output"].as_str().unwrap().to_owned()
    }

    /// Waits until a change counts.
    fn changed(&mut self) {
        self.going.error_with(CHANGED);
    }
}

/// Writes a file as editors do: a new one beside it, renamed over it.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new~");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

#[test]
fn a_valid_change_is_a_version_and_an_invalid_one_a_problem() {
    let mut served = Served::start();
    let first = served.shown();
    assert_eq!(first["versions"].as_array().unwrap().len(), 1);
    assert_eq!((&first["versions"][0]["hash"], &first["problems"]), (&first["hash"], &json!([])));

    fs::write(served.file("crew.yaml"), format!("{CREW}description: second\n")).unwrap();
    served.changed();
    let second = served.shown();
    assert_eq!(second["description"], "second");
    assert_eq!(second["versions"][0]["hash"], second["hash"]);
    assert_eq!(second["versions"][1], first["versions"][0]);

    fs::write(served.file("crew.yaml"), format!("{CREW}descripton: third\n")).unwrap();
    served.going.error_with("did you mean `description`?");
    served.going.error_with("crew desk has 1 error: its version before is served");
    let mut third = served.shown();
    let problem = third["problems"][0].take();
    assert_eq!(
        (&problem["severity"], &problem["file"], &problem["line"], &problem["column"], &problem["hint"]),
        (
            &json!("error"),
            &json!("desk/crew.yaml"),
            &json!(3),
            &json!(1),
            &json!("did you mean `description`?")
        )
    );
    assert_eq!((&third["hash"], &third["versions"]), (&second["hash"], &second["versions"]));

    fs::write(served.file("crew.yaml"), format!("{CREW}description: second\n")).unwrap();
    served.going.error_with("crew desk is again as it is served");
    assert_eq!(served.shown(), second);

    fs::write(served.file("crew.yaml"), CREW.replace("desk", "office")).unwrap();
    served.going.error_with("crew desk is now named `office`");
    let renamed = served.shown();
    assert_eq!((&renamed["hash"], &renamed["problems"][0]["code"]), (&second["hash"], &json!("renamed")));
}

#[test]
fn files_may_be_replaced_deleted_and_made_again() {
    let mut served = Served::start();
    assert_eq!(served.says(), "first");
    replace(&served.file("scripted.yaml"), &says("second"));
    served.changed();
    assert_eq!(served.says(), "second");

    replace(&served.file("agents/clerk.yaml"), &CLERK.replace("id: clerk\n", "id: clerk\nname: Ann\n"));
    served.changed();
    assert_eq!(served.shown()["agents"][0]["name"], "Ann");

    fs::remove_file(served.file("agents/clerk.yaml")).unwrap();
    served.going.error_with("its version before is served");
    assert_eq!(
        (served.shown()["agents"][0]["name"].as_str(), served.says().as_str()),
        (Some("Ann"), "second")
    );
    fs::write(served.file("agents/clerk.yaml"), CLERK.replace("id: clerk\n", "id: clerk\nname: Eve\n"))
        .unwrap();
    served.changed();
    let shown = served.shown();
    assert_eq!((&shown["agents"][0]["name"], &shown["problems"]), (&json!("Eve"), &json!([])));
}

#[test]
fn a_folder_that_is_gone_or_unreadable_is_told() {
    let mut served = Served::start();
    fs::rename(served.file(""), served.crew.dir.path().join("away")).unwrap();
    served.going.error_with("there is no such folder");
    served.going.error_with("its version before is served");
    assert_eq!(served.says(), "first");
    assert_eq!(served.shown()["problems"][0]["code"], "missing_file");

    fs::rename(served.crew.dir.path().join("away"), served.file("")).unwrap();
    served.going.error_with("crew desk is again as it is served");
    assert_eq!(served.shown()["problems"], json!([]));

    fs::remove_file(served.file("crew.yaml")).unwrap();
    fs::create_dir(served.file("crew.yaml")).unwrap();
    served.going.error_with("this is a folder, and a file is meant");
    served.going.error_with("its version before is served");
    assert_eq!(served.says(), "first");
}

#[test]
fn a_mount_that_is_swapped_by_a_symbolic_link_is_seen() {
    // As Kubernetes mounts a config map: all files lead through `..data`, which one rename makes point elsewhere.
    let crew = Crew::new(CREW, "");
    let desk = crew.dir.path().join("desk");
    fs::remove_file(desk.join("crew.yaml")).unwrap();
    let version = |name: &str, text: &str| {
        fs::create_dir_all(desk.join(name).join("agents")).unwrap();
        fs::write(desk.join(name).join("crew.yaml"), CREW).unwrap();
        fs::write(desk.join(name).join("agents/clerk.yaml"), CLERK).unwrap();
        fs::write(desk.join(name).join("scripted.yaml"), says(text)).unwrap();
    };
    version("..one", "first");
    symlink("..one", desk.join("..data")).unwrap();
    for name in ["crew.yaml", "agents", "scripted.yaml"] {
        symlink(Path::new("..data").join(name), desk.join(name)).unwrap();
    }
    let mut served = Served::serve(crew);
    assert_eq!(served.says(), "first");

    version("..two", "second");
    symlink("..two", desk.join("..data_tmp")).unwrap();
    fs::rename(desk.join("..data_tmp"), desk.join("..data")).unwrap();
    fs::remove_dir_all(desk.join("..one")).unwrap();
    served.changed();
    assert_eq!(served.says(), "second");
}

#[test]
fn a_run_keeps_its_version_also_after_a_restart() {
    let mut served = Served::start();
    let asks = "id: clerk\nmodel: any\nsystem_prompt: x\n";
    let routing = "routing:\n  signals: {clerk: [{signal: \"[DONE]\", target: null}]}\n  agent_behaviors: {clerk: {wait_for_signal: true}}\n";
    fs::write(served.file("agents/clerk.yaml"), asks).unwrap();
    fs::write(served.file("crew.yaml"), format!("{CREW}{routing}")).unwrap();
    let script = |version: &str| {
        format!("rules: [{{call: 1, reply: What now?}}, {{reply: \"{{{{last}}}} by {version} [DONE]\"}}]\n")
    };
    fs::write(served.file("scripted.yaml"), script("old")).unwrap();
    served.changed();
    let begin = |served: &Served| -> String {
        let (_, run) = post(&served.address, "/v1/crews/desk/runs?wait=true", r#"{"input":"hello"}"#);
        let run: Value = serde_json::from_str(&run).unwrap();
        assert_eq!(run["state"], "paused", "{run}");
        run["id"].as_str().unwrap().to_owned()
    };
    let answered = |served: &Served, id: &str| -> Value {
        assert_eq!(post(&served.address, &format!("/v1/runs/{id}/answer"), r#"{"text":"blue"}"#).0 / 100, 2);
        // The stream ends with the run.
        get(&served.address, &format!("/v1/runs/{id}/events"));
        serde_json::from_str(&get(&served.address, &format!("/v1/runs/{id}")).1).unwrap()
    };
    let (one, other) = (begin(&served), begin(&served));
    fs::write(served.file("scripted.yaml"), script("new")).unwrap();
    served.changed();
    assert_eq!(answered(&served, &one)["output"], "blue by old");

    let Served { crew, going, .. } = served;
    going.signal(Signal::KILL);
    going.end();
    let served = Served::serve(crew);
    assert_eq!(answered(&served, &other)["output"], "blue by old");
    let new = begin(&served);
    assert_eq!(answered(&served, &new)["output"], "blue by new");
}
