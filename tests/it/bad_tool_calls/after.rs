//! Twenty blunders after the booking, one for each caller: nothing of it may be booked again, moved or cancelled.

use super::said::Said::{self, Ask, Booked, No, Only};
use super::{Bad, Sent};

const fn tool(function: &'static str, arguments: &'static str, says: Said) -> Bad {
    Bad { sent: Sent::Tool, function, arguments, says }
}

pub const CALLS: &[Bad] = &[
    // twice (incidents 28, 29)
    Bad { sent: Sent::Retried, function: "", arguments: "", says: Booked },
    Bad { sent: Sent::Repeated, function: "", arguments: "", says: Booked },
    tool("confirm_booking", r#"{"bestaetigung":true}"#, Booked),
    tool("book_appointment", r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"Erika Musterfrau"}"#, No("slot_taken")),
    // which appointment (incident 72)
    tool("cancel_appointment", r#"{"appointment_id":999999}"#, No("not_found")),
    tool("cancel_appointment", r#"{"appointment_id":"abc"}"#, Ask("appointment_id")),
    tool("cancel_appointment", r#"{"date":"@next_day"}"#, No("not_found")),
    tool("termin_absagen", r#"{"datum":"13.06.2023"}"#, No("not_found")),
    tool("cancel_appointment", r#"{"service_name":"Dauerwelle"}"#, No("not_found")),
    Bad { sent: Sent::Stranger, function: "cancel_appointment", arguments: r#"{"appointment_id":@number}"#, says: No("not_found") },
    Bad {
        sent: Sent::Withheld,
        function: "cancel_appointment",
        arguments: r#"{"appointment_id":@number,"customer_name":"@name"}"#,
        says: No("callback_queued"),
    },
    // where to (incidents 56, 62, 65, 80)
    tool("reschedule_appointment", r#"{"new_date":null,"new_time":null,"bestaetigung":true}"#, No("needs_new_time")),
    tool("reschedule_appointment", r#"{"new_date":"{{new_datum}}","new_time":"{{new_uhrzeit}}","bestaetigung":true}"#, No("needs_new_time")),
    tool("reschedule_appointment", r#"{"new_date":"2023-06-13","new_time":"16:00","bestaetigung":true}"#, No("past_date")),
    tool("reschedule_appointment", r#"{"new_date":"31. Februar","new_time":"16:00","bestaetigung":true}"#, No("invalid_date")),
    tool("reschedule_appointment", r#"{"new_date":"@next_day","new_time":"nachmittags","bestaetigung":true}"#, No("time_required")),
    tool("reschedule_appointment", r#"{"new_date":"@date","new_time":"@time","bestaetigung":true}"#, No("needs_new_time")),
    tool("termin_verschieben", r#"{"neues_datum":"@date","neue_uhrzeit":"16:00","bestaetigung":null}"#, Only),
    tool("reschedule_appointment", r#"{"new_date":"@date","new_time":"16:00","bestaetigung":"vielleicht"}"#, Only),
    tool("storniere_alles_v3", r#"{"appointment_id":@number,"confirm":true}"#, No("not_available")),
];
