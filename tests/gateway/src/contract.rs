//! The document of what may be asked and answered (`openapi.yaml`), and the check of one exchange against it. Pure:
//! the words of an exchange go in, what is wrong with them comes out. Nothing here knows what the account does.

use std::{collections::HashMap, sync::LazyLock};

use axum::http::{HeaderMap, Method, Uri, header};
use jsonschema::Validator;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::answer::Answer;

const DOCUMENT: &str = include_str!("../openapi.yaml");
/// One wrong exchange need not be listed to the last of its 200 rows.
const SHOWN_MAX: usize = 5;

static CONTRACT: LazyLock<Result<Contract, String>> = LazyLock::new(|| Contract::read(DOCUMENT));

/// The operations of the document, ready to check with.
pub(crate) struct Contract {
    operations: Vec<Operation>,
    /// HTTP status by google.rpc code.
    statuses: HashMap<String, u64>,
}

/// One path with one method.
struct Operation {
    method: String,
    /// Segments of the path; a parameter where it is not literal.
    path: Vec<Result<Parameter, String>>,
    query: Vec<Parameter>,
    body: Option<Validator>,
    success: Validator,
    refusal: Validator,
}

struct Parameter {
    name: String,
    integer: bool,
    validator: Validator,
}

/// What is wrong with an exchange, a line each.
pub(crate) type Wrongs = Vec<String>;

impl Contract {
    /// The document that comes with the simulator.
    ///
    /// # Errors
    /// Why it cannot be used, which only an edit of it can cause.
    pub(crate) fn embedded() -> Result<&'static Self, String> {
        CONTRACT.as_ref().map_err(Clone::clone)
    }

    fn read(text: &str) -> Result<Self, String> {
        let document: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let mut operations = Vec::new();
        for (path, item) in object(&document["paths"])? {
            for method in ["get", "post", "patch"] {
                if item.get(method).is_some() {
                    operations.push(Operation::read(&document, path, item, method)?);
                }
            }
        }
        let statuses = object(&document["components"]["schemas"]["Status"]["x-http-status"])?
            .iter()
            .filter_map(|(code, status)| Some((code.clone(), status.as_u64()?)))
            .collect();
        Ok(Self {
            operations,
            statuses,
        })
    }

    /// What is wrong with the head of a request.
    pub(crate) fn check_head(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Wrongs {
        let Some((operation, mut wrongs)) = self.operation(method, uri) else {
            return vec![format!("{method} is nothing this path knows")];
        };
        operation.check_query(uri.query().unwrap_or_default(), &mut wrongs);
        let output = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let key = output(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        if key.is_none_or(str::is_empty) {
            wrongs.push("no bearer key".to_owned());
        }
        let accepts = |accept: &str| accept.contains("application/json") || accept.contains("*/*");
        if output(header::ACCEPT).is_some_and(|accept| !accepts(accept)) {
            wrongs.push("JSON is not accepted as the answer".to_owned());
        }
        let json = output(header::CONTENT_TYPE).is_some_and(is_json);
        if operation.body.is_some() && !json {
            wrongs.push("the content type of the body is not JSON".to_owned());
        }
        wrongs
    }

    /// What is wrong with the body of a request.
    pub(crate) fn check_body(&self, method: &Method, uri: &Uri, body: &[u8]) -> Wrongs {
        let Some((operation, _)) = self.operation(method, uri) else {
            return Wrongs::new();
        };
        match (&operation.body, body.is_empty()) {
            (None, true) => Wrongs::new(),
            (None, false) => vec!["a body where none belongs".to_owned()],
            (Some(validator), _) => check_json(validator, body).1,
        }
    }

    /// What is wrong with an answer.
    pub(crate) fn check_answer(&self, method: &Method, uri: &Uri, answer: &Answer) -> Wrongs {
        let Some((operation, _)) = self.operation(method, uri) else {
            return Wrongs::new();
        };
        if !is_json(&answer.content_type) {
            return vec![format!("content type {}", answer.content_type)];
        }
        if answer.status == 200 {
            return check_json(&operation.success, &answer.body).1;
        }
        let (output, mut wrongs) = check_json(&operation.refusal, &answer.body);
        let code = match &output.get("error").unwrap_or(&output)["code"] {
            Value::String(name) => name.clone(),
            number => number.to_string(),
        };
        let due = self.statuses.get(&code);
        if wrongs.is_empty() && due != Some(&u64::from(answer.status)) {
            wrongs.push(format!("HTTP {} under code {code}", answer.status));
        }
        wrongs
    }

    /// The operation, and what is wrong with the values in the path.
    fn operation(&self, method: &Method, uri: &Uri) -> Option<(&Operation, Wrongs)> {
        let segments: Vec<_> = uri.path().split('/').collect();
        self.operations
            .iter()
            .filter(|operation| operation.method == method.as_str())
            .find_map(|operation| Some((operation, operation.check_path(&segments)?)))
    }
}

impl Operation {
    fn read(document: &Value, path: &str, item: &Value, method: &str) -> Result<Self, String> {
        let operation = &item[method];
        let declared = [&item["parameters"], &operation["parameters"]];
        let mut by_place: HashMap<&str, Vec<Parameter>> = HashMap::new();
        for parameter in declared.into_iter().filter_map(Value::as_array).flatten() {
            let parameter = resolved(document, parameter)?;
            let place = parameter["in"].as_str().unwrap_or_default();
            let read = Parameter::read(document, parameter)?;
            by_place.entry(place).or_default().push(read);
        }
        let mut in_path = by_place.remove("path").unwrap_or_default();
        let path = path
            .split('/')
            .map(|segment| {
                let named = |one: &Parameter| segment == format!("{{{}}}", one.name);
                match in_path.iter().position(named) {
                    Some(place) => Ok(in_path.swap_remove(place)),
                    None => Err(segment.to_owned()),
                }
            })
            .collect();
        let body = &operation["requestBody"];
        let answer = |name: &str| {
            let answer = resolved(document, &operation["responses"][name])?;
            validator(document, media_schema(answer))
        };
        Ok(Self {
            method: method.to_uppercase(),
            path,
            query: by_place.remove("query").unwrap_or_default(),
            body: (!body.is_null())
                .then(|| validator(document, media_schema(body)))
                .transpose()?,
            success: answer("200")?,
            refusal: answer("default")?,
        })
    }

    /// None: another path. Otherwise what is wrong with the values in it.
    fn check_path(&self, segments: &[&str]) -> Option<Wrongs> {
        if self.path.len() != segments.len() {
            return None;
        }
        let mut wrongs = Wrongs::new();
        for (expected, segment) in self.path.iter().zip(segments) {
            match expected {
                Err(literal) if literal != segment => return None,
                Err(_) => {}
                Ok(_) if segment.is_empty() => return None,
                Ok(parameter) => {
                    let value = percent_decode_str(segment).decode_utf8_lossy();
                    parameter.check(&value, &mut wrongs);
                }
            }
        }
        Some(wrongs)
    }

    fn check_query(&self, query: &str, wrongs: &mut Wrongs) {
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match self.query.iter().find(|parameter| parameter.name == name) {
                None => wrongs.push(format!("unknown parameter {name:?}")),
                Some(parameter) => parameter.check(&value, wrongs),
            }
            if seen.contains(&name) {
                wrongs.push(format!("parameter {name:?} more than once"));
            }
            seen.push(name);
        }
    }
}

