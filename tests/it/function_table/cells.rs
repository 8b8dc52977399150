//! The cells that no registry can know: what each function answers when there is something, when there is nothing, to somebody who withholds the number, and about another
//! tenant's things. Arguments and fields name the cell's own times by `{date}`, `{time}`, `{later}` and its appointment by `{number}`.

use serde_json::{Value, json};
use shared::functions::Function;
use shared::texts::Key;

use super::scene::Before;

/// One call and what must come of it.
pub struct Cell {
    pub before: Before,
    pub arguments: Value,
    pub says: Key,
    /// Part of the answer, `success` at least.
    pub fields: Value,
    /// Live appointments of this call afterwards.
    pub appointments: i64,
    /// Callbacks promised in this call.
    pub callbacks: i64,
}

/// A cell, or why there is none.
pub enum Entry {
    Is(Box<Cell>),
    Not(&'static str),
}

/// The four of one function.
pub struct Entries {
    pub found: Cell,
    pub none: Entry,
    pub anonymous: Entry,
    pub foreign: Entry,
}

fn cell(before: Before, arguments: Value, says: Key, fields: Value) -> Cell {
    Cell { before, arguments, says, fields, appointments: 0, callbacks: 0 }
}

fn is(before: Before, arguments: Value, says: Key, fields: Value) -> Entry {
    Entry::Is(Box::new(cell(before, arguments, says, fields)))
}

impl Cell {
    fn booking(self) -> Self {
        Self { appointments: 1, ..self }
    }

    fn promising(self) -> Self {
        Self { callbacks: 1, ..self }
    }
}

impl Entry {
    fn booking(self) -> Self {
        match self {
            Self::Is(cell) => Self::Is(Box::new(cell.booking())),
            not => not,
        }
    }

