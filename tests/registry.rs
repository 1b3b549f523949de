//! The registry's server, asked by its client and as other clients ask it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tidings::codec::records::Checkpoint;
use tidings::codec::{Codec, DecodeError, SCHEMAS};
use tidings::domain::EventId;
use tidings::registry::{self, Auth, Registry, RegistryError};

/// Serves `router` until the test ends.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn ours() -> (String, reqwest::Client) {
    let url = serve(registry::router()).await;
    // Installs the TLS provider, as it does in every process.
    Registry::new(&url, Auth::None).expect("a client");
    (url, reqwest::Client::new())
}

async fn get(http: &reqwest::Client, url: &str, path: &str) -> (u16, Value) {
    let response = http.get(format!("{url}{path}")).send().await.expect("answers");
    assert_eq!(response.headers()["content-type"], "application/vnd.schemaregistry.v1+json", "{path}");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

async fn post(http: &reqwest::Client, url: &str, path: &str, body: Value) -> (u16, Value) {
    let request = http.post(format!("{url}{path}")).header("content-type", "application/vnd.schemaregistry.v1+json");
    let response = request.body(body.to_string()).send().await.expect("answers");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        journal: "conversation-journal".into(),
        partition: 1,
        epoch: 0,
        next_offset: 2,
        head: EventId::generate(),
        head_offset: 1,
        index: 1,
        cause_offset: 3,
    }
}

#[tokio::test]
async fn our_client_gets_the_ids_that_are_compiled_in() {
    let (url, _) = ours().await;
    let registry = Registry::new(&format!("{url}/"), Auth::None).expect("a client");
    let ids = registry.register_all(SCHEMAS).await.expect("registered");
    let expected: HashMap<_, _> = SCHEMAS.iter().map(|schema| (schema.name, schema.id)).collect();
    assert_eq!(ids, expected);
    for schema in SCHEMAS {
        assert_eq!(registry.fetch(schema.id).await.expect("there"), schema.text);
    }
    let missing = registry.fetch(9_999).await;
    assert!(matches!(missing, Err(RegistryError::Refused { code: 40403, .. })), "{missing:?}");
    let codec = registry::codec(Some(&url), Auth::None).await.expect("registered");
    let (record, builtin) = (checkpoint(), Codec::builtin());
    assert_eq!(codec.encode(&record).expect("encodes"), builtin.encode(&record).expect("encodes"));
    assert!(std::ptr::eq(registry::codec(None, Auth::None).await.expect("no registry"), builtin));
}

#[tokio::test]
async fn every_question_of_other_clients_is_answered() {
    let (url, http) = ours().await;
    let last = SCHEMAS.last().expect("schemas");
    let described = json!({
        "subject": "checkpoints-value", "version": 1, "id": 16, "schemaType": "AVRO", "schema": last.text,
    });
    let answers = [
        ("/", json!({})),
        ("/schemas/types", json!(["AVRO"])),
        ("/schemas/ids/16?subject=checkpoints-value", json!({"schema": last.text})),
        ("/schemas/ids/16/schema", serde_json::from_str(last.text).expect("JSON")),
        ("/schemas/ids/16/subjects", json!(["checkpoints-tidings.Checkpoint", "checkpoints-value"])),
        (
            "/schemas/ids/16/versions",
            json!([
                {"subject": "checkpoints-tidings.Checkpoint", "version": 1},
                {"subject": "checkpoints-value", "version": 1},
            ]),
        ),
        ("/subjects/checkpoints-value/versions", json!([1])),
        ("/subjects/checkpoints-value/versions/1", described.clone()),
        ("/subjects/checkpoints-value/versions/latest", described.clone()),
        ("/subjects/checkpoints-value/versions/latest/schema", serde_json::from_str(last.text).expect("JSON")),
        ("/config", json!({"compatibilityLevel": "FULL_TRANSITIVE"})),
        ("/config/checkpoints-value", json!({"compatibilityLevel": "FULL_TRANSITIVE"})),
        ("/mode", json!({"mode": "READONLY"})),
    ];
    for (path, expected) in answers {
        assert_eq!(get(&http, &url, path).await, (200, expected), "{path}");
    }
    let refusals = [
        ("/schemas/ids/9999", 404, 40403),
        ("/schemas/ids/one", 404, 404),
        ("/subjects/nothing/versions", 404, 40401),
        ("/subjects/checkpoints-value/versions/2", 404, 40402),
        ("/subjects/checkpoints-value/versions/0", 422, 42202),
        ("/associations/resources/-/checkpoints", 404, 404),
    ];
    for (path, status, code) in refusals {
        let (found, body) = get(&http, &url, path).await;
        assert_eq!((found, &body["error_code"]), (status, &json!(code)), "{path}");
    }
    let (_, subjects) = get(&http, &url, "/subjects").await;
    let subjects: Vec<&str> = subjects.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(subjects.contains(&"conversation-events-value") && subjects.contains(&"sessions-tidings.Session"));
    assert!(!subjects.contains(&"sessions-value") && !subjects.contains(&"deliveries-value"), "of several types");
}

