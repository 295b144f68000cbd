//! The console as a person uses it: a real browser, a real server, scripted models.
#![expect(clippy::unwrap_used, unreachable_pub, reason = "tests")]

use boathouse::core::ids::RunId;
use boathouse::core::run::event::Answer;

use crate::support::{console, crew, end, example, send};

mod chromium;
#[path = "../support/gate.rs"]
mod gate;
mod picture;
mod report;
mod support;

#[tokio::test]
async fn a_request_is_answered_by_the_crew_with_a_question_in_between() {
    let Some((world, mut page)) = console(&[crew("gated"), example("it-support")]).await else { return };
    page.run(
        "(() => { const crew = document.querySelector('#crew'); crew.value = 'it-support'; \
              crew.dispatchEvent(new Event('change')); })()",
    )
    .await;
    page.until("document.querySelectorAll('.agent').length === 3").await;
    assert!(page.text(".agent[data-agent=orchestrator]").await.contains("[ROUTE_CLARIFIER] → Ngân"));

    send(&mut page, "My computer is very slow").await;
    page.until("document.querySelector('.turn[data-agent=orchestrator] .signal')").await;
    assert_eq!(page.text(".person .text").await, "My computer is very slow");

    page.until("document.activeElement?.matches('.wait textarea')").await;
    assert!(page.text(".turn[data-agent=clarifier]").await.contains("Which computer is it"));
    assert!(page.text("#status").await.contains("Ngân waits for your answer"));
    page.until("document.querySelector('#state').textContent === 'waits for you'").await;
    page.write("The one in front of me").await;
    page.press_enter(true).await;
    page.write("since this morning").await;
    assert_eq!(page.count(".wait").await, 1, "Shift+Enter does not send");
    page.press_enter(false).await;

    page.until("document.querySelector('#outcome')?.dataset.state === 'completed'").await;
    assert_eq!(page.count(".wait").await, 0);
    let answer = page.run("document.querySelectorAll('.person .text')[1].textContent").await;
    assert_eq!(answer, "The one in front of me\nsince this morning");
    let tools = page.count(".turn[data-agent=executor] .tool").await;
    assert!(tools > 3 && tools == page.count(".tool[data-state=ok]").await, "{tools}");
    page.click(".tool summary").await;
    page.until("document.querySelector('.tool[open] .output').checkVisibility()").await;
    assert!(
        page.text(".tool[open] .output").await.contains("Operating system"),
        "{}",
        page.text(".tool[open]").await
    );
    assert!(page.run("document.title").await.as_str().unwrap().starts_with("completed"));
    assert!(page.text("#figures").await.contains("tokens"));
    page.until("document.querySelector('#runs .dot')?.dataset.state === 'completed'").await;
    assert_eq!(page.text("#runs .run-input").await, "My computer is very slow");
    assert_eq!(page.run("document.querySelector('#composer').hidden").await, false);
    end(world, page).await;
}

#[tokio::test]
async fn a_reply_is_shown_while_it_comes() {
    let Some((world, mut page)) = console(&[crew("stuck")]).await else { return };
    send(&mut page, "just talk").await;
    page.until("document.querySelector('.text.live')?.textContent === 'It begins'").await;
    assert_eq!(page.text("#strip [data-state=working]").await, "Waiter");
    assert_eq!((page.text("#state").await, page.text(".turn .figures").await), ("running".into(), "".into()));
    end(world, page).await;
}

#[tokio::test]
async fn cancel_shows_what_became_of_every_call() {
    let Some((world, mut page)) = console(&[crew("stuck")]).await else { return };
    send(&mut page, "use the tool").await;
    page.until("document.querySelector('.tool')?.dataset.state === 'running'").await;
    page.click("#cancel").await;
    page.until("document.querySelector('#outcome')?.dataset.state === 'cancelled'").await;
    assert!(page.text("table.receipt tbody").await.starts_with("WaiterSleepits processes were"));
    assert_eq!(page.text(".tool .mark").await, "■");

    page.click("#new").await;
    page.until("document.querySelector('#start').checkVisibility()").await;
    send(&mut page, "just talk").await;
    page.until("document.querySelector('.text.live')?.textContent === 'It begins'").await;
    page.click("#cancel").await;
    page.until("document.querySelector('#outcome')?.dataset.state === 'cancelled'").await;
    assert!(page.text("table.receipt tbody").await.starts_with("Waitermodel call"));
    assert!(page.text(".turn .note").await.starts_with("The reply was cut"));
    assert_eq!(page.count("#cancel:not([hidden])").await, 0);

    let before = page.run("location.hash").await;
    page.click("#try-again").await;
    page.until("document.querySelector('.text.live')?.textContent === 'It begins'").await;
    assert_ne!(page.run("location.hash").await, before, "a try is a run of its own");
    assert_eq!(page.count("#try-again:not([hidden])").await, 0);
    end(world, page).await;
}

