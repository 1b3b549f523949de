//! OpenAPI 3.1 of HTTP.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::operation::Operation;
use super::operations::ERRORS_OF_COMMANDS;
use super::{Described, Schemas, info, pushes};
use crate::domain::ErrorCode;
use crate::gateway::commands::Command;
use crate::gateway::http::{self, Details, status};

const ABOUT: &str = "Every command of the socket has a twin here, and reads have resources too; see `/asyncapi.json` for what \
    is pushed. Clients ignore fields that they do not know. In the examples the reader owns the conversation.";

/// The document.
pub(super) fn document() -> Value {
    let mut schemas = Schemas::new();
    // Events are listed over HTTP too.
    pushes::described(&mut schemas);
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for command in Command::described(&mut schemas) {
        let path = format!("/v1/commands/{}", command.name);
        paths.entry(path).or_default().insert("post".into(), of_command(command).into_value());
    }
    for (method, path, operation) in http::described(&mut schemas) {
        paths.entry(path.to_owned()).or_default().insert(method.into(), operation.into_value());
    }
    let problem = schemas.shared::<Details<'_>>();
    json!({
        "openapi": "3.1.0",
        "info": info("Tidings over HTTP", ABOUT),
        "paths": paths,
        "components": {
            "schemas": schemas.into_components(),
            "responses": problems(&problem),
            "securitySchemes": {
                "access_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Of a user; a tenant's backend gets it with `POST /v1/users/{id}/tokens`.",
                },
                "api_key": { "type": "http", "scheme": "bearer", "description": "Of a tenant's backend." },
            },
        },
    })
}

fn of_command(command: Described) -> Operation {
    let about = command.about;
    let operation = Operation::of_user(about.summary).errors(ERRORS_OF_COMMANDS).body(command.data, about.examples());
    if about.of_sockets { operation.of_sockets() } else { operation.json(command.answer) }
}

/// Of each status, with the codes that it comes with.
fn problems(problem: &Value) -> Map<String, Value> {
    let statuses: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| status(*code)).collect();
    let mut responses = Map::new();
    for of in statuses {
        let codes: Vec<_> =
            ErrorCode::ALL.iter().filter(|code| status(**code) == of).map(|code| code.as_str()).collect();
        let narrower = json!({ "properties": { "status": { "const": of.as_u16() }, "code": { "enum": codes } } });
        let mut response = json!({
            "description": codes.join(", "),
            "content": { "application/problem+json": { "schema": { "allOf": [problem, narrower] } } },
        });
        match of.as_u16() {
            401 => response["headers"] = json!({ "WWW-Authenticate": { "schema": { "const": "Bearer" } } }),
            429 | 503 => {
                let schema = json!({ "type": "integer", "minimum": 1 });
                response["headers"] = json!({ "Retry-After": { "description": "In seconds.", "schema": schema } });
            }
            _ => {}
        }
        responses.insert(of.as_str().to_owned(), response);
    }
    responses
}
