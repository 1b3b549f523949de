//! Everything over HTTP that is not a command, as its examples say.

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support::spec::documents;

#[tokio::test]
async fn every_resource_answers_its_examples() {
    let stage = Stage::new().await;
    let mut asked = 0;
    for (path, operations) in documents().openapi["paths"].as_object().expect("paths") {
        // Commands have a test of their own, and sockets all others.
        if path.starts_with("/v1/commands/") || path == "/v1/ws" {
            continue;
        }
        for (method, operation) in operations.as_object().expect("operations") {
            let bearer = match operation["security"][0].as_object().and_then(|schemes| schemes.keys().next()) {
                Some(scheme) if scheme == "access_token" => Some(stage.ada.token.as_str()),
                Some(_) => Some(stage.stack.key.as_str()),
                None => None,
            };
            for (path, may_lack) in paths(path, operation) {
                let path = stage.live(&json!(path)).as_str().expect("a path").to_owned();
                let body = operation.get("requestBody").map(|body| &body["content"]["application/json"]["examples"]);
                let examples: Vec<_> = body.and_then(Value::as_object).into_iter().flatten().collect();
                let mut bodies: Vec<_> = examples.iter().map(|(_, example)| Some(&example["value"])).collect();
                bodies.push(None);
                for body in bodies {
                    let (status, answer) = stage.stack.request(method, &path, bearer, body).await;
                    let lacks = may_lack && answer["code"] == "bad_request";
                    assert!(status == 200 || lacks, "{method} {path}: {answer}");
                    asked += 1;
                }
                if bearer.is_some() {
                    let (status, _) = stage.stack.request(method, &path, Some("guess"), None).await;
                    assert_eq!(status, 401, "{method} {path}");
                }
            }
        }
    }
    assert!(asked > 20, "{asked}");
}

/// With all that has an example, and with only what must be there, which may lack one of several, as when nothing is searched for.
fn paths(template: &str, operation: &Value) -> [(String, bool); 2] {
    let parameters: Vec<_> = operation["parameters"].as_array().into_iter().flatten().collect();
    let (mut least, mut most) = (Vec::new(), Vec::new());
    let mut path = template.to_owned();
    for parameter in parameters {
        let (name, example) = (parameter["name"].as_str().expect("a name"), &parameter["example"]);
        let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        if parameter["in"] == "path" {
            path = path.replace(&format!("{{{name}}}"), &text);
        } else if !example.is_null() {
            most.push(format!("{name}={text}"));
            if parameter["required"] == true {
                least.push(format!("{name}={text}"));
            }
        }
    }
    let may_lack = least.len() < most.len();
    [(format!("{path}?{}", most.join("&")), false), (format!("{path}?{}", least.join("&")), may_lack)]
}