    fn promising(self) -> Self {
        match self {
            Self::Is(cell) => Self::Is(Box::new(cell.promising())),
            not => not,
        }
    }
}

const NAMED: &str = "Paula Weidner";

fn wish(service: &str) -> Value {
    json!({ "date": "{date}", "time": "{time}", "service_name": service })
}

/// At night nobody works.
fn at_night() -> Value {
    json!({ "date": "{date}", "time": "03:00", "service_name": "Beratung" })
}

fn with(mut arguments: Value, name: &str, value: Value) -> Value {
    arguments[name] = value;
    arguments
}

fn unknown_service() -> Entry {
    is(Before::Nothing, wish("Fremde Beratung"), Key::ServiceChoice, json!({ "success": false, "reason": "unknown_service" }))
}

/// What reference/domain.md 2.2 lists of a customer who was there and comes again.
fn returning() -> Value {
    let visit = |starts_at: &str, status: &str| json!({ "starts_at": starts_at, "status": status, "service": "Beratung", "staff": "Rieke Sommerfeld" });
    json!({
        "success": true, "found": true, "status": "existing_customer", "vip_status": "gold", "total_appointments": 2, "no_show_count": 0,
        "predicted_service": "Beratung", "preferred_staff": "Rieke Sommerfeld",
        "next_appointment": visit("{date} {time}", "booked"), "appointment_history": [visit("{last} {time}", "completed")],
    })
}

/// Every function has its entries; a new one does not compile without them.
pub fn of(function: Function) -> Entries {
    match function {
        Function::InitializeCall | Function::IdentifyCustomer | Function::SaveCustomerPreference | Function::ApplyVipBenefits => about_the_caller(function),
        Function::CurrentTimeBerlin | Function::ParseDate | Function::ListServices | Function::GetServiceInfo | Function::GetOpeningHours => {
            about_the_company(function)
        }
        Function::CheckAvailability | Function::GetAlternatives | Function::ReserveSlot | Function::ReleaseSlot => about_free_times(function),
        Function::BookAppointment | Function::ConfirmBooking | Function::CollectAppointmentData => about_bookings(function),
        Function::QueryAppointment | Function::CancelAppointment | Function::RescheduleAppointment => about_appointments(function),
        Function::RequestCallback | Function::CheckTransferAvailability | Function::TransferCall => about_people(function),
    }
}

fn about_the_caller(function: Function) -> Entries {
    let preference = || json!({ "preference_type": "time", "preference_key": "tageszeit", "preference_value": "vormittags" });
    match function {
        Function::InitializeCall => {
            let status = |status: &str| json!({ "success": true, "customer": { "status": status } });
            Entries {
                found: cell(Before::Customer, json!({}), Key::GreetKnown, status("existing_customer")),
                none: is(Before::Nothing, json!({}), Key::GreetNew, status("new_customer")),
                anonymous: is(Before::Nothing, json!({}), Key::GreetAnonymous, status("anonymous")),
                foreign: is(Before::Nothing, json!({}), Key::GreetNew, status("new_customer")),
            }
        }
        Function::IdentifyCustomer => {
            let found = |found: bool, status: &str| json!({ "success": true, "found": found, "status": status });
            Entries {
                found: cell(Before::Returning, json!({}), Key::GreetVip, returning()),
                none: is(Before::Nothing, json!({ "customer_name": "Erika Musterfrau" }), Key::GreetNew, found(false, "new_customer")),
                anonymous: is(Before::Customer, json!({ "customer_name": "Erika Musterfrau" }), Key::GreetAnonymous, found(false, "anonymous")),
                foreign: is(Before::Nothing, json!({}), Key::GreetNew, with(found(false, "new_customer"), "vip_status", json!("none"))),
            }
        }
        Function::SaveCustomerPreference => Entries {
            found: cell(Before::Customer, preference(), Key::PreferenceSaved, json!({ "success": true, "preference_key": "tageszeit" })),
            none: is(Before::Nothing, preference(), Key::PreferenceSaved, json!({ "success": true, "usage_count": 1 })),
            anonymous: is(Before::Nothing, preference(), Key::PreferenceNeedsCustomer, json!({ "success": false, "reason": "no_customer" })),
            foreign: is(Before::Nothing, preference(), Key::PreferenceSaved, json!({ "success": true, "usage_count": 1 })),
        },
        _ => Entries {
            found: cell(Before::GoldCustomer, json!({}), Key::Benefits, json!({ "success": true, "vip_tier": "gold" })),
            none: is(Before::Customer, json!({}), Key::NoBenefits, json!({ "success": true, "vip_tier": "none" })),
            anonymous: is(Before::GoldCustomer, json!({}), Key::NoBenefits, json!({ "success": true, "vip_tier": "none" })),
            foreign: is(Before::Nothing, json!({}), Key::NoBenefits, json!({ "success": true, "vip_tier": "none" })),
        },
    }
}

fn about_the_company(function: Function) -> Entries {
    let ask_branch =
        || is(Before::Nothing, json!({ "branch": "Fremde Filiale" }), Key::AskBranch, json!({ "success": false, "reason": "argument", "argument": "branch" }));
    let plain = |says: Key, arguments: Value, fields: Value| is(Before::Nothing, arguments, says, fields);
    match function {
        Function::CurrentTimeBerlin => Entries {
            found: cell(Before::Nothing, json!({}), Key::CurrentTime, json!({ "success": true, "timezone": "Europe/Berlin" })),
            none: Entry::Not("there is always a time"),
            anonymous: plain(Key::CurrentTime, json!({}), json!({ "success": true })),
            foreign: plain(Key::CurrentTime, json!({}), json!({ "success": true })),
        },
        Function::ParseDate => Entries {
            found: cell(Before::Nothing, json!({ "date": "{date}" }), Key::DateUnderstood, json!({ "success": true, "exact": true, "date": "{date}" })),
            none: plain(Key::DateNotUnderstood, json!({ "date": "Wackelpudding" }), json!({ "success": false })),
            anonymous: plain(Key::DateUnderstood, json!({ "date": "{date}" }), json!({ "success": true, "date": "{date}" })),
            foreign: plain(Key::DateUnderstood, json!({ "date": "{date}" }), json!({ "success": true, "date": "{date}" })),
        },
        Function::ListServices => Entries {
            found: cell(Before::Nothing, json!({}), Key::ServiceChoice, json!({ "success": true })),
            none: is(Before::Nothing, json!({ "branch": "Nirgends" }), Key::AskBranch, json!({ "success": false, "reason": "argument", "argument": "branch" })),
            anonymous: plain(Key::ServiceChoice, json!({}), json!({ "success": true })),
            foreign: ask_branch(),
        },
        Function::GetServiceInfo => Entries {
            found: cell(
                Before::Nothing,
                json!({ "service_name": "Herrenhaarschnitt" }),
                Key::ServiceInfoWithPrice,
                json!({ "success": true, "service": { "name": "Herrenhaarschnitt", "duration_minutes": 30, "price_minor": 3200 } }),
            ),
            none: plain(Key::ServiceChoice, json!({ "service_name": "Zahnreinigung" }), json!({ "success": false, "reason": "unknown_service" })),
            anonymous: plain(Key::ServiceInfoWithPrice, json!({ "service_name": "Haarschnitt" }), json!({ "success": true })),
            foreign: plain(Key::ServiceChoice, json!({ "service_name": "Fremde Beratung" }), json!({ "success": false, "reason": "unknown_service" })),
        },
        _ => Entries {
            found: cell(Before::Nothing, json!({}), Key::OpeningHours, json!({ "success": true, "branch": "Mitte" })),
            none: plain(Key::ClosedThen, json!({ "date": "{sunday}" }), json!({ "success": true, "open": false })),
            anonymous: plain(Key::OpeningHours, json!({}), json!({ "success": true })),
            foreign: ask_branch(),
        },
    }
}

fn about_free_times(function: Function) -> Entries {
    let available = || json!({ "success": true, "available": true, "booked": false, "slot_time": "{date} {time}" });
    match function {
        Function::CheckAvailability => Entries {
            found: cell(Before::Nothing, wish("Beratung"), Key::Free, available()),
            none: is(Before::Nothing, at_night(), Key::NotFree, json!({ "success": true, "available": false, "reason": "not_available" })),
            anonymous: is(Before::Nothing, wish("Beratung"), Key::Free, available()),
            foreign: unknown_service(),
        },
        Function::GetAlternatives => Entries {
            found: cell(Before::Nothing, wish("Beratung"), Key::Alternatives, json!({ "success": true, "booked": false })),
            none: is(Before::Nothing, wish("Yoga-Kurs"), Key::ServiceChoice, json!({ "success": false, "reason": "unknown_service" })),
            anonymous: is(Before::Nothing, wish("Beratung"), Key::Alternatives, json!({ "success": true })),
            foreign: unknown_service(),
        },
        Function::ReserveSlot => Entries {
            found: cell(Before::Nothing, wish("Beratung"), Key::SlotHeld, with(available(), "reserved", json!(true))),
            none: is(Before::Nothing, at_night(), Key::RaceLost, json!({ "success": false, "reason": "not_available", "booked": false })),
            anonymous: is(Before::Nothing, wish("Beratung"), Key::SlotHeld, json!({ "success": true, "reserved": true })),
            foreign: unknown_service(),
        },
        _ => Entries {
            found: cell(Before::Hold, json!({}), Key::SlotReleased, json!({ "success": true, "released": true })),
            none: is(Before::Nothing, json!({}), Key::NothingHeld, json!({ "success": true, "released": false })),
            anonymous: is(Before::Hold, json!({}), Key::SlotReleased, json!({ "success": true, "released": true })),
            foreign: is(Before::Nothing, json!({}), Key::NothingHeld, json!({ "success": true, "released": false })),
        },
    }
}

fn about_bookings(function: Function) -> Entries {
    let booked = || json!({ "success": true, "booked": true, "starts_at": "{date} {time}" });
    let named = |arguments: Value| with(arguments, "customer_name", json!(NAMED));
    match function {
        Function::BookAppointment => Entries {
            found: cell(Before::Nothing, named(wish("Beratung")), Key::Booked, booked()).booking(),
            none: is(Before::Taken, named(wish("Beratung")), Key::RaceLost, json!({ "success": false, "booked": false, "reason": "slot_taken" })),
            anonymous: is(Before::Nothing, named(wish("Beratung")), Key::Booked, booked()).booking(),
            foreign: is(Before::Nothing, named(wish("Fremde Beratung")), Key::ServiceChoice, json!({ "success": false, "reason": "unknown_service" })),
        },
        Function::ConfirmBooking => Entries {
            found: cell(Before::Asked, json!({ "bestaetigung": true }), Key::Booked, booked()).booking(),
            none: is(Before::Nothing, json!({ "bestaetigung": true }), Key::NothingToConfirm, json!({ "success": false })),
            anonymous: is(Before::Asked, json!({ "bestaetigung": true }), Key::Booked, booked()).booking(),
            foreign: is(Before::Nothing, json!({ "bestaetigung": true }), Key::NothingToConfirm, json!({ "success": false })),
        },
        _ => {
            let collect = |arguments: Value, consent: Value| with(named(arguments), "bestaetigung", consent);
            Entries {
                found: cell(Before::Nothing, collect(wish("Beratung"), json!(true)), Key::Booked, booked()).booking(),
                none: is(
                    Before::Nothing,
                    collect(at_night(), json!(false)),
                    Key::NotFree,
                    json!({ "success": true, "booked": false, "status": "unavailable", "awaiting_confirmation": false }),
                ),
                anonymous: is(
                    Before::Nothing,
                    collect(wish("Beratung"), Value::Null),
                    Key::Free,
                    json!({ "success": true, "booked": false, "status": "available", "awaiting_confirmation": true }),
                ),
                foreign: is(
                    Before::Nothing,
                    collect(wish("Fremde Beratung"), json!(true)),
                    Key::ServiceChoice,
                    json!({ "success": false, "reason": "unknown_service" }),
                ),
            }
        }
    }
}

fn about_appointments(function: Function) -> Entries {
    let not_found = || json!({ "success": false, "reason": "not_found" });
    let queued = || json!({ "success": false, "reason": "callback_queued" });
    match function {
        Function::QueryAppointment => Entries {
            found: cell(Before::Appointment, json!({}), Key::OneAppointment, json!({ "success": true })),
            none: is(Before::Customer, json!({}), Key::NoAppointments, not_found()),
            anonymous: is(
                Before::Appointment,
                json!({ "customer_name": "Erika Musterfrau" }),
                Key::AnonymousQuestion,
                json!({ "success": false, "reason": "anonymous" }),
            ),
            foreign: is(Before::Nothing, json!({}), Key::NoAppointments, not_found()),
        },
        Function::CancelAppointment => Entries {
            found: cell(
                Before::Appointment,
                json!({ "reason": "Leider krank" }),
                Key::Cancelled,
                json!({ "success": true, "cancelled": true, "status": "cancelled" }),
            ),
            none: is(Before::Customer, json!({ "date": "{date}", "time": "{time}" }), Key::NoAppointment, not_found()),
            anonymous: is(Before::Appointment, json!({ "appointment_id": "{number}" }), Key::AnonymousChange, queued()).promising(),
            foreign: is(Before::Customer, json!({}), Key::NoAppointment, not_found()),
        },
        _ => {
            let to = || json!({ "new_date": "{date}", "new_time": "{later}", "bestaetigung": true });
            Entries {
                found: cell(
                    Before::Appointment,
                    to(),
                    Key::Rescheduled,
                    json!({ "success": true, "rescheduled": true, "starts_at": "{date} {later}", "previous_starts_at": "{date} {time}" }),
                ),
                none: is(Before::Customer, to(), Key::NoAppointment, not_found()),
                anonymous: is(Before::Appointment, with(to(), "appointment_id", json!("{number}")), Key::AnonymousChange, queued()).promising(),
                foreign: is(Before::Customer, to(), Key::NoAppointment, not_found()),
            }
        }
    }
}

fn about_people(function: Function) -> Entries {
    let unknown = || is(Before::Nothing, json!({ "staff": "Fremda Sommerfeld" }), Key::StaffUnknown, json!({ "success": false, "reason": "unknown_staff" }));
    match function {
        Function::RequestCallback => Entries {
            found: cell(
                Before::Customer,
                json!({ "reason": "Frage zur Rechnung" }),
                Key::CallbackPromisedUntil,
                json!({ "success": true, "callback": true, "priority": "normal" }),
            )
            .promising(),
            none: is(
                Before::Nothing,
                json!({ "customer_phone": "keine" }),
                Key::AskPhone,
                json!({ "success": false, "reason": "argument", "argument": "customer_phone" }),
            ),
            anonymous: is(Before::Nothing, json!({}), Key::CallbackNeedsPhone, json!({ "success": false, "reason": "phone_required" })),
            foreign: is(Before::Nothing, json!({}), Key::CallbackPromisedUntil, json!({ "success": true, "callback": true })).promising(),
        },
        Function::CheckTransferAvailability => Entries {
            found: cell(Before::Nothing, json!({}), Key::TransferPossible, json!({ "success": true, "available": true })),
            none: is(
                Before::Nothing,
                json!({ "staff": "Anna Beispiel" }),
                Key::TransferOutOfHours,
                json!({ "success": true, "available": false, "reason": "person_unavailable" }),
            ),
            anonymous: is(Before::Nothing, json!({}), Key::TransferPossible, json!({ "success": true, "available": true })),
            foreign: unknown(),
        },
        _ => Entries {
            found: cell(Before::Nothing, json!({}), Key::Transferring, json!({ "success": true, "action": "transfer", "transfer_number": "+493023125099" })),
            none: is(
                Before::Nothing,
                json!({ "staff": "Anna Beispiel" }),
                Key::TransferNotPossible,
                json!({ "success": false, "callback": true, "reason": "person_unavailable" }),
            )
            .promising(),
            anonymous: is(Before::Nothing, json!({}), Key::Transferring, json!({ "success": true, "action": "transfer" })),
            foreign: unknown(),
        },
    }
}