impl Parameter {
    fn read(document: &Value, parameter: &Value) -> Result<Self, String> {
        let schema = &parameter["schema"];
        Ok(Self {
            name: parameter["name"].as_str().unwrap_or_default().to_owned(),
            integer: schema["type"] == "integer",
            validator: validator(document, schema)?,
        })
    }

    fn check(&self, text: &str, wrongs: &mut Wrongs) {
        let number = text.parse::<i32>().ok().filter(|_| self.integer);
        let value = number.map_or_else(|| json!(text), |number| json!(number));
        if let Err(error) = self.validator.validate(&value) {
            wrongs.push(format!("parameter {:?}: {error}", self.name));
        }
    }
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| "a part of the document is missing".to_owned())
}

/// The value, or what its `$ref` points at in this document.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> Result<&'a Value, String> {
    let Some(reference) = value["$ref"].as_str() else {
        return Ok(value);
    };
    reference
        .strip_prefix('#')
        .and_then(|pointer| document.pointer(pointer))
        .ok_or_else(|| format!("{reference} points at nothing"))
}

fn media_schema(described: &Value) -> &Value {
    &described["content"]["application/json"]["schema"]
}

fn validator(document: &Value, schema: &Value) -> Result<Validator, String> {
    let mut whole = object(schema)?.clone();
    // What the schema's references point at.
    whole.insert("components".to_owned(), document["components"].clone());
    jsonschema::draft202012::new(&Value::Object(whole)).map_err(|error| error.to_string())
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

fn check_json(validator: &Validator, body: &[u8]) -> (Value, Wrongs) {
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => return (Value::Null, vec![format!("no JSON: {error}")]),
    };
    let reported = |error: jsonschema::ValidationError<'_>| {
        format!("{}: {}", error.instance_path(), error.masked())
    };
    let wrongs = validator
        .iter_errors(&value)
        .take(SHOWN_MAX)
        .map(reported)
        .collect();
    (value, wrongs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::settings::ErrorShape;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Wrongs {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            map.insert(name, value.parse().unwrap());
        }
        let (method, uri) = (method.parse().unwrap(), uri.parse().unwrap());
        Contract::embedded()
            .unwrap()
            .check_head(&method, &uri, &map)
    }

    fn patch_body(body: &str) -> Wrongs {
        let uri = "/v1/accounts/acme/users/alice".parse().unwrap();
        let contract = Contract::embedded().unwrap();
        contract.check_body(&Method::PATCH, &uri, body.as_bytes())
    }

    fn answered(uri: &str, answer: &Answer) -> Wrongs {
        let contract = Contract::embedded().unwrap();
        contract.check_answer(&Method::GET, &uri.parse().unwrap(), answer)
    }

    const KEY: (&str, &str) = ("authorization", "Bearer k");
    const USERS: &str = "/v1/accounts/acme/users";

    #[test]
    fn a_request_as_documented_has_nothing_wrong() {
        for (method, uri) in [
            ("GET", "/v1/accounts/acme/users?pageSize=200&pageToken=x"),
            ("GET", "/v1/accounts/acme/users/a%2Bb"),
            ("GET", "/v1/accounts/acme"),
        ] {
            assert_eq!(head(method, uri, &[KEY]), Wrongs::new(), "{uri}");
        }
        let json = ("content-type", "application/json; charset=utf-8");
        let patch = head("PATCH", "/v1/accounts/acme/users/alice", &[KEY, json]);
        assert_eq!(patch, Wrongs::new());
        let body = r#"{"role":"user","permissionPreset":"","displayName":"A"}"#;
        assert_eq!(patch_body(body), Wrongs::new());
    }

    #[test]
    fn violations_of_a_request_are_named() {
        let html = ("accept", "text/html");
        for (method, uri, headers, word) in [
            (
                "GET",
                "/v1/accounts/acme/users?page=2",
                vec![KEY],
                "unknown",
            ),
            (
                "GET",
                "/v1/accounts/acme/users?pageSize=ten",
                vec![KEY],
                "pageSize",
            ),
            (
                "GET",
                "/v1/accounts/acme/users?pageToken=",
                vec![KEY],
                "pageToken",
            ),
            ("GET", USERS, vec![], "bearer"),
            ("GET", USERS, vec![KEY, html], "accepted"),
            ("GET", "/v1/accounts/acme/users/%2E%2E", vec![KEY], "user"),
            ("GET", "/v1/accounts/acme/users/a%2Fb", vec![KEY], "user"),
            ("GET", "/v2/accounts/acme/users", vec![KEY], "nothing"),
            (
                "DELETE",
                "/v1/accounts/acme/users/alice",
                vec![KEY],
                "nothing",
            ),
            (
                "PATCH",
                "/v1/accounts/acme/users/alice",
                vec![KEY],
                "content type",
            ),
        ] {
            let wrongs = head(method, uri, &headers);
            assert!(
                wrongs.iter().any(|one| one.contains(word)),
                "{uri}: {wrongs:?}"
            );
        }
        for body in [
            r#"{"displayName":"A"}"#,
            r#"{"role":"user","name":"accounts/acme/users/alice"}"#,
            r#"{"role":"user","updateMask":"role"}"#,
            r#"{"role":"user","displayName":null}"#,
            r#"{"role":"user","state":"READY"}"#,
            "[]",
            "",
        ] {
            assert!(!patch_body(body).is_empty(), "{body}");
        }
        let list = USERS.parse().unwrap();
        let contract = Contract::embedded().unwrap();
        assert!(!contract.check_body(&Method::GET, &list, b"{}").is_empty());
    }

    #[test]
    fn violations_of_an_answer_are_named() {
        let page = |body: Value| answered(USERS, &Answer::json(200, &body));
        let row = json!({"name": "accounts/acme/users/a", "state": "SLEEPING", "new": [1]});
        assert_eq!(page(json!({"users": [row], "totalSize": 1})), Wrongs::new());
        assert_eq!(
            page(json!({"users": null, "nextPageToken": null})),
            Wrongs::new()
        );
        assert!(!page(json!({"users": [{"name": "a"}]})).is_empty());
        assert!(!page(json!({"users": {}})).is_empty());
        assert!(!page(json!({"users": [{"updateTime": "now"}]})).is_empty());
        assert!(!answered(USERS, &Answer::html(502, "Bad Gateway")).is_empty());
    }

    #[test]
    fn an_error_has_its_own_status_in_every_shape() {
        for shape in ErrorShape::ALL {
            let right = Answer::error(503, 14, "busy", shape);
            assert_eq!(answered(USERS, &right), Wrongs::new());
            assert!(!answered(USERS, &Answer::error(500, 14, "busy", shape)).is_empty());
            assert!(!answered(USERS, &Answer::error(500, 17, "busy", shape)).is_empty());
        }
    }
}
