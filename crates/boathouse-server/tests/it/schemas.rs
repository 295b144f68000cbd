//! The schemas of a crew's files.

use crate::support::Server;

#[tokio::test]
async fn editors_get_the_schemas_of_a_crews_files() {
    let server = Server::start().await;
    for schema in &boathouse::schema::ALL {
        let file = server.get(&format!("/v1/schema/{}.json", schema.name)).await;
        assert_eq!(file.status, 200, "{}", schema.name);
        assert_eq!(file.headers["content-type"], "application/schema+json");
        assert_eq!(file.text(), schema.text());
    }
    for unknown in ["/v1/schema/crew", "/v1/schema/crews.json", "/v1/schema/%ff.json"] {
        let told = server.get(unknown).await;
        assert_eq!((told.status, told.json()["code"].as_str()), (404, Some("not_found")), "{unknown}");
    }
    server.stop().await;
}