#[tokio::test]
async fn what_is_known_is_found_however_it_is_written_and_nothing_else_is_taken() {
    let (url, http) = ours().await;
    let schema = SCHEMAS.last().expect("schemas");
    let compact = serde_json::from_str::<Value>(schema.text).expect("JSON").to_string();
    let canonical = apache_avro::Schema::parse_str(schema.text).expect("parses").canonical_form();
    for text in [schema.text, &compact, &canonical] {
        let body = json!({"schema": text});
        let (status, found) = post(&http, &url, "/subjects/checkpoints-value?normalize=true", body.clone()).await;
        assert_eq!((status, &found["id"], &found["version"]), (200, &json!(16), &json!(1)), "{text}");
        let registered = post(&http, &url, "/subjects/checkpoints-value/versions?normalize=False", body.clone()).await;
        assert_eq!(registered, (200, json!({"id": 16})));
        let (status, refused) = post(&http, &url, "/subjects/receipts-value", body).await;
        assert_eq!((status, &refused["error_code"]), (404, &json!(40403)), "of another subject");
    }
    let other = json!({"schema": r#"{"type":"record","name":"Other","fields":[]}"#});
    let cases = [
        ("/subjects/checkpoints-value/versions", other.clone(), 422, 42205),
        ("/subjects/mine-value/versions", other.clone(), 422, 42205),
        ("/subjects/mine-value", other, 404, 40401),
        ("/subjects/checkpoints-value/versions", json!({"schema": "{"}), 422, 42201),
        ("/subjects/checkpoints-value/versions", json!({"schema": "{}", "schemaType": "PROTOBUF"}), 422, 42201),
        ("/subjects/checkpoints-value/versions", json!([]), 422, 42201),
    ];
    for (path, body, status, code) in cases {
        let (found, answer) = post(&http, &url, path, body.clone()).await;
        assert_eq!((found, &answer["error_code"]), (status, &json!(code)), "{path} {body}");
    }
}

/// A registry of somebody else: it numbers as it likes, asks for a password, and is away at first.
#[derive(Default)]
struct Foreign {
    asked: AtomicU32,
}

async fn foreign(
    State(foreign): State<Arc<Foreign>>,
    headers: HeaderMap,
    uri: axum::http::Uri,
    body: String,
) -> Response {
    if foreign.asked.fetch_add(1, Ordering::SeqCst) == 0 {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if headers.get("authorization").is_none_or(|value| value != "Basic dXNlcjpwYXNzd29yZA==") {
        let body = json!({"error_code": 40101, "message": "Unauthorized"}).to_string();
        return (StatusCode::UNAUTHORIZED, body).into_response();
    }
    if uri.path() == "/schemas/ids/77" {
        let fields = json!([{"name": "journal", "type": "string"}]);
        let schema = json!({"type": "record", "name": "tidings.Checkpoint", "fields": fields}).to_string();
        return axum::Json(json!({"schema": schema})).into_response();
    }
    let posted: Value = serde_json::from_str(&body).expect("JSON");
    let found = SCHEMAS.iter().find(|schema| posted["schema"] == schema.text).expect("one of ours");
    // The ids of ours, each given to another.
    axum::Json(json!({"id": 17 - found.id})).into_response()
}

#[tokio::test]
async fn a_registry_of_somebody_else_numbers_as_it_likes() {
    let url = serve(Router::new().fallback(foreign).with_state(Arc::new(Foreign::default()))).await;
    let auth = Auth::Basic("user".into(), "password".to_owned().into());
    let codec = registry::codec(Some(&url), auth.clone()).await.expect("registered");
    let record = checkpoint();
    let encoded = codec.encode(&record).expect("encodes");
    assert_eq!(encoded[..5], [0, 0, 0, 0, 1]);
    assert_eq!(codec.decode::<Checkpoint>(&encoded).expect("decodes"), record);
    assert!(matches!(codec.decode::<Checkpoint>(&[0, 0, 0, 0, 77, 2, b'x']), Err(DecodeError::UnknownSchema(77))));
    let registry = Registry::new(&url, auth).expect("a client");
    registry.teach(codec, 77).await.expect("known there");
    assert_eq!(codec.name_of(&[0, 0, 0, 0, 77, 2, b'x']).expect("known"), "Checkpoint");
    let stranger = Registry::new(&url, Auth::None).expect("a client").fetch(77).await;
    assert!(matches!(stranger, Err(RegistryError::Refused { code: 40101, .. })), "{stranger:?}");
}

#[tokio::test]
async fn a_registry_that_stays_away_is_an_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let registry = Registry::new(&url, Auth::None).expect("a client").with_patience(Duration::from_millis(500));
    let error = registry.fetch(1).await.expect_err("away");
    assert!(matches!(error, RegistryError::Away { .. }) && error.to_string().contains("registry.url"), "{error}");
}
