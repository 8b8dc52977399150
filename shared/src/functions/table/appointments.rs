//! Appointments. Booking, moving and cancelling go to their own role's live lane.
//!
//! `confirm_booking` is the second half of a two-step booking: it books what its call holds and was asked about. `collect_appointment_data` books only with a
//! confirmation of true (incidents 78, 80).

use super::read;
use crate::envelope::Role;
use crate::functions::arguments::{
    APPOINTMENT, CONFIRM, CUSTOMER_EMAIL, CUSTOMER_NAME, CUSTOMER_PHONE, DATE, DATETIME, DURATION, NEW_DATE, NEW_DATETIME, NEW_TIME, NOTES, OLD_DATE,
    OLD_DATETIME, OLD_TIME, REASON, SERVICE, STAFF, TIME,
};
use crate::functions::{Function, Row};
use crate::texts::Key;

pub(super) const BOOK_APPOINTMENT: Row = read(
    Function::BookAppointment,
    &["book_appointment", "start_booking", "create_appointment"],
    &["termin_buchen", "termin_eintragen", "buchung_starten"],
    "Bucht einen Termin, nachdem der Anrufer Tag, Uhrzeit und Leistung bestätigt hat.",
    const {
        &[
            DATE.required(),
            TIME.required(),
            DATETIME.optional(),
            CUSTOMER_NAME.if_unknown_caller(),
            SERVICE.optional(),
            STAFF.optional(),
            CUSTOMER_EMAIL.optional(),
            CUSTOMER_PHONE.optional(),
            DURATION.optional(),
            NOTES.optional(),
        ]
    },
    &[
        Key::Booked,
        Key::BookingRequested,
        Key::SlotTaken,
        Key::RaceLost,
        Key::NothingFree,
        Key::AskFullName,
        Key::AskDateAndTime,
        Key::ServiceChoice,
        Key::ServiceUnknown,
        Key::StaffUnknown,
        Key::StaffAmbiguous,
        Key::StaffCannotDoThis,
        Key::StaffChosenByCalendar,
        Key::TooSoon,
        Key::TooFar,
        Key::OutOfBounds,
        Key::InThePast,
        Key::FarAhead,
        Key::NoSuchTime,
        Key::DateNotUnderstood,
        Key::OwnAppointmentThen,
        Key::NotBookable,
        Key::CalendarAway,
        Key::CouldNot,
    ],
)
.writing(Role::Booking, Key::BookingLate)
.while_waiting(Key::WaitForBooking);

pub(super) const CONFIRM_BOOKING: Row = read(
    Function::ConfirmBooking,
    &["confirm_booking"],
    &["buchung_bestaetigen", "termin_bestaetigen"],
    "Schließt eine begonnene Buchung ab, nachdem der Anrufer zugestimmt hat.",
    // of whoever was not known when the time was offered
    const { &[CUSTOMER_NAME.optional(), CONFIRM.optional(), CUSTOMER_PHONE.optional()] },
    &[
        Key::Booked,
        Key::BookingRequested,
        Key::SlotTaken,
        Key::RaceLost,
        Key::NothingFree,
        Key::NothingToConfirm,
        Key::SlotReleased,
        Key::AskFullName,
        Key::AskName,
        Key::TooSoon,
        Key::InThePast,
        Key::NotBookable,
        Key::CouldNot,
    ],
)
.writing(Role::Booking, Key::BookingLate)
.while_waiting(Key::WaitForBooking);

pub(super) const COLLECT_APPOINTMENT_DATA: Row = read(
    Function::CollectAppointmentData,
    &["collect_appointment_data"],
    &["termindaten_erfassen", "termindaten_sammeln"],
    "Prüft einen Terminwunsch; mit bestaetigung=true wird er gebucht.",
    const {
        &[
            DATE.required(),
            TIME.required(),
            DATETIME.optional(),
            CUSTOMER_NAME.if_unknown_caller(),
            SERVICE.optional(),
            CONFIRM.optional(),
            CUSTOMER_PHONE.optional(),
            CUSTOMER_EMAIL.optional(),
            STAFF.optional(),
            NOTES.optional(),
        ]
    },
    &[
        Key::ReadBack,
        Key::Free,
        Key::NearlyFree,
        Key::NotFree,
        Key::NothingFree,
        Key::Booked,
        Key::BookingRequested,
        Key::SlotTaken,
        Key::RaceLost,
        Key::AskFullName,
        Key::ServiceChoice,
        Key::ServiceUnknown,
        Key::StaffUnknown,
        Key::StaffAmbiguous,
        Key::StaffCannotDoThis,
        Key::StaffChosenByCalendar,
        Key::TooSoon,
        Key::TooFar,
        Key::InThePast,
        Key::FarAhead,
        Key::NoSuchTime,
        Key::DateNotUnderstood,
        Key::OwnAppointmentThen,
        Key::NotBookable,
        Key::CalendarAway,
        Key::CouldNot,
    ],
)
.writing(Role::Booking, Key::WriteLate)
.while_waiting(Key::WaitForBooking);

