//! The CEL rules of the schema (`x-kubernetes-validations`), evaluated for a new object. Rules about a change, which name
//! `oldSelf`, do not apply to one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cel::extractors::This;
use cel::{Context, ExecutionError, Program, Value as CelValue};
use regex::Regex;
use serde_json::Value;

use super::{Flaw, joined};
use crate::input::tree::Tree;

/// The compiled rules, by their text.
pub(super) struct Rules {
    programs: HashMap<String, Program>,
    /// The functions that rules use.
    functions: Context<'static, 'static>,
}

impl Rules {
    /// Compiles the rules of the schema.
    pub(super) fn of(schema: &Value) -> Result<Self, String> {
        let mut programs = HashMap::new();
        compile(schema, &mut programs)?;
        let mut functions = Context::default();
        let known = Arc::new(Mutex::new(HashMap::new()));
        let matches = move |This(text): This<Arc<String>>, pattern: Arc<String>| {
            matches(&known, &text, &pattern)
        };
        let added = functions.add_function("matches", matches);
        added.map_err(|error| format!("function matches: {error:?}"))?;
        Ok(Self {
            programs,
            functions,
        })
    }

    /// Evaluates the rules for the object and each of its fields.
    pub(super) fn check(&self, schema: &Value, object: &Tree, flaws: &mut Vec<Flaw>) {
        let mut json = object.to_json();
        // The API server gives the object its name before the rules are evaluated.
        let prefix = json["metadata"]["generateName"].take();
        if json["metadata"]["name"].is_null() && prefix.is_string() {
            json["metadata"]["name"] = prefix;
        }
        if let Some(object) = json.as_object_mut() {
            object.remove("status");
        }
        self.check_node(schema, &json, "", flaws);
    }

    fn check_node(&self, schema: &Value, value: &Value, path: &str, flaws: &mut Vec<Flaw>) {
        for rule in rules_of(schema) {
            let Some(program) = rule["rule"]
                .as_str()
                .and_then(|rule| self.programs.get(rule))
            else {
                continue;
            };
            let message = match self.holds(program, value) {
                Ok(true) => continue,
                Ok(false) => rule["message"]
                    .as_str()
                    .unwrap_or("breaks a rule")
                    .to_owned(),
                Err(why) => format!("a rule of the schema cannot be evaluated: {why}"),
            };
            let below = rule["fieldPath"].as_str().unwrap_or_default();
            let field = if path.is_empty() {
                below.trim_start_matches('.').to_owned()
            } else {
                format!("{path}{below}")
            };
            flaws.push(Flaw::new(field, message));
        }
        let properties = schema["properties"].as_object().into_iter().flatten();
        for (name, schema) in properties {
            if let Some(value) = value.get(name) {
                self.check_node(schema, value, &joined(path, name), flaws);
            }
        }
    }

    fn holds(&self, program: &Program, value: &Value) -> Result<bool, String> {
        let mut context = self.functions.new_inner_scope();
        let added = context.add_variable("self", value);
        added.map_err(|error| error.to_string())?;
        let result = program.execute(&context);
        let result = result.map_err(|error| error.to_string())?;
        Ok(result == CelValue::Bool(true))
    }
}

/// Compiles the rules of the schema and of the fields in it.
fn compile(schema: &Value, programs: &mut HashMap<String, Program>) -> Result<(), String> {
    for rule in rules_of(schema) {
        let Some(text) = rule["rule"].as_str() else {
            continue;
        };
        if text.contains("oldSelf") {
            continue;
        }
        let program = Program::compile(text).map_err(|error| format!("rule {text}: {error}"))?;
        programs.insert(text.to_owned(), program);
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    for (_, schema) in properties {
        compile(schema, programs)?;
    }
    Ok(())
}

fn rules_of(schema: &Value) -> impl Iterator<Item = &Value> {
    let rules = schema["x-kubernetes-validations"].as_array();
    rules.into_iter().flatten()
}

/// The function `matches` of CEL. Each pattern is compiled once: 10,000 manifests have the same ones.
fn matches(
    known: &Mutex<HashMap<String, Regex>>,
    text: &str,
    pattern: &str,
) -> Result<bool, ExecutionError> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = known.get(pattern) {
        return Ok(regex.is_match(text));
    }
    let regex =
        Regex::new(pattern).map_err(|error| ExecutionError::function_error("matches", error))?;
    let is_match = regex.is_match(text);
    known.insert(pattern.to_owned(), regex);
    Ok(is_match)
}
