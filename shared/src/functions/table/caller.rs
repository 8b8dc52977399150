//! Who calls, and what is known of them. The caller is whoever the signed call says; nothing here asks a model for it.

use super::read;
use crate::envelope::Role;
use crate::functions::arguments::{BOOKING_DATA, CUSTOMER_NAME, CUSTOMER_PHONE, PREFERENCE_KEY, PREFERENCE_TYPE, PREFERENCE_VALUE};
use crate::functions::{Function, Row};
use crate::texts::Key;

/// Incident 33: it comes before call_started has been stored.
pub(super) const INITIALIZE_CALL: Row = read(
    Function::InitializeCall,
    &["initialize_call", "get_current_context", "init_call"],
    &["gespraech_beginnen", "anruf_initialisieren", "kontext_abrufen"],
    "Nennt zu Beginn des Gesprächs Datum, Uhrzeit, den Anrufer, falls er bekannt ist, und die Regeln des Betriebs.",
    &[],
    &[Key::GreetNew, Key::GreetKnown, Key::GreetAfterLong, Key::GreetVip, Key::GreetAnonymous],
);

pub(super) const IDENTIFY_CUSTOMER: Row = read(
    Function::IdentifyCustomer,
    &["identify_customer", "check_customer", "get_customer"],
    &["kunde_erkennen", "kunden_pruefen", "kunde_suchen"],
    "Sagt, ob die Nummer des Anrufers zu einem Kunden gehört und was über ihn bekannt ist.",
    const { &[CUSTOMER_NAME.optional(), CUSTOMER_PHONE.optional()] },
    &[Key::GreetNew, Key::GreetKnown, Key::GreetAfterLong, Key::GreetVip, Key::GreetAnonymous],
);

pub(super) const SAVE_CUSTOMER_PREFERENCE: Row = read(
    Function::SaveCustomerPreference,
    &["save_customer_preference", "save_preference"],
    &["praeferenz_speichern", "vorliebe_speichern", "kundenwunsch_merken"],
    "Merkt sich eine Vorliebe des Anrufers für spätere Gespräche.",
    const { &[PREFERENCE_TYPE.required(), PREFERENCE_KEY.required(), PREFERENCE_VALUE.required()] },
    &[Key::PreferenceSaved, Key::PreferenceNeedsCustomer],
)
.writing(Role::Desk, Key::WriteLate)
.of_vips();

pub(super) const APPLY_VIP_BENEFITS: Row = read(
    Function::ApplyVipBenefits,
    &["apply_vip_benefits"],
    &["vip_vorteile_anwenden", "vip_vorteile", "kundenvorteile"],
    "Nennt die Vorteile, die der Anrufer bei diesem Betrieb hat.",
    const { &[BOOKING_DATA.optional()] },
    &[Key::Benefits, Key::NoBenefits],
)
.of_vips();
