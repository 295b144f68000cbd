//! The page of `boathouse test --html`, in a browser.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::chromium::{Page, browser};

/// Texts that would set `owned` if they were anything but texts, and that try to leave where they stand.
const HOSTILE: [&str; 8] = [
    "<script>globalThis.owned = 1</script>",
    "</script></style></title></textarea><img src=x onerror='globalThis.owned = 1'>",
    "\" onfocus=\"globalThis.owned = 1\" autofocus tabindex=\"0",
    "' onmouseover='globalThis.owned = 1' x='",
    "<a href=\"javascript:globalThis.owned = 1\">click</a>",
    "--><svg onload=globalThis.owned=1>",
    "&lt;script&gt;globalThis.owned = 1&lt;/script&gt;",
    "]]><style>body { display: none }</style>${globalThis.owned = 1}",
];

/// Runs the tests in the folder `desk` of a folder, whatever becomes of them, and opens their page.
async fn report(dir: &Path) -> Option<Page> {
    let browser = browser()?;
    let made = Command::new(env!("CARGO_BIN_EXE_boathouse"))
        .current_dir(dir)
        .args(["test", "desk", "--html", "report.html"])
        .output()
        .unwrap();
    let page = dir.join("report.html");
    assert!(fs::metadata(&page).unwrap().len() > 0, "{made:?}");
    let mut page = Page::open(browser, &format!("file://{}", page.display())).await;
    page.until("document.readyState === 'complete' && document.querySelector('.test')").await;
    Some(page)
}

fn crew(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let file = dir.path().join("desk").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    dir
}

