//! The argument guard: what a function was told, against what the registry demands. Every function is checked the same way (incident 40: a decoder per function).
//!
//! Not the sense of a value (is the date past, is the name a name): that is the domain's. A refused call is answered with a question, never with an error.

use serde_json::Value;

use super::{ArgumentError, Arguments, SHORT_CHARS_MAX};
use crate::functions::{Form, Function, Need, Parameter};
use crate::wire::lenient;

impl Arguments {
    /// The first argument, in the registry's order, that is missing or of no use. `caller_known`: the calling number belongs to a customer with a name.
    ///
    /// # Errors
    /// What to ask the caller for.
    pub fn check(&self, function: Function, caller_known: bool) -> Result<(), ArgumentError> {
        let parameters = function.row().parameters;
        parameters.iter().try_for_each(|parameter| self.check_one(parameter, parameters, caller_known))
    }

    fn check_one(&self, parameter: &Parameter, all: &[Parameter], caller_known: bool) -> Result<(), ArgumentError> {
        let argument = parameter.argument;
        if let Some(value) = self.value(argument) {
            return if is_of(argument.form, value) { Ok(()) } else { Err(ArgumentError::Invalid { argument: argument.name() }) };
        }
        let needed = match parameter.need {
            Need::Required => true,
            Need::IfUnknownCaller => !caller_known,
            Need::Optional => false,
        };
        let covered = || all.iter().any(|other| other.argument.covers.contains(&argument.name()) && self.value(other.argument).is_some());
        if needed && !covered() { Err(ArgumentError::Missing { argument: argument.name() }) } else { Ok(()) }
    }
}