#[tokio::test]
async fn what_models_and_tools_write_is_text() {
    let Some((world, mut page)) = console(&[crew("hostile")]).await else { return };
    page.until("document.querySelector('.agent')").await;
    send(&mut page, "<img src=x onerror=\"document.title='owned'\">").await;
    page.until("document.querySelector('#outcome')").await;
    let shown = page.text("main").await;
    for text in
        ["<img src=x onerror=", "<script>document.title='owned'</script>", "<iframe src=", "<b onclick="]
    {
        assert!(shown.contains(text), "{text}");
    }
    assert!(page.text(".tool .output").await.contains("<svg onload="));
    assert_eq!(page.count("main img, main script, main iframe, main b, main svg, #side img").await, 0);
    assert!(page.run("document.title").await.as_str().unwrap().starts_with("completed"));
    let policy = page.run("fetch('/').then((page) => page.headers.get('content-security-policy'))").await;
    assert!(policy.as_str().unwrap().starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    end(world, page).await;
}

#[tokio::test]
async fn a_crew_shows_how_its_runs_go() {
    let Some((world, mut page)) = console(&[crew("hostile")]).await else { return };
    page.until("document.querySelector('.graph summary')").await;
    assert_eq!(page.count(".graph img").await, 0);
    page.click(".graph summary").await;
    page.until("document.querySelector('.graph img')?.naturalWidth > 0").await;
    end(world, page).await;
}

#[tokio::test]
async fn a_reload_shows_the_same_run_as_far_as_it_is() {
    let Some((world, mut page)) = console(&[crew("stuck")]).await else { return };
    send(&mut page, "just talk").await;
    page.until("document.querySelector('.text.live')?.textContent === 'It begins'").await;
    let address = page.run("location.href").await;
    page.reload().await;
    page.until("document.querySelector('.text.live')?.textContent === 'It begins'").await;
    assert_eq!(page.run("location.href").await, address);
    assert_eq!((page.count(".turn").await, page.text(".person .text").await), (1, "just talk".to_owned()));
    page.run("location.hash = 'run=nothing'").await;
    page.until("document.querySelector('#missing').checkVisibility()").await;
    page.complaints.retain(|complaint| !complaint.contains("404"));
    page.click("#runs a").await;
    page.until("document.querySelector('.text.live')?.textContent === 'It begins'").await;
    end(world, page).await;
}

#[tokio::test]
async fn branches_stand_side_by_side_and_join() {
    let Some((world, mut page)) = console(&[crew("lanes")]).await else { return };
    send(&mut page, "Is everything fine?").await;
    page.until("document.querySelector('#outcome')").await;
    let lanes = page
        .run(
            "[...document.querySelectorAll('.lane')].map((lane) => \
              [lane.ariaLabel, lane.dataset.state, lane.querySelector('.text')?.textContent ?? null])",
        )
        .await;
    let expected = serde_json::json!([
        ["Left", "completed", "left is fine"],
        ["Middle", "failed", null],
        ["Right", "completed", "right is fine"],
    ]);
    assert_eq!(lanes, expected);
    let tops = "new Set([...document.querySelectorAll('.lane')].map((lane) => lane.getBoundingClientRect().top)).size";
    assert_eq!(page.run(tops).await, 1, "side by side");
    assert!(page.text(".join summary").await.contains("2 branches completed, without Middle: "));
    assert_eq!(page.text(".turn[data-agent=writer] .text").await, "Two of three are fine.");
    assert_eq!(page.count("#strip [data-state=done]").await, 5);
    page.size(360, 740).await;
    page.until("document.documentElement.scrollWidth <= 360").await;
    end(world, page).await;
}

#[tokio::test]
async fn an_operator_pauses_a_run_and_lets_it_go_on() {
    let Some((world, mut page)) = console(&[crew("gated")]).await else { return };
    send(&mut page, "go").await;
    page.until("document.querySelector('.tool')?.dataset.state === 'running'").await;
    page.click("#pause").await;
    page.until("document.querySelector('.note')?.textContent.includes('A pause was asked for')").await;
    world.gate.add_permits(1);
    page.until("document.querySelector('#state').dataset.state === 'paused'").await;
    assert_eq!(page.text(".tool-state").await.split(' ').next(), Some("ok"));
    page.click("#resume").await;
    page.until("document.querySelector('#outcome')?.dataset.state === 'completed'").await;
    assert!(page.text("#flow").await.contains("It opened."));
    end(world, page).await;
}

#[tokio::test]
async fn a_person_decides_on_a_call_of_unknown_outcome() {
    let Some((world, mut page)) = console(&[crew("doubt")]).await else { return };
    send(&mut page, "pay").await;
    page.until("document.activeElement?.matches('.wait textarea')").await;
    assert!(page.text(".wait h3").await.contains("Nobody knows whether Pay happened"));
    page.click("[data-choice=rerun]").await;
    page.until(
        "document.querySelectorAll('.person').length === 2 && document.querySelector('.wait textarea')",
    )
    .await;
    page.click(".wait textarea").await;
    page.write("receipt 17").await;
    page.click("[data-choice=done]").await;
    page.until("document.querySelector('#outcome')?.dataset.state === 'completed'").await;
    assert!(page.text("#flow").await.contains("So it is: receipt 17"));
    end(world, page).await;
}

#[tokio::test]
async fn a_person_decides_on_calls_from_their_real_arguments() {
    let Some((world, mut page)) = console(&[crew("teller")]).await else { return };
    send(&mut page, "transfer").await;
    page.until("document.querySelectorAll('.wait').length === 4").await;
    page.until("document.querySelector('#state').textContent === 'waits for you'").await;
    page.until("document.activeElement?.matches('.wait h3')").await;
    assert_eq!(page.text(".wait h3").await, "Teller asks to call Transfer");
    let shown = page.text(".wait[data-wait='1'] .arguments-asked").await;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown,
        serde_json::json!({"amount": 1, "to": "<img src=x onerror=\"document.title='owned'\">"})
    );
    assert_eq!(page.count(".tool[data-state=proposed]").await, 4);

    page.click(".wait[data-wait='1'] [data-choice=approve]").await;
    page.until("document.querySelector('.decision')?.textContent === 'Approved.'").await;
    // What it gave moves what is below.
    page.until("document.body.innerText.includes('sent 1')").await;

    page.click(".wait[data-wait='2'] [data-choice=edit]").await;
    page.until("document.activeElement?.value?.includes('\"amount\": 2')").await;
    page.run("document.activeElement.value = 'nonsense'").await;
    page.click(".wait[data-wait='2'] [type=submit]").await;
    page.until("document.querySelector('.wait[data-wait=\"2\"] .error').textContent.includes('not JSON')")
        .await;
    page.run("document.querySelector('.wait[data-wait=\"2\"] textarea').value = '{\"amount\": \"much\"}'")
        .await;
    page.click(".wait[data-wait='2'] [type=submit]").await;
    page.until("document.querySelector('.wait[data-wait=\"2\"] .error').textContent.includes('/amount')")
        .await;
    page.run("document.querySelector('.wait[data-wait=\"2\"] textarea').value = '{\"amount\": 20, \"to\": \"me\"}'").await;
    page.click(".wait[data-wait='2'] [type=submit]").await;
    page.until("!document.querySelector('.wait[data-wait=\"2\"]')").await;
    page.until("document.body.innerText.includes('sent 20')").await;

    page.click(".wait[data-wait='3'] [data-choice=reject]").await;
    page.until("document.activeElement?.matches('.wait textarea')").await;
    page.click(".wait[data-wait='3'] [data-choice=back]").await;
    page.click(".wait[data-wait='3'] [data-choice=reject]").await;
    page.until("document.activeElement?.matches('.wait textarea')").await;
    page.write("not today").await;
    page.click(".wait[data-wait='3'] [type=submit]").await;
    page.until("!document.querySelector('.wait[data-wait=\"3\"]')").await;
    page.until("document.body.innerText.includes('a person rejected the call: not today')").await;

    page.click(".wait[data-wait='4'] [data-choice=respond]").await;
    page.until("document.activeElement?.matches('.wait textarea')").await;
    page.write("done by hand").await;
    page.click(".wait[data-wait='4'] [type=submit]").await;
    page.until("document.querySelector('#outcome')?.dataset.state === 'completed'").await;
    let decided =
        page.run("[...document.querySelectorAll('.decision')].map((line) => line.textContent)").await;
    assert_eq!(
        decided,
        serde_json::json!([
            "Approved.",
            "Approved with other arguments: {\"amount\":20,\"to\":\"me\"}",
            "Rejected: not today",
            "Answered in the tool's place: done by hand",
        ])
    );
    let outputs = page
        .run("[...document.querySelectorAll('.tool .output')].map((box) => box.textContent.trim())")
        .await;
    assert_eq!(
        outputs,
        serde_json::json!([
            "sent 1",
            "sent 20",
            "not run: a person rejected the call: not today",
            "done by hand"
        ])
    );
    assert!(
        page.text(".tool[data-call='3'] .arguments").await.contains("amount: 20"),
        "what was called is shown"
    );
    assert_eq!(page.count("main img").await, 0);
    // The browser itself tells of the answer 422.
    page.complaints.retain(|complaint| !complaint.contains("422"));
    end(world, page).await;
}

