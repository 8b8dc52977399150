//! A function's arguments as JSON schema, in the form that Retell's custom tools take (retell reference 6.4): canonical names, strings where a person speaks.

use serde_json::{Map, Value, json};

use super::{Form, Need, Row};

impl Row {
    /// The tool's `parameters`. What makes other arguments superfluous is not shown: an agent is given one way to say a thing.
    #[must_use]
    pub fn parameters_schema(&self) -> Value {
        let shown = || self.parameters.iter().filter(|parameter| parameter.argument.covers.is_empty());
        let properties: Map<String, Value> = shown()
            .map(|parameter| {
                let argument = parameter.argument;
                let mut property = match argument.form {
                    Form::Text | Form::LongText | Form::Spoken | Form::Any => json!({ "type": "string" }),
                    Form::Whole { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
                    Form::Confirmation => json!({ "type": "boolean" }),
                };
                property["description"] = json!(argument.description);
                (argument.name().to_owned(), property)
            })
            .collect();
        let required: Vec<&str> = shown().filter(|parameter| parameter.need != Need::Optional).map(|parameter| parameter.argument.name()).collect();
        json!({ "type": "object", "properties": properties, "required": required })
    }
}