const DESK: &str = "\
agents: [{id: clerk, name: Clerk, provider: scripted, tools: [Say], is_terminal: true}]
tools:
  Say:
    description: Says it.
    effect: read
    command: {argv: [echo, \"{text}\"]}
    parameters: {type: object, properties: {text: {type: string}}, required: [text]}
";

#[tokio::test]
async fn nothing_that_is_said_is_obeyed() {
    let yaml = |text: &str| serde_json::to_string(text).unwrap();
    let all = HOSTILE.join(" ");
    // In an id, a name, a description, a test's name and its expectations, a question, a reply, a tool's arguments and its
    // result, and an error; with characters that turn the direction of a text, end it, or ring.
    let turned = format!("{all} \u{202e}desrever\u{2066} \u{0}\u{7}\u{feff}");
    let crew_file = format!(
        "name: {}\ndescription: {}\n{}",
        yaml(&all.replace(['/', '?', '#', '%'], "").chars().take(128).collect::<String>()),
        yaml(&all),
        DESK.replace("Clerk", &yaml(&all))
    );
    let tools = format!(
        "{{name: Say, arguments: {{text: {}}}}}, {{name: {}, arguments: {}}}",
        yaml(&all),
        yaml(&all),
        yaml(&turned)
    );
    let script = format!(
        "rules:\n  - {{input: broken, error: {{kind: rejected, message: {0}}}}}\n  - {{call: 1, reply: {0}, tools: [{tools}]}}\n  - {{reply: {0}}}\n",
        yaml(&turned)
    );
    let huge = format!("rules: [{{reply: {}}}]", yaml(&format!("{all}{}", "<b>".repeat(330_000))));
    let expect = format!(
        "{{path: [clerk, clerk], output: {{equals: {0}, contains: {0}}}, tools: [{{tool: Say, arguments: {{a: {0}}}}}]}}",
        yaml(&all)
    );
    let mut tests = "tests:\n".to_owned();
    for (place, text) in HOSTILE.iter().enumerate() {
        tests += &format!(
            "  - {{name: {}, input: {}, expect: {expect}}}\n",
            yaml(text),
            yaml(&format!("{place} {all} \u{202e}desrever"))
        );
    }
    tests += &format!("  - {{name: broken, input: broken, expect: {expect}}}\n");
    tests += "  - {name: huge, input: x, script: huge.txt, expect: {output: {equals: y}}}\n";
    let dir = crew(&[
        ("crew.yaml", &crew_file),
        ("scripted.yaml", &script),
        ("tests/a.yaml", &tests),
        ("tests/huge.txt", &huge),
    ]);
    let Some(mut page) = report(dir.path()).await else { return };

    assert_eq!((page.count(".test").await, page.count(".test[data-state=failed]").await), (10, 10));
    // Everything is opened, entered and left once.
    page.run("document.querySelectorAll('details').forEach((details) => { details.open = true; })").await;
    page.run("document.querySelectorAll('*').forEach((element) => { element.focus?.(); element.dispatchEvent(new Event('mouseover')); })")
        .await;
    assert_eq!(page.run("typeof globalThis.owned").await, "undefined");
    let foreign = "script, img, iframe, object, embed, form, link, base, textarea, [onerror], [onload], [onfocus], [onmouseover], [style]";
    assert_eq!(page.count(foreign).await, 0);
    assert_eq!((page.count("style").await, page.count("svg").await, page.count("meta").await), (1, 2, 5));
    let elsewhere = "[...document.querySelectorAll('a')].filter((a) => !a.getAttribute('href').startsWith('#test-')).length";
    assert_eq!(page.run(elsewhere).await, 0);
    assert_eq!(page.run("getComputedStyle(document.body).display !== 'none'").await, true);

    let shown = page.text("main").await;
    for text in HOSTILE {
        assert!(shown.contains(text), "{text}");
    }
    assert!(shown.contains("U+202Edesrever") && shown.contains("U+0000"));
    assert!(!shown.contains(['\u{202e}', '\u{2066}', '\u{7}', '\u{feff}']));
    assert!(shown.contains("more characters"), "a megabyte is cut");

    // And if some of it had become a script, the page's own policy would not let it run.
    let tried = "(() => { const script = document.createElement('script'); script.textContent = 'globalThis.owned = 1'; \
                  document.body.append(script); return typeof globalThis.owned; })()";
    assert_eq!(page.run(tried).await, "undefined");
    page.until("true").await;
    page.complaints.retain(|complaint| !complaint.contains("Content Security Policy"));
    assert_eq!(page.complaints, Vec::<String>::new());
    page.close().await;
}

#[tokio::test]
async fn a_reader_finds_what_failed_and_opens_the_rest() {
    let dir = crew(&[
        ("crew.yaml", &format!("name: desk\n{DESK}")),
        (
            "scripted.yaml",
            "rules:\n  - {call: 1, tools: [{name: Say, arguments: {text: hello}}]}\n  - {reply: \"It says {{result.Say}}\"}\n",
        ),
        (
            "tests/a.yaml",
            "tests:\n  - {name: good, input: x, expect: {path: [clerk]}}\n  - {name: bad, input: x, expect: {path: [clerk, clerk], output: {equals: It says goodbye}}}\n",
        ),
    ]);
    let Some(mut page) = report(dir.path()).await else { return };
    assert_eq!(page.text("h1").await, "1 of 2 tests failed");
    assert_eq!(page.run("document.querySelector('.bar').ariaLabel").await, "1 passed, 1 failed");
    let visible = |selector: &str| {
        format!("document.querySelector('{selector}').checkVisibility({{contentVisibilityAuto: true}})")
    };

    // Failed ones are open, passed ones are not, and a click or a key opens them.
    assert_eq!(page.run(&visible("[data-state=failed] .body")).await, true);
    assert_eq!(page.text("[data-state=failed] del").await, "goodbye");
    assert_eq!(page.text("[data-state=failed] ins").await, "hello");
    assert_eq!(page.count("[data-state=passed] details[open]").await, 0);
    page.click("[data-state=passed] summary").await;
    page.until(&visible("[data-state=passed] .body")).await;
    page.run("document.querySelector('[data-state=passed] .call summary').focus()").await;
    page.press_enter(false).await;
    page.until(&visible("[data-state=passed] .call pre")).await;
    assert_eq!(page.text("[data-state=passed] .call dd:last-of-type").await.trim(), "hello");

    // The filter needs no script.
    page.click("label[for=show-failed]").await;
    page.until(&format!("!{}", visible("[data-state=passed].test"))).await;
    assert_eq!(page.run(&visible("[data-state=failed].test")).await, true);
    page.click("label[for=show-passed]").await;
    page.until(&visible("[data-state=passed].test")).await;
    assert_eq!(page.run(&visible("[data-state=failed].test")).await, false);
    page.click("label[for=show-all]").await;
    page.until(&visible("[data-state=failed].test")).await;

    page.click(".failures a").await;
    page.until("location.hash === '#test-2'").await;
    page.size(360, 740).await;
    page.until("document.documentElement.scrollWidth <= 360").await;
    assert_eq!(page.complaints, Vec::<String>::new());
    page.close().await;
}
