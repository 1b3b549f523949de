//! The registry's server, asked by its client and as other clients ask it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tidings::codec::records::Checkpoint;
use tidings::codec::{Codec, DecodeError, SCHEMAS};
use tidings::domain::EventId;
use tidings::registry::{self, Auth, Registry, RegistryError, subjects_of};

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
        "subject": "checkpoints-value", "version": 1, "id": last.id, "schemaType": "AVRO", "schema": last.text,
    });
    let answers = [
        ("/", json!({})),
        ("/schemas/types", json!(["AVRO"])),
        ("/schemas/ids/{id}?subject=checkpoints-value", json!({"schema": last.text})),
        ("/schemas/ids/{id}/schema", serde_json::from_str(last.text).expect("JSON")),
        ("/schemas/ids/{id}/subjects", json!(["checkpoints-tidings.Checkpoint", "checkpoints-value"])),
        (
            "/schemas/ids/{id}/versions",
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
        let path = path.replace("{id}", &last.id.to_string());
        assert_eq!(get(&http, &url, &path).await, (200, expected), "{path}");
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
        assert_eq!((status, &found["id"], &found["version"]), (200, &json!(schema.id), &json!(1)), "{text}");
        let registered = post(&http, &url, "/subjects/checkpoints-value/versions?normalize=False", body.clone()).await;
        assert_eq!(registered, (200, json!({"id": schema.id})));
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
    /// Whether it tells about 79 by now.
    late: AtomicBool,
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
    if uri.path() == "/schemas/ids/79" && !foreign.late.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if ["/schemas/ids/77", "/schemas/ids/79"].contains(&uri.path()) {
        let fields = json!([{"name": "journal", "type": "string"}]);
        let schema = json!({"type": "record", "name": "tidings.Checkpoint", "fields": fields}).to_string();
        return axum::Json(json!({"schema": schema})).into_response();
    }
    // Somebody has registered a newer version of one of ours, and something of their own beside it.
    let subject = uri.path().strip_prefix("/subjects/").and_then(|path| path.split('/').next()).unwrap_or_default();
    let newer = subject == "checkpoints-value";
    let answer = match uri.path().rsplit('/').next() {
        Some("versions") if body.is_empty() => {
            if newer {
                json!([1, 2, 3])
            } else {
                json!([1])
            }
        }
        Some("1") => {
            let ours = |schema: &&tidings::codec::SchemaVersion| subjects_of(schema).iter().any(|name| name == subject);
            json!({"id": number(SCHEMAS.iter().find(ours).expect("one of ours"))})
        }
        Some("2") => json!({"id": 77}),
        Some("3") => json!({"id": 78}),
        _ if body.is_empty() => {
            let missing = json!({"error_code": 40403, "message": "Schema not found"}).to_string();
            return (StatusCode::NOT_FOUND, missing).into_response();
        }
        _ => {
            let posted: Value = serde_json::from_str(&body).expect("JSON");
            json!({"id": number(SCHEMAS.iter().find(|schema| posted["schema"] == schema.text).expect("one of ours"))})
        }
    };
    axum::Json(answer).into_response()
}

/// As it numbers ours.
fn number(schema: &tidings::codec::SchemaVersion) -> usize {
    SCHEMAS.len() - SCHEMAS.iter().position(|other| std::ptr::eq(other, schema)).expect("one of ours")
}

#[tokio::test]
async fn a_registry_of_somebody_else_numbers_as_it_likes() {
    let state = Arc::new(Foreign::default());
    let url = serve(Router::new().fallback(foreign).with_state(Arc::clone(&state))).await;
    let auth = Auth::Basic("user".into(), "password".to_owned().into());
    let codec = registry::codec(Some(&url), auth).await.expect("registered");
    let record = checkpoint();
    let encoded = codec.encode(&record).expect("encodes");
    assert_eq!(encoded[..5], [0, 0, 0, 0, 1], "the last of ours is its first");
    assert_eq!(codec.decode::<Checkpoint>(&encoded).expect("decodes"), record);
    // What was there at the start is known, what came later is asked for, and what is not there is given up.
    assert_eq!(codec.name_of(&[0, 0, 0, 0, 77, 2, b'x']).expect("known"), "Checkpoint");
    let later = [0, 0, 0, 0, 79, 2, b'x'];
    assert!(matches!(codec.decode::<Checkpoint>(&later), Err(DecodeError::UnknownSchema(79))));
    assert!(codec.is_asked_for(&later));
    state.late.store(true, Ordering::SeqCst);
    let answered = async {
        while codec.name_of(&later).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), answered).await.expect("the registry tells");
    assert_eq!(codec.name_of(&later).expect("known"), "Checkpoint");
    let nonsense = [0, 0, 0, 0, 80, 2, b'x'];
    assert!(codec.name_of(&nonsense).is_err());
    let given_up = async {
        while codec.is_asked_for(&nonsense) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), given_up).await.expect("nobody knows it");
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
