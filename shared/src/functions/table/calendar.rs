//! Dates and free times. A slot that is offered is held by our own claim; `reserve_slot` holds one that was not offered.

use super::read;
use crate::envelope::Role;
use crate::functions::arguments::{AFTER, DATE, DATETIME, DURATION, SEARCH_DAYS, SERVICE, STAFF, TIME};
use crate::functions::{Function, Row};
use crate::texts::Key;

pub(super) const CURRENT_TIME_BERLIN: Row = read(
    Function::CurrentTimeBerlin,
    &["current_time_berlin", "current_time", "current_date"],
    &["zeitinfo", "aktuelle_zeit", "aktuelles_datum"],
    "Nennt Datum, Wochentag und Uhrzeit des Betriebs. Immer benutzen, bevor ein Tag genannt wird.",
    &[],
    &[Key::CurrentTime],
);

pub(super) const PARSE_DATE: Row = read(
    Function::ParseDate,
    &["parse_date"],
    &["datum_verstehen", "datum_erkennen", "datum_pruefen"],
    "Macht aus dem, was der Anrufer über einen Tag sagt, ein Datum, oder fragt zurück.",
    const { &[DATE.required(), TIME.optional()] },
    &[Key::DateUnderstood, Key::DateNotUnderstood, Key::InThePast, Key::FarAhead, Key::NoSuchTime],
);

pub(super) const CHECK_AVAILABILITY: Row = read(
    Function::CheckAvailability,
    &["check_availability", "check_intelligent_availability", "check_slot"],
    &["verfuegbarkeit_pruefen", "termin_pruefen", "verfuegbarkeit"],
    "Prüft, ob eine Leistung zu einer Zeit frei ist, und nennt sonst die nächsten freien Zeiten. Bucht nichts.",
    const { &[DATE.required(), TIME.optional(), DATETIME.optional(), SERVICE.optional(), STAFF.optional(), DURATION.optional()] },
    &[
        Key::Free,
        Key::NearlyFree,
        Key::NotFree,
        Key::NothingFree,
        Key::Alternatives,
        Key::ServiceChoice,
        Key::ServiceUnknown,
        Key::StaffUnknown,
        Key::StaffAmbiguous,
        Key::StaffCannotDoThis,
        Key::StaffChosenByCalendar,
        Key::TooSoon,
        Key::TooFar,
        Key::InThePast,
        Key::NoSuchTime,
        Key::ClosedThen,
        Key::DateNotUnderstood,
        Key::FarAhead,
        Key::OwnAppointmentThen,
        Key::NotBookable,
        Key::CalendarAway,
    ],
)
.while_waiting(Key::WaitForCalendar);

pub(super) const GET_ALTERNATIVES: Row = read(
    Function::GetAlternatives,
    &["get_alternatives", "find_next_available", "next_available"],
    &["alternativen_finden", "naechster_freier_termin", "alternativen"],
    "Nennt die nächsten freien Zeiten um einen Wunsch herum.",
    const { &[DATE.optional(), TIME.optional(), DATETIME.optional(), SERVICE.optional(), STAFF.optional(), AFTER.optional(), SEARCH_DAYS.optional()] },
    &[
        Key::Alternatives,
        Key::NotFree,
        Key::NothingFree,
        Key::TooSoon,
        Key::TooFar,
        Key::NoSuchTime,
        Key::ServiceChoice,
        Key::ServiceUnknown,
        Key::StaffUnknown,
        Key::StaffAmbiguous,
        Key::StaffCannotDoThis,
        Key::StaffChosenByCalendar,
        Key::InThePast,
        Key::DateNotUnderstood,
        Key::FarAhead,
        Key::NotBookable,
        Key::CalendarAway,
    ],
)
.while_waiting(Key::WaitForCalendar);

pub(super) const RESERVE_SLOT: Row = read(
    Function::ReserveSlot,
    &["reserve_slot", "hold_slot"],
    &["termin_reservieren", "termin_vormerken"],
    "Hält eine freie Zeit kurz für den Anrufer frei, während er überlegt.",
    const { &[DATE.required(), TIME.required(), DATETIME.optional(), SERVICE.optional(), STAFF.optional()] },
    &[
        Key::SlotHeld,
        Key::Free,
        Key::SlotTaken,
        Key::RaceLost,
        Key::NothingFree,
        Key::OwnAppointmentThen,
        Key::ServiceChoice,
        Key::ServiceUnknown,
        Key::StaffUnknown,
        Key::StaffAmbiguous,
        Key::StaffCannotDoThis,
        Key::StaffChosenByCalendar,
        Key::TooSoon,
        Key::TooFar,
        Key::InThePast,
        Key::NoSuchTime,
        Key::DateNotUnderstood,
        Key::FarAhead,
        Key::NotBookable,
        Key::CalendarAway,
    ],
)
.writing(Role::Desk, Key::WriteLate)
.while_waiting(Key::WaitForCalendar);

pub(super) const RELEASE_SLOT: Row = read(
    Function::ReleaseSlot,
    &["release_slot_reservation", "release_slot", "release"],
    &["reservierung_freigeben", "reservierung_aufheben"],
    "Gibt eine vorgemerkte Zeit wieder frei, wenn der Anrufer sie nicht will.",
    &[],
    &[Key::SlotReleased, Key::NothingHeld],
)
.writing(Role::Desk, Key::WriteLate);
