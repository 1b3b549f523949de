//! The client: makes our schemas known to a registry, and asks it for those of others.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{CONTENT_TYPE, subjects_of};
use crate::codec::{Codec, SCHEMAS, SchemaVersion};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long one question is asked before the next one is.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long a registry may be away when a process starts.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a registry knows us.
#[derive(Clone, Debug)]
pub enum Auth {
    /// It does not ask.
    None,
    /// User and password, or an API key and its secret.
    Basic(String, SecretString),
    /// A token.
    Bearer(SecretString),
}

/// Why a registry is of no use.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The address or the TLS settings are wrong.
    #[error("cannot make a client for the schema registry; check `registry.url`")]
    Client(#[source] reqwest::Error),
    /// It cannot be reached, or answers something else.
    #[error("the schema registry does not answer `{what}`; check `registry.url` and whether it runs")]
    Away {
        /// What was asked.
        what: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It says no.
    #[error("the schema registry refuses `{what}`: {status}, code {code}: {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// Of HTTP.
        status: StatusCode,
        /// Of the registry; 0 if it gave none.
        code: u32,
        /// Of the registry.
        message: String,
    },
    /// It has one schema under two ids.
    #[error(
        "the schema registry gives {name} the ids {first} and {second} under different subjects; use one context for all"
    )]
    TwoIds {
        /// Schema.
        name: &'static str,
        /// One.
        first: u32,
        /// The other.
        second: u32,
    },
    /// The schema is not one that can be read here.
    #[error("schema {0} of the registry is not a self-contained Avro schema")]
    NotAvro(u32),
    /// The schema does not parse.
    #[error("schema {id} does not parse")]
    Invalid {
        /// In the registry.
        id: u32,
        /// Why.
        #[source]
        source: Box<apache_avro::Error>,
    },
}

/// A client of one registry.
#[derive(Clone, Debug)]
pub struct Registry {
    http: reqwest::Client,
    url: String,
    auth: Auth,
    patience: Duration,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
struct Found {
    schema: String,
    #[serde(default, rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<serde_json::Value>,
}

#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    error_code: u32,
    #[serde(default)]
    message: String,
}

/// The codec of the installation: with the ids of the registry at `url`, or with those compiled in if there is none. It lives as
/// long as the process, so call this once, at the start.
///
/// # Errors
/// See [`RegistryError`].
pub async fn codec(url: Option<&str>, auth: Auth) -> Result<&'static Codec, RegistryError> {
    let Some(url) = url else { return Ok(Codec::builtin()) };
    let registry = Registry::new(url, auth)?;
    let mut newest = HashMap::new();
    let mut older = Vec::new();
    // Oldest first, as a registry numbers and compares versions in the order in which they come.
    for schema in SCHEMAS {
        let id = registry.register(schema).await?;
        if let Some(before) = newest.insert(schema.name, (id, schema)) {
            older.push(before);
        }
    }
    let ids = newest.iter().map(|(name, (id, _))| (*name, *id)).collect();
    let codec = Codec::with_ids(&ids).map_err(|source| RegistryError::Invalid { id: 0, source })?;
    for (id, schema) in older {
        codec.learn(id, schema.text).map_err(|source| RegistryError::Invalid { id, source })?;
    }
    let codec: &'static Codec = Box::leak(Box::new(codec));
    registry.teach_all(codec).await?;
    tracing::info!(url, schemas = ids.len(), "schemas are registered");
    codec.begin_to_ask();
    tokio::spawn(registry.with_patience(ANSWER_WITHIN).answer(codec));
    Ok(codec)
}

impl Registry {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// [`RegistryError::Client`].
    pub fn new(url: &str, auth: Auth) -> Result<Self, RegistryError> {
        // Fails where one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(RegistryError::Client)?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), auth, patience: PATIENCE })
    }