#[tokio::test]
async fn what_is_done_to_a_paused_run_elsewhere_is_shown() {
    let Some((world, mut page)) = console(&[crew("doubt")]).await else { return };
    send(&mut page, "pay").await;
    page.until("document.querySelector('#state').textContent === 'waits for you'").await;
    let id = page.run("location.hash.slice('#run='.length)").await;
    let answer = Answer::Done { output: "paid in cash".to_owned() };
    world.engine.answer(&RunId::from(id.as_str().unwrap()), None, answer).await.unwrap();
    page.until("document.querySelector('#outcome')?.dataset.state === 'completed'").await;
    assert!(page.text("#flow").await.contains("So it is: paid in cash"));
    assert_eq!(page.count(".wait").await, 0);

    page.click("#new").await;
    page.until("document.querySelector('#start').checkVisibility()").await;
    send(&mut page, "pay again").await;
    page.until("document.querySelector('#state').textContent === 'waits for you'").await;
    page.click("#cancel").await;
    page.until("document.querySelector('#outcome')?.dataset.state === 'cancelled'").await;
    assert_eq!(page.count(".wait").await, 0);
    end(world, page).await;
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_found_again_and_nothing_is_shown_twice() {
    let Some((mut world, mut page)) = console(&[crew("gated")]).await else { return };
    send(&mut page, "go").await;
    page.until("document.querySelector('.tool')?.dataset.state === 'running'").await;
    world.hang_up().await;
    page.until("document.querySelector('#banner').checkVisibility()").await;
    assert_eq!(page.text("#banner [role=alert]").await, "The server does not answer.");
    world.gate.add_permits(1);
    world.come_back().await;
    // By script: it may be trying by itself at this moment, and then the button goes.
    page.run("document.querySelector('#retry').click()").await;
    page.until("document.querySelector('#outcome')?.dataset.state === 'completed'").await;
    page.until("document.querySelector('#banner').hidden").await;
    let shown = (page.count(".turn").await, page.count(".tool").await, page.count(".text").await);
    assert_eq!(shown, (1, 1, 3));
    // The browser itself tells of every connection that was refused.
    page.complaints.retain(|complaint| !complaint.contains("net::ERR_"));
    end(world, page).await;
}

#[tokio::test]
async fn a_run_of_thousands_of_events_is_shown_whole() {
    let dir = tempfile::tempdir().unwrap();
    let calls = r#"{name: GetMemoryUsage}, "#.repeat(700);
    std::fs::write(
        dir.path().join("crew.yaml"),
        "name: many\nagents: [{id: busy, provider: scripted, tools: [GetMemoryUsage], is_terminal: true}]\n",
    )
    .unwrap();
    let script = format!(
        "rules:\n  - {{call: 1, reply: \"Now.\", tools: [{calls}]}}\n  - {{pieces: 900, reply: \"{}\"}}\n",
        "word ".repeat(900)
    );
    std::fs::write(dir.path().join("scripted.yaml"), script).unwrap();
    let Some((world, mut page)) = console(&[dir.path().to_owned()]).await else { return };
    send(&mut page, "go").await;
    page.until("document.querySelector('#outcome')?.dataset.state === 'completed'").await;
    assert_eq!(page.count(".tool[data-state=ok]").await, 700);
    page.reload().await;
    page.until("document.querySelector('#outcome')?.dataset.state === 'completed'").await;
    assert_eq!((page.count(".tool[data-state=ok]").await, page.count(".turn").await), (700, 1));
    end(world, page).await;
}
