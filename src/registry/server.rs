//! The server: read-only, as the schemas are part of the program.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::Schema;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{CONTENT_TYPE, subjects};
use crate::codec::{SCHEMAS, SchemaVersion};

/// Every version reads every other: topics are for ever, and fields are added with a default only.
const COMPATIBILITY: &str = "FULL_TRANSITIVE";

type Subjects = Arc<BTreeMap<String, Vec<&'static SchemaVersion>>>;

/// Why a request is refused, as Confluent's registry says it: the status is the first three digits.
struct Refusal {
    code: u32,
    message: String,
}

impl Refusal {
    fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn no_subject(subject: &str) -> Self {
        Self::new(40401, format!("Subject '{subject}' not found."))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = if self.code > 999 { self.code / 100 } else { self.code };
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let body = Answer(json!({"error_code": self.code, "message": self.message}));
        (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response()
    }
}

struct Answer<T>(T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

type Reply = Result<Answer<Value>, Refusal>;

/// The API, to be served at the root of an address or nested under a path.
pub fn router() -> Router {
    Router::new()
        .route("/", get(async || Answer(json!({}))))
        .route("/schemas/types", get(async || Answer(json!(["AVRO"]))))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/schemas/ids/{id}/schema", get(text_by_id))
        .route("/schemas/ids/{id}/subjects", get(subjects_by_id))
        .route("/schemas/ids/{id}/versions", get(versions_by_id))
        .route("/subjects", get(list))
        .route("/subjects/{subject}", axum::routing::post(look_up))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route("/subjects/{subject}/versions/{version}/schema", get(text_of_version))
        .route("/config", get(async || Answer(json!({"compatibilityLevel": COMPATIBILITY}))))
        .route("/config/{subject}", get(config))
        .route("/mode", get(async || Answer(json!({"mode": "READONLY"}))))
        .route("/mode/{subject}", get(mode))
        // Such as `/associations/…`, which newer clients try first.
        .fallback(async || Refusal::new(404, "HTTP 404 Not Found"))
        .method_not_allowed_fallback(async || Refusal::new(405, "HTTP 405 Method Not Allowed"))
        .with_state(Arc::new(subjects()))
}

fn schema(id: &str) -> Result<&'static SchemaVersion, Refusal> {
    let id: u32 = id.parse().map_err(|_| Refusal::new(404, "HTTP 404 Not Found"))?;
    let found = SCHEMAS.iter().find(|schema| schema.id == id);
    found.ok_or_else(|| Refusal::new(40403, format!("Schema {id} not found")))
}

async fn by_id(Path(id): Path<String>) -> Reply {
    Ok(Answer(json!({"schema": schema(&id)?.text})))
}

async fn text_by_id(Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(text(schema(&id)?))
}

fn text(schema: &SchemaVersion) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], schema.text).into_response()
}

fn places(subjects: &Subjects, id: u32) -> impl Iterator<Item = (&String, u32)> {
    subjects.iter().flat_map(move |(subject, versions)| {
        versions.iter().filter(move |schema| schema.id == id).map(move |schema| (subject, schema.version))
    })
}

async fn subjects_by_id(State(subjects): State<Subjects>, Path(id): Path<String>) -> Reply {
    let id = schema(&id)?.id;
    Ok(Answer(places(&subjects, id).map(|(subject, _)| json!(subject)).collect()))
}

async fn versions_by_id(State(subjects): State<Subjects>, Path(id): Path<String>) -> Reply {
    let id = schema(&id)?.id;
    let place = |(subject, version)| json!({"subject": subject, "version": version});
    Ok(Answer(places(&subjects, id).map(place).collect()))
}

async fn list(State(subjects): State<Subjects>) -> Answer<Value> {
    Answer(subjects.keys().map(|subject| json!(subject)).collect())
}

fn versions_of<'a>(subjects: &'a Subjects, subject: &str) -> Result<&'a [&'static SchemaVersion], Refusal> {
    subjects.get(subject).map(Vec::as_slice).ok_or_else(|| Refusal::no_subject(subject))
}