fn is_of(form: Form, value: &Value) -> bool {
    match form {
        Form::Text | Form::Spoken => lenient::text_of(value).is_some_and(|text| text.trim().chars().count() <= SHORT_CHARS_MAX),
        // longer ones are cut where they are read
        Form::LongText => lenient::text_of(value).is_some(),
        Form::Whole { min, max } => lenient::whole_of(value).is_some_and(|number| (min..=max).contains(&number)),
        // anything unclear is unsaid (incident 80)
        Form::Confirmation | Form::Any => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::functions::TABLE;
    use crate::functions::arguments as named;

    fn arguments(value: Value) -> Arguments {
        Arguments::new(value.as_object().cloned().unwrap_or_default())
    }

    /// A value that each form takes.
    fn good(form: Form) -> Value {
        match form {
            Form::Text | Form::LongText | Form::Spoken | Form::Any => json!("nächsten Dienstag"),
            Form::Whole { min, .. } => json!(min),
            Form::Confirmation => json!(true),
        }
    }

    /// Values that each form refuses.
    fn bad(form: Form) -> Vec<Value> {
        match form {
            Form::Text | Form::Spoken => vec![json!({"a": 1}), json!([1]), json!(true), json!("ä".repeat(201))],
            Form::LongText => vec![json!({"a": 1}), json!(["x"]), json!(false)],
            Form::Whole { min, max } => vec![json!(min - 1), json!(max + 1), json!("viele"), json!({}), json!(true)],
            Form::Confirmation | Form::Any => vec![],
        }
    }

    /// Done 1 of issue 4, the cases that need no rows: enumerated from the registry, by every alias.
    #[test]
    fn every_argument_of_every_function_is_taken_by_every_name_and_refused_in_every_wrong_form() {
        let (mut names, mut refused, mut missing) = (0, 0, 0);
        for row in &TABLE {
            let complete: Map<String, Value> = row
                .parameters
                .iter()
                .filter(|parameter| parameter.argument.covers.is_empty())
                .map(|parameter| (parameter.argument.name().to_owned(), good(parameter.argument.form)))
                .collect();
            assert_eq!(Arguments::new(complete.clone()).check(row.function, false), Ok(()), "{:?}", row.function);
            for parameter in row.parameters {
                let argument = parameter.argument;
                let mut without = complete.clone();
                without.remove(argument.name());
                for alias in argument.names {
                    let with = |value: Value| {
                        let mut told = without.clone();
                        told.insert((*alias).to_owned(), value);
                        Arguments::new(told)
                    };
                    names += 1;
                    assert_eq!(with(good(argument.form)).check(row.function, false), Ok(()), "{:?} {alias}", row.function);
                    for wrong in bad(argument.form) {
                        refused += 1;
                        let expected = Err(ArgumentError::Invalid { argument: argument.name() });
                        assert_eq!(with(wrong.clone()).check(row.function, true), expected, "{:?} {alias} = {wrong}", row.function);
                    }
                    for nothing in [json!(null), json!(""), json!("{{x}}"), json!("None")] {
                        let found = with(nothing).check(row.function, false);
                        let expected = if parameter.need == Need::Optional { Ok(()) } else { Err(ArgumentError::Missing { argument: argument.name() }) };
                        assert_eq!(found, expected, "{:?} {alias}", row.function);
                    }
                }
                missing += usize::from(parameter.need != Need::Optional);
            }
        }
        println!("{} functions, {names} names of arguments, {refused} wrong forms refused, {missing} needed arguments asked for", TABLE.len());
        assert!(names > 300 && refused > 600 && missing > 10);
    }

    #[test]
    fn a_datetime_makes_date_and_time_superfluous() {
        let told = |value| arguments(value).check(Function::BookAppointment, true);
        assert_eq!(told(json!({"datetime": "2026-11-26 10:00"})), Ok(()));
        assert_eq!(told(json!({"zeitpunkt": "morgen um zehn"})), Ok(()));
        assert_eq!(told(json!({"datetime": null})), Err(ArgumentError::Missing { argument: "date" }));
        assert_eq!(told(json!({"date": "morgen"})), Err(ArgumentError::Missing { argument: "time" }));
        assert_eq!(told(json!({"new_datetime": "morgen um zehn"})), Err(ArgumentError::Missing { argument: "date" }), "of another pair");
        assert_eq!(arguments(json!({"new_datetime": "morgen um zehn"})).check(Function::RescheduleAppointment, true), Ok(()));
    }

    #[test]
    fn a_name_is_asked_only_of_whom_nobody_knows() {
        let told = arguments(json!({"date": "morgen", "time": "zehn"}));
        assert_eq!(told.check(Function::BookAppointment, true), Ok(()));
        assert_eq!(told.check(Function::BookAppointment, false), Err(ArgumentError::Missing { argument: "customer_name" }));
    }

    /// Incidents 37 and 41: an identity among the arguments is neither read nor demanded.
    #[test]
    fn identities_among_the_arguments_are_not_looked_at() {
        for value in [json!("call_001"), json!("{{call_id}}"), json!({"wild": true}), json!(12_345)] {
            let told: Map<String, Value> = named::NEVER_READ.iter().map(|name| ((*name).to_owned(), value.clone())).collect();
            for function in [Function::CurrentTimeBerlin, Function::InitializeCall, Function::ListServices, Function::CancelAppointment] {
                assert_eq!(Arguments::new(told.clone()).check(function, false), Ok(()));
            }
        }
    }

    /// Incident 66: an agent's own template values were told as the caller's.
    #[test]
    fn a_templates_own_value_counts_as_not_given() {
        let told = arguments(json!({"date": "16.05.2024", "time": "10:00", "customer_phone": "0123456789"}));
        assert_eq!(told.check(Function::BookAppointment, true), Err(ArgumentError::Missing { argument: "date" }));
        assert_eq!(told.customer_phone(), Ok(None));
        let told = arguments(json!({"date": "2024-05-16", "datum": "26.11.2026", "time": "10:00"}));
        assert_eq!(told.check(Function::BookAppointment, true), Ok(()));
    }

    #[test]
    fn what_was_told_is_had_by_the_registrys_argument() {
        let told = arguments(json!({"datum": " nächsten\nDienstag ", "wert": {"tag": "Mo"}, "tage": 7, "rueckrufzeit": ["x"]}));
        assert_eq!(told.told(&named::DATE).unwrap().unwrap().as_str(), "nächsten Dienstag");
        assert_eq!(told.told(&named::SEARCH_DAYS).unwrap().unwrap().as_str(), "7");
        assert_eq!(told.told(&named::TIME), Ok(None));
        assert_eq!(told.told(&named::PREFERRED_WINDOW), Err(ArgumentError::Invalid { argument: "preferred_time_window" }));
        assert_eq!(told.told_json(&named::PREFERENCE_VALUE).unwrap().expose(), &json!({"tag": "Mo"}));
        assert_eq!(told.told_json(&named::NOTES), None);
    }
}
