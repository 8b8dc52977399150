//! What the registry must be for everything that is made of it.

use super::*;
use crate::functions::arguments::NEVER_READ;
use crate::texts::lint;

/// Names that the reference lists (domain reference 2.2, issue 4), and the function that each one means.
const REFERENCE: [(&str, Function); 38] = [
    ("initialize_call", Function::InitializeCall),
    ("get_current_context", Function::InitializeCall),
    ("current_time_berlin", Function::CurrentTimeBerlin),
    ("zeitinfo", Function::CurrentTimeBerlin),
    ("check_customer", Function::IdentifyCustomer),
    ("identify_customer", Function::IdentifyCustomer),
    ("parse_date", Function::ParseDate),
    ("check_availability", Function::CheckAvailability),
    ("check_intelligent_availability", Function::CheckAvailability),
    ("check-intelligent-availability", Function::CheckAvailability),
    ("get_alternatives", Function::GetAlternatives),
    ("find_next_available", Function::GetAlternatives),
    ("reserve_slot", Function::ReserveSlot),
    ("release", Function::ReleaseSlot),
    ("release_slot_reservation", Function::ReleaseSlot),
    ("book_appointment", Function::BookAppointment),
    ("start_booking", Function::BookAppointment),
    ("confirm_booking", Function::ConfirmBooking),
    ("collect_appointment_data", Function::CollectAppointmentData),
    ("query_appointment", Function::QueryAppointment),
    ("query_appointments", Function::QueryAppointment),
    ("query_appointment_by_name", Function::QueryAppointment),
    ("list_services", Function::ListServices),
    ("get_service_info", Function::GetServiceInfo),
    ("get_opening_hours", Function::GetOpeningHours),
    ("cancel_appointment", Function::CancelAppointment),
    ("reschedule_appointment", Function::RescheduleAppointment),
    ("save_customer_preference", Function::SaveCustomerPreference),
    ("apply_vip_benefits", Function::ApplyVipBenefits),
    ("request_callback", Function::RequestCallback),
    ("schedule_callback", Function::RequestCallback),
    ("check_transfer_availability", Function::CheckTransferAvailability),
    ("transfer_call", Function::TransferCall),
    ("handle_urgent_transfer", Function::TransferCall),
    ("termin_buchen", Function::BookAppointment),
    ("Verfügbarkeit prüfen", Function::CheckAvailability),
    ("Öffnungszeiten", Function::GetOpeningHours),
    ("rueckruf-anfordern", Function::RequestCallback),
];

#[test]
fn every_name_of_the_reference_is_a_function() {
    for (name, function) in REFERENCE {
        for written in [name.to_owned(), format!("{name}_v17"), name.to_uppercase(), format!(" {name} ")] {
            assert_eq!(Function::by_tool_name(&written), Some(function), "{written:?}");
        }
    }
}