async fn versions(State(subjects): State<Subjects>, Path(subject): Path<String>) -> Reply {
    let versions = versions_of(&subjects, &subject)?;
    Ok(Answer(versions.iter().map(|schema| json!(schema.version)).collect()))
}

fn version_of(subjects: &Subjects, subject: &str, version: &str) -> Result<&'static SchemaVersion, Refusal> {
    let versions = versions_of(subjects, subject)?;
    if ["latest", "-1"].contains(&version) {
        return versions.last().copied().ok_or_else(|| Refusal::no_subject(subject));
    }
    let number = version.parse::<u32>().ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| {
        Refusal::new(42202, format!("The specified version '{version}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""))
    })?;
    let found = versions.iter().find(|schema| schema.version == number).copied();
    found.ok_or_else(|| Refusal::new(40402, format!("Version {number} not found.")))
}

fn described(subject: &str, schema: &SchemaVersion) -> Answer<Value> {
    Answer(json!({
        "subject": subject,
        "version": schema.version,
        "id": schema.id,
        "schemaType": "AVRO",
        "schema": schema.text,
    }))
}

async fn version(State(subjects): State<Subjects>, Path((subject, version)): Path<(String, String)>) -> Reply {
    Ok(described(&subject, version_of(&subjects, &subject, &version)?))
}

async fn text_of_version(
    State(subjects): State<Subjects>,
    Path((subject, version)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    Ok(text(version_of(&subjects, &subject, &version)?))
}

#[derive(Deserialize)]
struct Posted {
    schema: String,
    #[serde(default, rename = "schemaType")]
    kind: Option<String>,
}

/// The version of `subject` that is the posted schema: the same JSON, or else the same to whoever writes or reads data (newest
/// first), as clients send it without line breaks, in another order, or without our attributes.
fn find(versions: &[&'static SchemaVersion], body: &[u8]) -> Result<Option<&'static SchemaVersion>, Refusal> {
    let invalid = |why: String| Refusal::new(42201, format!("Invalid schema: {why}"));
    let posted: Posted = serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))?;
    if posted.kind.is_some_and(|kind| kind != "AVRO") {
        return Err(invalid("only AVRO is served here".to_owned()));
    }
    let json: Value = serde_json::from_str(&posted.schema).map_err(|error| invalid(error.to_string()))?;
    let same = |schema: &&&SchemaVersion| serde_json::from_str(schema.text).is_ok_and(|ours: Value| ours == json);
    if let Some(schema) = versions.iter().find(same) {
        return Ok(Some(schema));
    }
    let canonical = |text: &str| Schema::parse_str(text).map(|schema| schema.canonical_form());
    let posted = canonical(&posted.schema).map_err(|error| invalid(error.to_string()))?;
    let alike = |schema: &&&SchemaVersion| canonical(schema.text).is_ok_and(|ours| ours == posted);
    Ok(versions.iter().rev().find(alike).copied())
}

async fn look_up(State(subjects): State<Subjects>, Path(subject): Path<String>, body: Bytes) -> Reply {
    let found = find(versions_of(&subjects, &subject)?, &body)?;
    let found = found.ok_or_else(|| Refusal::new(40403, "Schema not found"))?;
    Ok(described(&subject, found))
}

/// What is there already is "registered" again; serializers do that with every start.
async fn register(State(subjects): State<Subjects>, Path(subject): Path<String>, body: Bytes) -> Reply {
    let versions = subjects.get(&subject).map(Vec::as_slice).unwrap_or_default();
    match find(versions, &body)? {
        Some(schema) => Ok(Answer(json!({"id": schema.id}))),
        None => Err(Refusal::new(
            42205,
            format!(
                "Subject '{subject}' is read-only here: schemas are part of the program. Set `registry.url` to use a registry of your own."
            ),
        )),
    }
}

async fn config(State(subjects): State<Subjects>, Path(subject): Path<String>) -> Reply {
    versions_of(&subjects, &subject)?;
    Ok(Answer(json!({"compatibilityLevel": COMPATIBILITY})))
}

async fn mode(State(subjects): State<Subjects>, Path(subject): Path<String>) -> Reply {
    versions_of(&subjects, &subject)?;
    Ok(Answer(json!({"mode": "READONLY"})))
}
