//! The fields of the status document, from its JSON Schema.

use serde_json::Value;

use crate::markdown::table;

/// A table for the document, and a section for each type in it.
pub(crate) fn fields(schema: &str) -> String {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    let mut text = fields_of(&schema);
    for (name, object) in schema["$defs"].as_object().into_iter().flatten() {
        text.push_str(&format!("\n### {name}\n\n{}\n", words(object)));
        if object.get("properties").is_some() || object.get("oneOf").is_some() {
            text.push_str(&format!("\n{}", fields_of(object)));
        }
    }
    text
}

/// The fields of an object, or the forms that a value may have.
fn fields_of(object: &Value) -> String {
    let forms = object["oneOf"].as_array();
    match forms {
        Some(forms) => table(
            &["form", "meaning", "further fields"],
            forms.iter().map(|form| vec![form_of(form), words(form), further_fields(form)]),
        ),
        None => table(
            &["field", "type", "meaning"],
            properties(object).into_iter().map(|(name, field, is_required)| {
                let absent = if is_required { "" } else { "; may be absent" };
                vec![format!("`{name}`"), format!("{}{absent}", type_of(field)), words(field)]
            }),
        ),
    }
}

/// The properties, the required ones first and in their order, and whether each is required.
fn properties(object: &Value) -> Vec<(&str, &Value, bool)> {
    let required: Vec<_> =
        object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let all = object["properties"].as_object();
    let first = required.iter().filter_map(|name| Some((*name, all?.get(*name)?, true)));
    let others = all.into_iter().flatten().filter(|(name, _)| !required.contains(&name.as_str()));
    first.chain(others.map(|(name, field)| (name.as_str(), field, false))).collect()
}

/// A form: its state, its only field, or the value itself.
fn form_of(form: &Value) -> String {
    match (form["const"].as_str(), form["properties"]["state"]["const"].as_str()) {
        (Some(value), _) => format!("`\"{value}\"`"),
        (None, Some(state)) => format!("`state`: `{state}`"),
        _ => properties(form)
            .iter()
            .map(|(name, field, _)| format!("`{{\"{name}\": …}}`, {}", type_of(field)))
            .collect(),
    }
}

/// What a form has besides its state.
fn further_fields(form: &Value) -> String {
    if form["properties"].get("state").is_none() {
        return String::new();
    }
    let fields = properties(form).into_iter().filter(|(name, ..)| *name != "state");
    let fields = fields.map(|(name, field, _)| format!("`{name}` ({}): {}", type_of(field), words(field)));
    fields.collect::<Vec<_>>().join(" ")
}

fn words(value: &Value) -> String {
    value["description"].as_str().unwrap_or_default().to_owned()
}

fn type_of(field: &Value) -> String {
    if let Some(target) = field["$ref"].as_str() {
        return target.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if field["type"] == "array" {
        return format!("array of {}", type_of(&field["items"]));
    }
    let names: Vec<_> = match (&field["type"], field["anyOf"].as_array(), field.get("const")) {
        (Value::String(name), ..) => vec![name.clone()],
        (Value::Array(names), ..) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        (_, Some(forms), _) => forms.iter().map(type_of).collect(),
        (.., Some(value)) => vec![value.to_string()],
        _ => Vec::new(),
    };
    names.join(" or ")
}
