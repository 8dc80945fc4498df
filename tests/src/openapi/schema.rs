//! Converts the description's schemas into JSON Schema.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::description::Description;

impl Description {
    /// A validator for one of the description's schemas.
    pub(super) fn validator(&self, schema: &Value, closed: bool) -> Validator {
        let mut definitions = BTreeMap::new();
        let mut schema = self.convert(schema, closed, &mut definitions);
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["$defs"] = json!(definitions);
        let options = jsonschema::options().should_validate_formats(true);
        options.build(&schema).unwrap_or_else(|error| panic!("a schema of the description: {error}"))
    }

    /// Translates OpenAPI 3.0's dialect into JSON Schema. Adds what the schema refers to to the definitions.
    fn convert(&self, schema: &Value, closed: bool, definitions: &mut BTreeMap<String, Value>) -> Value {
        let Some(fields) = schema.as_object() else { return schema.clone() };
        if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
            let name = reference.rsplit('/').next().unwrap_or_default();
            let name = if closed { name.to_owned() } else { format!("{name}-open") };
            if !definitions.contains_key(&name) {
                // Inserted before its content is converted, since schemas may refer to themselves.
                definitions.insert(name.clone(), Value::Null);
                let content = self.convert(&self.component(reference), closed, definitions);
                definitions.insert(name.clone(), content);
            }
            return json!({ "$ref": format!("#/$defs/{name}") });
        }
        let mut converted = Map::new();
        for (keyword, value) in fields {
            let value = match (keyword.as_str(), value) {
                ("properties", Value::Object(properties)) => properties
                    .iter()
                    .map(|(name, property)| (name.clone(), self.convert(property, closed, definitions)))
                    .collect(),
                ("items" | "additionalProperties" | "not", value) => self.convert(value, closed, definitions),
                ("anyOf" | "oneOf", Value::Array(choices)) => {
                    choices.iter().map(|choice| self.convert(choice, closed, definitions)).collect()
                }
                // Each part lists only some of the fields.
                ("allOf", Value::Array(parts)) => {
                    parts.iter().map(|part| self.convert(part, false, definitions)).collect()
                }
                (
                    "type" | "enum" | "format" | "required" | "pattern" | "minLength" | "maxLength" | "minimum"
                    | "maximum" | "minItems" | "maxItems" | "uniqueItems" | "minProperties" | "maxProperties",
                    value,
                ) => value.clone(),
                _ => continue,
            };
            converted.insert(keyword.clone(), value);
        }
        if closed && fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
            converted.insert("additionalProperties".to_owned(), json!(false));
        }
        if fields.get("nullable") == Some(&json!(true)) {
            return json!({ "anyOf": [{ "type": "null" }, converted] });
        }
        Value::Object(converted)
    }
}
