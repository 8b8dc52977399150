//! Sixty blunders of an agent whose caller has no appointment yet: whatever else is right, one thing is wrong, and nothing may be booked.

use super::said::Said::{self, Ask, No, Only};
use super::{Bad, Sent};

const fn tool(function: &'static str, arguments: &'static str, says: Said) -> Bad {
    Bad { sent: Sent::Tool, function, arguments, says }
}

const fn book(arguments: &'static str, says: Said) -> Bad {
    tool("book_appointment", arguments, says)
}

const fn with(place: &'static str, value: Option<&'static str>, says: Said) -> Bad {
    let arguments = r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"@name"}"#;
    Bad { sent: Sent::With(place, value), function: "book_appointment", arguments, says }
}

const fn bytes(bytes: &'static [u8], says: Said) -> Bad {
    Bad { sent: Sent::Bytes(bytes), function: "", arguments: "", says }
}

pub const CALLS: &[Bad] = &[
    // names (incidents 47, 49, 52, 65)
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":null}"#, Ask("customer_name")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"null"}"#, Ask("customer_name")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"{{customer_name}}"}"#, Ask("customer_name")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"Unbekannt"}"#, No("customer_name_required")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"Acht Uhr"}"#, No("customer_name_required")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"Rieke Sommerfeld"}"#, No("staff_name_as_customer_name")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"Friseur Müller"}"#, No("customer_name_required")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"Herrenhaarschnitt"}"#, No("customer_name_required")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":{"first":"Erika","last":"Musterfrau"}}"#, Ask("customer_name")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":["Erika","Musterfrau"]}"#, Ask("customer_name")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":4711}"#, No("customer_name_required")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"@long"}"#, Ask("customer_name")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"😀😀😀"}"#, No("customer_name_required")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"Robert'); DROP TABLE appointments;--"}"#, No("customer_name_required")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"Ich möchte einen Termin"}"#, No("customer_name_required")),
    // days (incidents 56, 57, 60, 62, 65, 66)
    book(r#"{"date":"2023-06-13","time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("past_date")),
    book(r#"{"datum":"04.10.2023","uhrzeit":"16:00","dienstleistung":"Beratung","name":"@name"}"#, No("past_date")),
    book(r#"{"date":"17. Juni 2024","time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("past_date")),
    book(r#"{"date":"31. Februar","time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("invalid_date")),
    book(r#"{"date":"31.02.2027","time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("invalid_date")),
    book(r#"{"date":"2027-02-30","time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("invalid_date")),
    book(r#"{"date":"16.05.2024","time":"10:00","service_name":"Beratung","customer_name":"@name"}"#, No("date_required")),
    book(r#"{"date":"{{new_datum}}","time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("date_required")),
    book(r#"{"date":"diese Woche","time":"vormittags","service_name":"Beratung","customer_name":"@name"}"#, No("time_required")),
    book(r#"{"date":"@weeks_ago","time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("far_date")),
    book(r#"{"date":"2099-01-05","time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("too_far")),
    book(r#"{"date":"Montag oder Dienstag","time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("ambiguous_time")),
    book(r#"{"date":["@date"],"time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("argument")),
    book(r#"{"date":20261126,"time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("not_understood")),
    book(r#"{"datetime":"2024-05-17T10:00:00Z","service_name":"Beratung","customer_name":"@name"}"#, No("past_date")),
    // times (incidents 62, 63)
    book(r#"{"date":"@date","time":null,"service_name":"Beratung","customer_name":"@name"}"#, No("time_required")),
    book(r#"{"date":"@date","time":"nachmittags","service_name":"Beratung","customer_name":"@name"}"#, No("time_required")),
    book(r#"{"date":"@date","time":"25:00","service_name":"Beratung","customer_name":"@name"}"#, No("no_such_time")),
    book(r#"{"date":"@date","time":"zwischen 9 und 11","service_name":"Beratung","customer_name":"@name"}"#, No("time_required")),
    book(r#"{"date":"@date","time":{"hour":10},"service_name":"Beratung","customer_name":"@name"}"#, No("argument")),
    book(r#"{"date":"@skipped_day","time":"02:30","service_name":"Beratung","customer_name":"@name"}"#, No("no_such_time")),
    book(r#"{"datetime":"@date @time","time":"3:15","date":"sometime next week","service_name":"Dauerwelle","customer_name":"@name"}"#, No("unknown_service")),
    // service and staff (incidents 55, 67)
    book(r#"{"date":"@date","time":"@time","service_name":null,"customer_name":"@name"}"#, No("unknown_service")),
    book(r#"{"date":"@date","time":"@time","service_name":{"id":1321},"customer_name":"@name"}"#, Ask("service_name")),
    book(r#"{"date":"@date","time":"@time","service_id":"00000000-0000-0000-0000-000000000000","customer_name":"@name"}"#, No("unknown_service")),
    book(r#"{"date":"@date","time":"@time","service_name":"'; DROP TABLE services; --","customer_name":"@name"}"#, No("unknown_service")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","mitarbeiter":"Theo","customer_name":"@name"}"#, No("staff_unknown")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","mitarbeiter":"Ricke","customer_name":"@name"}"#, No("staff_ambiguous")),
    book(r#"{"date":"@date","time":"@time","service_name":"Beratung","staff":"Anna Beispiel","customer_name":"@name"}"#, No("staff_cannot_provide_service")),
    // a yes that is none (incidents 78, 80)
    tool("confirm_booking", r#"{"bestaetigung":true}"#, No("nothing_to_confirm")),
    tool("collect_appointment_data", r#"{"datum":"@date","uhrzeit":"@time","dienstleistung":"Beratung","name":"@name","bestaetigung":"vielleicht"}"#, Only),
    tool("collect_appointment_data", r#"{"datum":"@date","uhrzeit":"@time","dienstleistung":"Beratung","name":"@name","bestaetigung":1}"#, Only),
    // functions that there are not (incident 84)
    tool("book_appointment_now", r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"@name"}"#, No("not_available")),
    tool("📅", "{}", No("not_available")),
    // bodies and envelopes (incidents 37, 39, 41, 42)
    with("/args", Some(r#"[{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"@name"}]"#), No("not_available")),
    with("/args", Some(r#""datum ist @date um @time""#), No("not_available")),
    with("/args/notes", Some(r#""@endless""#), No("not_available")),
    with("/call", None, No("not_available")),
    with("/call/call_id", Some("null"), No("not_available")),
    with("/call/call_id", Some(r#""{{call id}}""#), No("not_available")),
    with("/call/to_number", Some(r#""+4930999999""#), No("not_available")),
    with("/call/metadata", Some(r#"{"company_id":"0192f3a4-5b6c-7d8e-9f01-23456789abcd"}"#), No("not_available")),
    bytes(br#"{"date":"2026-11-26","time":"10:00","service_name":"Beratung","customer_name":"Jemand Anders"}"#, No("")),
    bytes(b"{}", No("")),
    bytes(br#"{"name":"book_appointment"}"#, No("")),
];
