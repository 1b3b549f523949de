//! One method at one path, as the document of HTTP has it.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::Schemas;
use super::schemas::reference;

/// What is asked with one method at one path.
pub struct Operation {
    summary: &'static str,
    security: Option<&'static str>,
    parameters: Vec<Value>,
    body: Option<Value>,
    pub(super) responses: Map<String, Value>,
}

impl Operation {
    /// Of anybody.
    pub(super) fn open(summary: &'static str) -> Self {
        Self { summary, security: None, parameters: Vec::new(), body: None, responses: Map::new() }
    }

    /// With an access token.
    pub(super) fn of_user(summary: &'static str) -> Self {
        Self { security: Some("access_token"), ..Self::open(summary) }
    }

    /// With an API key.
    pub(super) fn of_backend(summary: &'static str) -> Self {
        Self { security: Some("api_key"), ..Self::open(summary) }
    }

    /// May go wrong with these statuses.
    pub(super) fn errors(mut self, statuses: &[u16]) -> Self {
        let refer = |status: &u16| (status.to_string(), json!({ "$ref": format!("#/components/responses/{status}") }));
        self.responses.extend(statuses.iter().map(refer));
        self
    }

    /// The part `{name}` of the path.
    pub(super) fn named(mut self, name: &str, schema: Value, example: Value) -> Self {
        self.parameters
            .push(json!({ "name": name, "in": "path", "required": true, "schema": schema, "example": example }));
        self
    }

    /// The fields of `Q` as parameters, some with examples.
    pub(super) fn query<Q: JsonSchema>(mut self, schemas: &mut Schemas, examples: &Value) -> Self {
        let mut schema = schemas.taken::<Q>();
        let required = schema["required"].take();
        let Value::Object(fields) = schema["properties"].take() else { return self };
        for (name, mut field) in fields {
            let description = field["description"].take();
            let required =
                required.as_array().is_some_and(|required| required.iter().any(|other| *other == json!(name)));
            let mut parameter = json!({
                "name": name, "in": "query", "required": required, "description": description, "schema": not_null(field),
            });
            if let Some(example) = examples.get(&name) {
                parameter["example"] = example.clone();
            }
            self.parameters.push(parameter);
        }
        self
    }

    /// Takes a body. An empty one is `{}`.
    pub(super) fn body(mut self, schema: Value, examples: Vec<Value>) -> Self {
        let numbered = examples.into_iter().enumerate();
        let examples: Map<_, _> = numbered.map(|(n, value)| (n.to_string(), json!({ "value": value }))).collect();
        self.body = Some(json!({ "content": { "application/json": { "schema": schema, "examples": examples } } }));
        self
    }

    /// Answers with JSON.
    pub(super) fn json(mut self, schema: Value) -> Self {
        let content = json!({ "application/json": { "schema": schema } });
        self.responses.insert("200".into(), json!({ "description": "Done.", "content": content }));
        self
    }

    /// Answers as the command does.
    pub(super) fn answers_as(self, command: &str) -> Self {
        self.json(json!({ "$ref": reference(&format!("{command}.reply")) }))
    }

    /// A header that may be there.
    pub(super) fn header(mut self, name: &str, description: &str) -> Self {
        let schema = json!({ "type": "string" });
        self.parameters.push(
            json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema }),
        );
        self
    }

    /// Answers with text.
    pub(super) fn text(self) -> Self {
        self.text_of("text/plain", json!({ "schema": { "type": "string" } }))
    }

    /// Answers with text of `media_type`, as `described`.
    pub(super) fn text_of(mut self, media_type: &str, described: Value) -> Self {
        let content = json!({ media_type: described });
        self.responses.insert("200".into(), json!({ "description": "Done.", "content": content }));
        self
    }

    /// Always refused: only sockets can do it.
    pub(super) fn of_sockets(mut self) -> Self {
        let refused = json!({
            "description": "Always refused over HTTP: it is about a socket.",
            "content": { "application/problem+json": { "schema": { "$ref": reference("Problem") } } },
        });
        self.responses.insert("400".into(), refused);
        self
    }

    /// As it stands in the document.
    pub(super) fn into_value(self) -> Value {
        let mut operation = json!({ "summary": self.summary, "responses": self.responses });
        operation["security"] = match self.security {
            Some(scheme) => json!([{ scheme: [] }]),
            None => json!([]),
        };
        if !self.parameters.is_empty() {
            operation["parameters"] = Value::Array(self.parameters);
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        operation
    }
}

/// What is left out of a query is absent, never null.
fn not_null(mut schema: Value) -> Value {
    let is_null = |kind: &Value| *kind == json!("null") || kind["type"] == "null";
    if let Some(kinds) = schema["type"].as_array_mut() {
        kinds.retain(|kind| !is_null(kind));
    }
    if let Some(kinds) = schema["anyOf"].as_array_mut() {
        kinds.retain(|kind| !is_null(kind));
    }
    if let Value::Object(fields) = &mut schema {
        // What was only looked for.
        fields.retain(|_, field| !field.is_null());
    }
    schema
}
