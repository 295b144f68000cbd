//! The console's files.

use crate::support::Server;

#[tokio::test]
async fn the_console_is_served_under_a_strict_policy_and_without_other_origins() {
    let server = Server::start().await;
    for (path, kind) in [("/", "text/html"), ("/app.js", "text/javascript"), ("/style.css", "text/css")] {
        let file = server.get(path).await;
        assert_eq!(file.status, 200, "{path}");
        assert!(file.headers["content-type"].starts_with(kind), "{path}");
        assert_eq!(file.headers["x-content-type-options"], "nosniff");
        let policy = &file.headers["content-security-policy"];
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"),
            "{policy}"
        );
        for scheme in ["src=\"http", "href=\"http", "src=\"//", "@import", "import(\"http"] {
            assert!(!file.text().contains(scheme), "{path} loads something with {scheme}");
        }
        let again =
            server.send(&format!("GET {path}"), &[("if-none-match", &file.headers["etag"])], "").await;
        assert_eq!((again.status, again.text().as_str()), (304, ""));
    }
    let page = server.get("/").await.text();
    assert!(!page.contains("<script>") && !page.contains(" onclick="), "the policy forbids inline scripts");
    server.stop().await;
}
