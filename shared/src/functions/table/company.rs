//! What the company offers, when it is open, and the people behind the agent. Numbers and hours of a transfer are configuration per company and branch, never code.

use super::read;
use crate::envelope::Role;
use crate::functions::arguments::{BRANCH, CUSTOMER_NAME, CUSTOMER_PHONE, DATE, PREFERRED_WINDOW, PRIORITY, REASON, SERVICE, STAFF};
use crate::functions::{Function, Row};
use crate::texts::Key;

pub(super) const LIST_SERVICES: Row = read(
    Function::ListServices,
    &["list_services", "get_services"],
    &["leistungen_auflisten", "dienstleistungen_auflisten", "leistungen"],
    "Nennt die Leistungen des Betriebs.",
    const { &[BRANCH.optional()] },
    &[Key::ServiceChoice, Key::ServiceUnknown],
);

pub(super) const GET_SERVICE_INFO: Row = read(
    Function::GetServiceInfo,
    &["get_service_info", "service_info"],
    &["leistung_info", "dienstleistung_info", "leistung_beschreiben"],
    "Nennt Dauer und Preis einer Leistung.",
    const { &[SERVICE.required(), BRANCH.optional()] },
    &[Key::ServiceInfo, Key::ServiceInfoWithPrice, Key::ServiceChoice, Key::ServiceUnknown],
);

pub(super) const GET_OPENING_HOURS: Row = read(
    Function::GetOpeningHours,
    &["get_opening_hours", "opening_hours", "business_hours"],
    &["oeffnungszeiten", "oeffnungszeiten_abfragen"],
    "Nennt die Öffnungszeiten der Filiale.",
    const { &[BRANCH.optional(), DATE.optional()] },
    &[Key::OpeningHours, Key::ClosedThen, Key::OpeningHoursUnknown, Key::DateNotUnderstood],
);

pub(super) const REQUEST_CALLBACK: Row = read(
    Function::RequestCallback,
    &["request_callback", "schedule_callback", "create_callback"],
    &["rueckruf_anfordern", "rueckruf_vereinbaren", "rueckruf"],
    "Notiert, dass ein Mitarbeiter den Anrufer zurückrufen soll.",
    const { &[CUSTOMER_NAME.optional(), CUSTOMER_PHONE.optional(), PREFERRED_WINDOW.optional(), PRIORITY.optional(), REASON.optional(), SERVICE.optional()] },
    &[Key::CallbackPromised, Key::CallbackPromisedUntil, Key::CallbackAlreadyPromised, Key::CallbackNeedsPhone],
)
.writing(Role::Desk, Key::WriteLate);

pub(super) const CHECK_TRANSFER_AVAILABILITY: Row = read(
    Function::CheckTransferAvailability,
    &["check_transfer_availability"],
    &["weiterleitung_pruefen", "vermittlung_pruefen"],
    "Sagt, ob der Anrufer gerade mit einem Mitarbeiter verbunden werden kann.",
    const { &[STAFF.optional(), BRANCH.optional()] },
    &[Key::TransferPossible, Key::TransferOutOfHours, Key::StaffUnknown, Key::StaffAmbiguous],
);

pub(super) const TRANSFER_CALL: Row = read(
    Function::TransferCall,
    &["transfer_call", "handle_urgent_transfer", "transfer_to_staff"],
    &["anruf_weiterleiten", "anruf_verbinden", "weiterleiten"],
    "Verbindet den Anrufer mit einem Mitarbeiter; ist niemand zu erreichen, wird ein Rückruf notiert.",
    const { &[STAFF.optional(), BRANCH.optional(), REASON.optional(), PRIORITY.optional(), CUSTOMER_NAME.optional()] },
    &[Key::Transferring, Key::TransferNotPossible, Key::CallbackNeedsPhone, Key::StaffUnknown, Key::StaffAmbiguous],
)
.of_vips();