#[test]
fn names_are_unique_and_every_function_has_one_row() {
    let mut names: Vec<_> = TABLE.iter().flat_map(|row| row.names.iter().chain(row.german_names)).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for name in names {
        // Retell's rule for tool names (retell reference 6.4)
        assert!((1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'), "{name}");
        assert_eq!(plain(name), *name, "as it is looked up");
        assert_eq!(without_version_suffix(name), *name, "no name looks like a version");
    }
    for function in Function::ALL {
        assert_eq!(Function::by_canonical_name(function.name()), Some(function));
        assert_eq!(Function::ALL.iter().filter(|other| **other == function).count(), 1);
        assert!(!function.row().german_names.is_empty(), "{function:?} has no German name");
        assert_eq!(Function::by_canonical_name(function.row().german_names[0]), None, "an alias is not canonical");
    }
}

/// Incident 79: versioned function names went unmatched.
#[test]
fn a_version_suffix_is_stripped_and_only_that() {
    assert_eq!(Function::by_tool_name("book_appointment_v17"), Some(Function::BookAppointment));
    assert_eq!(Function::by_tool_name("termin-buchen-V3"), Some(Function::BookAppointment));
    assert_eq!(Function::by_tool_name("start_booking"), Some(Function::BookAppointment));
    for unknown in ["book_appointment_vip", "book_appointment_v", "book_appointment_v1a", "_v17", "", "book_appointment_v1_v2"] {
        assert_eq!(Function::by_tool_name(unknown), None, "{unknown}");
    }
}

/// Incident 37: no function asks a model whose call it is.
#[test]
fn arguments_are_unambiguous_and_never_an_identity() {
    for row in &TABLE {
        let mut names: Vec<_> = row.parameters.iter().flat_map(|parameter| parameter.argument.names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{:?}: two arguments share a name", row.function);
        for name in names {
            assert!(!NEVER_READ.contains(name), "{:?}: {name}", row.function);
        }
        for parameter in row.parameters {
            let covered = parameter.argument.covers;
            assert!(covered.iter().all(|name| row.parameters.iter().any(|other| other.argument.name() == *name)), "{:?}: covers {covered:?}", row.function);
            assert!(covered.is_empty() || parameter.need == Need::Optional);
            assert!(arguments::ALL.iter().any(|argument| argument.name() == parameter.argument.name()));
        }
    }
    for argument in arguments::ALL {
        assert!(TABLE.iter().any(|row| row.parameters.iter().any(|parameter| parameter.argument.name() == argument.name())), "nobody has {}", argument.name());
        assert_eq!((arguments::question(argument.name()), argument.question.slots().len()), (argument.question, 0));
        assert!(argument.names.len() > 1 && !argument.description.is_empty(), "{} has no alias", argument.name());
    }
}

#[test]
fn who_left_something_out_is_asked_for_it() {
    let table = [("date", Key::AskDate), ("new_time", Key::AskNewDateAndTime), ("customer_name", Key::AskName), ("service_name", Key::AskService)];
    for (argument, question) in table {
        assert_eq!(arguments::question(argument), question);
    }
    assert_eq!(arguments::question("no_such_argument"), Key::NotUnderstood);
    for row in &TABLE {
        for parameter in row.parameters.iter().filter(|parameter| parameter.need != Need::Optional) {
            assert_ne!(parameter.argument.question, Key::NotUnderstood, "{:?} needs {} and asks for nothing", row.function, parameter.argument.name());
        }
    }
}

/// Architecture sections 5 and 6: reads are desk's, a write that calls Cal.com has its own role, all within one deadline.
#[test]
fn roles_lanes_and_deadlines_are_those_of_the_design() {
    for row in &TABLE {
        assert_eq!((row.lane, row.deadline), (Lane::Live, FUNCTION_DEADLINE), "{:?}", row.function);
        assert!(row.write || row.role == Role::Desk, "{:?}: who answers a question writes nothing", row.function);
        assert!(row.role.lanes().contains(&row.lane));
    }
    let roles: Vec<_> = TABLE.iter().filter(|row| row.role != Role::Desk).map(|row| (row.names[0], row.role)).collect();
    let expected = [
        ("book_appointment", Role::Booking),
        ("confirm_booking", Role::Booking),
        ("collect_appointment_data", Role::Booking),
        ("cancel_appointment", Role::Cancellation),
        ("reschedule_appointment", Role::Reschedule),
    ];
    assert_eq!(roles, expected);
    let vips: Vec<_> = TABLE.iter().filter(|row| row.limit_class == LimitClass::Vip).map(|row| row.names[0]).collect();
    assert_eq!(vips, ["save_customer_preference", "apply_vip_benefits", "transfer_call"]);
}

#[test]
fn every_text_of_a_function_exists_and_its_fallback_can_be_spoken() {
    for row in &TABLE {
        assert_eq!(lint::faults(row.fallback_sentence), [], "{:?}", row.function);
        assert_eq!(row.write, row.fallback_sentence != Key::ReadLate.german(), "{:?}: only a question is asked again", row.function);
        assert!(!row.texts.is_empty() && row.texts.iter().enumerate().all(|(index, key)| !row.texts[..index].contains(key)), "{:?}", row.function);
        if let Some(waiting) = row.waiting {
            assert!(waiting.slots().is_empty() && lint::faults(waiting.german()).is_empty());
        }
    }
    assert_eq!(lint::faults(UNKNOWN_FUNCTION_SENTENCE), []);
    let spoken =
        |key: &Key| TABLE.iter().any(|row| row.sentences().any(|said| said == *key) || row.waiting == Some(*key) || row.fallback_sentence == key.german());
    let silent: Vec<_> = Key::ALL.iter().filter(|key| !spoken(key)).collect();
    assert!(silent.is_empty(), "no function ever says {silent:?}");
}

/// Retell reference 6.4: the most common failure to save a tool is a wrong `parameters`.
#[test]
fn the_tool_of_a_function_is_of_retells_form() {
    for row in &TABLE {
        let schema = row.parameters_schema();
        assert_eq!(schema["type"], "object");
        let properties = schema["properties"].as_object().unwrap();
        let required = schema["required"].as_array().unwrap();
        assert!(required.iter().all(|name| properties.contains_key(name.as_str().unwrap())), "{:?}", row.function);
        assert!(properties.values().all(|property| property["type"].is_string() && !property["description"].as_str().unwrap().is_empty()));
        assert!(!properties.contains_key("datetime") && !properties.contains_key("call_id"));
    }
    let book = Function::BookAppointment.row().parameters_schema();
    assert_eq!(book["required"], serde_json::json!(["date", "time", "customer_name"]));
    assert_eq!(book["properties"]["duration"]["type"], "integer");
    assert_eq!(Function::CollectAppointmentData.row().parameters_schema()["properties"]["bestaetigung"]["type"], "boolean");
}