    /// How long the registry may be away before that is an error; 60 s if this is not called.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Registers the newest version of each of `schemas` under its subjects, and returns their ids by name. May be called again.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn register_all(
        &self,
        schemas: &'static [SchemaVersion],
    ) -> Result<HashMap<&'static str, u32>, RegistryError> {
        let mut ids = HashMap::new();
        let newest: HashMap<_, _> = schemas.iter().map(|schema| (schema.name, schema)).collect();
        for schema in newest.into_values() {
            ids.insert(schema.name, self.register(schema).await?);
        }
        Ok(ids)
    }

    /// Registers one version under all its subjects.
    async fn register(&self, schema: &SchemaVersion) -> Result<u32, RegistryError> {
        let mut known = None;
        for subject in subjects_of(schema) {
            let path = format!("/subjects/{subject}/versions");
            let body = json!({"schema": schema.text, "schemaType": "AVRO"}).to_string();
            let Registered { id } = self.ask(Method::POST, &path, Some(body)).await?;
            match known.replace(id) {
                Some(first) if first != id => {
                    return Err(RegistryError::TwoIds { name: schema.name, first, second: id });
                }
                _ => {}
            }
        }
        Ok(known.unwrap_or(schema.id))
    }

    /// The schema that has `id`, for [`Codec::learn`].
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn fetch(&self, id: u32) -> Result<String, RegistryError> {
        let found: Found = self.ask(Method::GET, &format!("/schemas/ids/{id}"), None).await?;
        let avro = found.kind.is_none_or(|kind| kind == "AVRO") && found.references.is_empty();
        avro.then_some(found.schema).ok_or(RegistryError::NotAvro(id))
    }

    /// Makes `codec` know every version under our subjects: newer programs may have registered some, and written with them.
    async fn teach_all(&self, codec: &Codec) -> Result<(), RegistryError> {
        for subject in super::subjects().into_keys() {
            let versions: Vec<u32> = self.ask(Method::GET, &format!("/subjects/{subject}/versions"), None).await?;
            for version in versions {
                let path = format!("/subjects/{subject}/versions/{version}");
                let Registered { id } = self.ask(Method::GET, &path, None).await?;
                if codec.knows(id) {
                    continue;
                }
                if let Err(error) = self.teach(codec, id).await {
                    // Of no use to us, whoever registered it. Should a record have it, that is told there.
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        subject,
                        version,
                        "a schema is passed over"
                    );
                }
            }
        }
        Ok(())
    }

    /// Answers what `codec` asks, for as long as the process lives.
    async fn answer(self, codec: &'static Codec) {
        loop {
            for id in codec.questions().await {
                match self.teach(codec, id).await {
                    Ok(()) => tracing::info!(id, "the registry told a schema that was not known here"),
                    Err(error) if error.is_answer() => {
                        tracing::error!(%error, id, "a record has a schema that nobody knows");
                        codec.nobody_knows(id);
                    }
                    Err(error) => {
                        tracing::warn!(%error, id, "the schema is asked for again");
                        sleep(FIRST_PAUSE).await;
                    }
                }
            }
        }
    }

    /// Makes `codec` know the schema that has `id`.
    ///
    /// # Errors
    /// See [`RegistryError`].
    async fn teach(&self, codec: &Codec, id: u32) -> Result<(), RegistryError> {
        let schema = self.fetch(id).await?;
        codec.learn(id, &schema).map_err(|source| RegistryError::Invalid { id, source })
    }

    /// Asks until it is answered or refused, with longer and longer pauses.
    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<T, RegistryError> {
        let deadline = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let what = format!("{method} {path}");
            match self.ask_once(self.request(method.clone(), path, body.clone()), &what).await {
                Err(error) if error.passes() && Instant::now() + pause < deadline => {
                    let source: &dyn std::error::Error = &error;
                    tracing::warn!(error = source.to_string(), "the schema registry is asked again");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                result => return result,
            }
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<String>) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).header("accept", CONTENT_TYPE);
        if let Some(body) = body {
            request = request.header("content-type", CONTENT_TYPE).body(body);
        }
        match &self.auth {
            Auth::None => request,
            Auth::Basic(user, password) => request.basic_auth(user, Some(password.expose_secret())),
            Auth::Bearer(token) => request.bearer_auth(token.expose_secret()),
        }
    }

    async fn ask_once<T: DeserializeOwned>(&self, request: RequestBuilder, what: &str) -> Result<T, RegistryError> {
        let away = |source| RegistryError::Away { what: what.to_owned(), source };
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        if status.is_success() {
            return response.json().await.map_err(away);
        }
        let body = response.bytes().await.map_err(away)?;
        let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
        let (code, message) = (problem.error_code, problem.message);
        Err(RegistryError::Refused { what: what.to_owned(), status, code, message })
    }
}

impl RegistryError {
    /// Whether asking again may help.
    /// Whether the registry has said that it has no such schema, or one that cannot be read.
    fn is_answer(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == StatusCode::NOT_FOUND,
            Self::NotAvro(_) | Self::Invalid { .. } => true,
            _ => false,
        }
    }

    fn passes(&self) -> bool {
        match self {
            Self::Away { source, .. } => !source.is_builder() && !source.is_decode(),
            Self::Refused { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            _ => false,
        }
    }
}
