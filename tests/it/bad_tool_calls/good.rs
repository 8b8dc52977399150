//! Twenty ways in which agents write one wish: a consultation at this caller's time on this caller's name.

use serde_json::Value;
use tests::World;

use super::Caller;

/// How a wish is written.
pub struct Good {
    pub function: &'static str,
    /// JSON with the placeholders of `Caller::fill`.
    pub arguments: &'static str,
    /// The keys of function and arguments in the body; `args` is Retell's own.
    pub envelope: Envelope,
    /// As it must stand on the appointment.
    pub name_given: &'static str,
    /// Said before, without a booking: the first half of two steps.
    pub first: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Copy)]
pub enum Envelope {
    Args,
    /// `function_name` and `parameters` (incident 39).
    Parameters,
    /// `function_name`, and `arguments` as a text of JSON.
    Text,
}

const fn good(function: &'static str, arguments: &'static str, name_given: &'static str) -> Good {
    Good { function, arguments, envelope: Envelope::Args, name_given, first: None }
}

pub const CALLS: &[Good] = &[
    good("book_appointment", r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"@name"}"#, "Jürgen Groß"),
    good("termin_buchen", r#"{"datum":"@german_date","uhrzeit":"@time","dienstleistung":"Beratung","kundenname":"@name"}"#, "Erika Musterfrau"),
    good("book_appointment_v17", r#"{"date":"@date","time":"@time","service":"beratung","name":"@name"}"#, "Theo Brandner"),
    Good {
        envelope: Envelope::Parameters,
        ..good("start_booking", r#"{"appointment_date":"@date","appointment_time":"@time","service_name":"Beratung","customer_name":"@name"}"#, "Paula Weidner")
    },
    Good {
        envelope: Envelope::Text,
        ..good("create_appointment", r#"{"date":"@date","time":"@time","service_name":"Beratungsgespräch","customer_name":"@name"}"#, "Otto Schäfer")
    },
    good("book_appointment", r#"{"datetime":"@instant","service_name":"Beratung","customer_name":"@name"}"#, "Renate Vogel"),
    good("book_appointment", r#"{"start_time":"@date @time","service_name":"Beratung","customer_name":"@name"}"#, "Lina Krüger"),
    good("book_appointment", r#"{"date":"@date","time":@hour,"service_name":"Beratung","customer_name":"@name"}"#, "Karl-Heinz Böhm"),
    good("buchung_starten", r#"{"datum":"am @spoken_date","uhrzeit":"um @spoken_hour Uhr","dienstleistung":"Beratung","name":"@name"}"#, "Ayşe Yılmaz"),
    good("Book-Appointment", r#"{"date":"@date","time":"@time Uhr","service_name":"Beratung","customer_name":"@name"}"#, "José García"),
    good("collect_appointment_data", r#"{"datum":"@date","uhrzeit":"@time","dienstleistung":"Beratung","name":"@name","bestaetigung":true}"#, "Nina Albrecht"),
    good("termindaten_erfassen", r#"{"datum":"@date","uhrzeit":"@time","dienstleistung":"Beratung","name":"@name","bestaetigung":"ja"}"#, "Peter Lange"),
    Good {
        first: Some(("collect_appointment_data", r#"{"datum":"@date","uhrzeit":"@time","dienstleistung":"Beratung","name":"@name","bestaetigung":null}"#)),
        ..good("confirm_booking", "{}", "Sabine Roth")
    },
    good(
        "book_appointment",
        r#"{"call_id":"{{call_id}}","execution_message":"Ich buche","date":"@date","time":"@time","service_name":"Beratung","customer_name":"@name"}"#,
        "Dirk Hansen",
    ),
    good(
        "book_appointment",
        r#"{"call_id":"call_001","company_id":1,"branch_id":"x","customer_id":4711,"vip_status":"platinum","date":"@date","time":"@time","service_name":"Beratung","customer_name":"@name"}"#,
        "Maria Fernandes",
    ),
    good(
        "book_appointment",
        r#"{"customer_email":null,"customer_phone":"None","notes":" ","duration":"30","date":"@date","time":"@time","service_name":"Beratung","customer_name":"@name"}"#,
        "Ulrike Sander",
    ),
    good(
        "book_appointment",
        r#"{"date":null,"datum":"@date","time":"{{uhrzeit}}","uhrzeit":"@time","service_name":"Beratung","customer_name":"@name"}"#,
        "Ida Voss",
    ),
    good("book_appointment", r#"{"date":"@date","time":"@time","service_name":"Beratung","customer_name":"Mein Name ist @name"}"#, "Frank Seidel"),
    good(
        "book_appointment",
        r#"{"date":"@date","time":"@time","mitarbeiter":"Frau Sommerfeld","customer_name":"@name","notes":"😀 bitte leise"}"#,
        "Greta Möller",
    ),
    good(
        "book_appointment",
        r#"{"date":"@date","time":"@time","service_name":" BERATUNG ","customer_name":"@name","irgendwas":{"tief":[1,[2,[3]]]}}"#,
        "Hans Peters",
    ),
];

/// Books, and keeps the request; an error says what came instead.
pub async fn book(world: &World, caller: &mut Caller, good: &Good) -> Result<(), String> {
    if let Some((function, arguments)) = good.first {
        let arguments = caller.fill(arguments);
        let asked = caller.call.function(function, arguments).await.body;
        if asked["awaiting_confirmation"] != true {
            return Err(format!("asked: {asked}"));
        }
    }
    let arguments = caller.fill(good.arguments);
    let mut request = caller.call.prepare_function(good.function, arguments);
    request.body = written(&request.body, good.envelope);
    let answer = caller.call.send_function(&request).await;
    caller.booking = Some(request);
    if answer.status != 200 || answer.body["success"] != true || answer.body["booked"] != true {
        return Err(answer.body.to_string());
    }
    let message = answer.body["message"].as_str().unwrap_or_default();
    let faults = shared::texts::lint::faults(message);
    if !faults.is_empty() {
        return Err(format!("{faults:?}: {message}"));
    }
    caller.appointment = answer.body["appointment_number"].as_i64().ok_or("no number")?;
    let live = world.calcom.live_bookings();
    if live.iter().filter(|booking| booking.start == caller.at).count() != 1 {
        return Err(format!("not at {}: {}", caller.at, answer.body));
    }
    Ok(())
}

fn written(body: &[u8], envelope: Envelope) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(body).unwrap();
    let fields = body.as_object_mut().unwrap();
    let arguments = fields.remove("args").unwrap();
    let name = fields.remove("name").unwrap();
    let (name_key, key, arguments) = match envelope {
        Envelope::Args => ("name", "args", arguments),
        Envelope::Parameters => ("function_name", "parameters", arguments),
        Envelope::Text => ("function_name", "arguments", Value::from(arguments.to_string())),
    };
    fields.insert(name_key.to_owned(), name);
    fields.insert(key.to_owned(), arguments);
    serde_json::to_vec(&body).unwrap()
}