pub(super) const QUERY_APPOINTMENT: Row = read(
    Function::QueryAppointment,
    &["query_appointment", "query_appointments", "query_appointment_by_name", "get_appointments"],
    &["termine_abfragen", "termin_abfragen", "termin_suchen"],
    "Nennt die kommenden Termine des Anrufers.",
    const { &[DATE.optional(), SERVICE.optional(), CUSTOMER_NAME.optional()] },
    &[Key::OneAppointment, Key::SeveralAppointments, Key::NoAppointment, Key::NoAppointments, Key::AnonymousQuestion, Key::DateNotUnderstood],
)
.while_waiting(Key::WaitForCalendar);

pub(super) const CANCEL_APPOINTMENT: Row = read(
    Function::CancelAppointment,
    &["cancel_appointment", "delete_appointment"],
    &["termin_absagen", "termin_stornieren"],
    "Sagt einen Termin des Anrufers ab.",
    const { &[APPOINTMENT.optional(), DATE.optional(), TIME.optional(), DATETIME.optional(), SERVICE.optional(), CUSTOMER_NAME.optional(), REASON.optional()] },
    &[
        Key::Cancelled,
        Key::CancelledWithFee,
        Key::NoAppointment,
        Key::OneAppointment,
        Key::SeveralAppointments,
        Key::AnonymousChange,
        Key::DeadlineMissed,
        Key::QuotaExceeded,
        Key::AlreadyStarted,
        Key::AskDateAndTime,
        Key::DateNotUnderstood,
        Key::NotBookable,
        Key::CouldNot,
    ],
)
.writing(Role::Cancellation, Key::CancellationLate)
.while_waiting(Key::WaitForChange);

pub(super) const RESCHEDULE_APPOINTMENT: Row = read(
    Function::RescheduleAppointment,
    &["reschedule_appointment", "move_appointment"],
    &["termin_verschieben", "termin_verlegen"],
    "Verschiebt einen Termin des Anrufers auf eine andere Zeit.",
    const {
        &[
            NEW_DATE.required(),
            NEW_TIME.required(),
            NEW_DATETIME.optional(),
            OLD_DATE.optional(),
            OLD_TIME.optional(),
            OLD_DATETIME.optional(),
            APPOINTMENT.optional(),
            SERVICE.optional(),
            CUSTOMER_NAME.optional(),
            CONFIRM.optional(),
            REASON.optional(),
        ]
    },
    &[
        Key::Rescheduled,
        Key::RescheduledWithFee,
        Key::RescheduleRequested,
        Key::RescheduleReadBack,
        Key::RescheduleReadBackWithFee,
        Key::OneAppointment,
        Key::OwnAppointmentThen,
        Key::CalendarAway,
        Key::NoAppointment,
        Key::SeveralAppointments,
        Key::AnonymousChange,
        Key::NotFree,
        Key::NothingFree,
        Key::SlotTaken,
        Key::RaceLost,
        Key::AskNewDateAndTime,
        Key::AskDateAndTime,
        Key::TooSoon,
        Key::TooFar,
        Key::OutOfBounds,
        Key::InThePast,
        Key::FarAhead,
        Key::NoSuchTime,
        Key::DateNotUnderstood,
        Key::DeadlineMissed,
        Key::QuotaExceeded,
        Key::MaxReschedulesReached,
        Key::AlreadyStarted,
        Key::NotBookable,
        Key::CouldNot,
    ],
)
.writing(Role::Reschedule, Key::RescheduleLate)
.while_waiting(Key::WaitForChange);
