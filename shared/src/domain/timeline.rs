//! The words in which a story is told to support people: what happened, via which channel, by whom; and the colour group of each entry.
//!
//! Pure. Not what happened (that is read by `store::timeline`), and no sentence that a caller hears (those are `texts`). Called by the operator's command; the portal shows the same.

use serde::{Deserialize, Serialize};

/// What an entry of a timeline tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Call,
    /// A wish that Cal.com has not answered, or that the host must confirm.
    Requested,
    /// A wish that Cal.com refused.
    Failed,
    Booked,
    Rescheduled,
    RescheduleRequested,
    Cancelled,
    Confirmed,
    Rejected,
    NoShow,
    NoShowWithdrawn,
    /// A change that the rules forbade.
    Denied,
    Callback,
}

/// A kind that this version does not know: a newer schema, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the timeline holds a kind of entry that this version does not know")]
pub struct UnknownKind;

impl TryFrom<String> for EntryKind {
    type Error = UnknownKind;

    fn try_from(literal: String) -> Result<Self, UnknownKind> {
        Self::parse(&literal).ok_or(UnknownKind)
    }
}

/// The colour group: booked is green, moved yellow, cancelled red, a call blue, the rest gray (domain reference 5, History views).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    Booked,
    Moved,
    Cancelled,
    Call,
    Other,
}

impl EntryKind {
    pub const ALL: [Self; 13] = [
        Self::Call,
        Self::Requested,
        Self::Failed,
        Self::Booked,
        Self::Rescheduled,
        Self::RescheduleRequested,
        Self::Cancelled,
        Self::Confirmed,
        Self::Rejected,
        Self::NoShow,
        Self::NoShowWithdrawn,
        Self::Denied,
        Self::Callback,
    ];

    /// As it stands in the view `timeline_entries`, and with it in `appointment_modifications.kind`.
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Requested => "requested",
            Self::Failed => "failed",
            Self::Booked => "booked",
            Self::Rescheduled => "rescheduled",
            Self::RescheduleRequested => "reschedule_requested",
            Self::Cancelled => "cancelled",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::NoShow => "no_show",
            Self::NoShowWithdrawn => "no_show_withdrawn",
            Self::Denied => "denied",
            Self::Callback => "callback",
        }
    }

    /// The kind of that literal.
    #[must_use]
    pub fn parse(literal: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.literal() == literal)
    }

    /// In German, as the column "Was" says it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Call => "Anruf",
            Self::Requested => "angefragt",
            Self::Failed => "gescheitert",
            Self::Booked => "gebucht",
            Self::Rescheduled => "verschoben",
            Self::RescheduleRequested => "neue Zeit erbeten",
            Self::Cancelled => "abgesagt",
            Self::Confirmed => "bestätigt",
            Self::Rejected => "abgelehnt",
            Self::NoShow => "nicht erschienen",
            Self::NoShowWithdrawn => "doch erschienen",
            Self::Denied => "nicht erlaubt",
            Self::Callback => "Rückruf",
        }
    }

    #[must_use]
    pub const fn tone(self) -> Tone {
        match self {
            Self::Call => Tone::Call,
            Self::Booked | Self::Confirmed => Tone::Booked,
            Self::Rescheduled | Self::RescheduleRequested => Tone::Moved,
            Self::Cancelled | Self::Rejected | Self::Failed => Tone::Cancelled,
            Self::Requested | Self::NoShow | Self::NoShowWithdrawn | Self::Denied | Self::Callback => Tone::Other,
        }
    }
}

/// "Via": the channel of `booking_source`, `reschedule_source`, `cancellation_source` and of a modification's source. A word that is not known is shown as it is.
#[must_use]
pub fn via(source: &str) -> &str {
    match source {
        "retell_phone" | "retell_api" => "Telefon",
        "retell_webhook" => "Telefon, aus der Auswertung",
        "calcom_webhook" => "Cal.com",
        "customer_portal" => "Kundenportal",
        "crm_admin" => "Admin",
        "reconciled" => "Cal.com, Abgleich",
        "backfill_from_calcom" => "Cal.com, Nachtrag",
        "unknown" => "unbekannt",
        other => other,
    }
}

/// "Von": who acted.
#[must_use]
pub fn by(actor: &str) -> &str {
    match actor {
        "customer" => "Kunde",
        "staff" => "Mitarbeiter",
        "system" => "System",
        "retell_ai" => "Telefonassistent",
        "unknown" => "unbekannt",
        other => other,
    }
}

/// How an appointment stands.
#[must_use]
pub fn appointment_status(status: &str) -> &str {
    match status {
        "requested" => "angefragt",
        "pending" => "wartet auf Bestätigung",
        "booked" => "gebucht",
        "reschedule_requested" => "neue Zeit erbeten",
        "cancelled" => "abgesagt",
        "rejected" => "abgelehnt",
        "failed" => "gescheitert",
        "completed" => "stattgefunden",
        "no_show" => "nicht erschienen",
        other => other,
    }
}

/// How far a call came.
#[must_use]
pub fn call_status(status: &str) -> &str {
    match status {
        "registered" => "angekündigt",
        "ongoing" => "läuft",
        "ended" => "beendet",
        "analyzed" => "beendet und ausgewertet",
        other => other,
    }
}

/// How a promise to call back stands.
#[must_use]
pub fn callback_state(state: &str) -> &str {
    match state {
        "open" => "offen",
        "assigned" => "zugeteilt",
        "contacted" => "angerufen",
        "completed" => "erledigt",
        "expired" => "verfallen",
        "cancelled" => "zurückgezogen",
        other => other,
    }
}

/// Why somebody is called back; a reason in somebody's own words is shown as it is.
#[must_use]
pub fn callback_reason(reason: &str) -> &str {
    match reason {
        "customer_request" | "user_requested_callback" => "vom Anrufer gewünscht",
        "anonymous_change" => "Änderungswunsch mit unterdrückter Nummer",
        "policy_unreadable" => "Regeln der Firma nicht lesbar",
        "service_not_bookable" => "Leistung nicht am Telefon buchbar",
        "transfer_failed" | "transfer_not_possible" => "Weiterleitung kam nicht zustande",
        "wish_failed" => "Wunsch gescheitert",
        "wish_too_late" => "Wunsch kam zu spät",
        "wish_undone" => "Buchung wieder aufgehoben",
        other => other,
    }
}

/// Why the rules forbade a change (`domain::policies::Denial`).
#[must_use]
pub fn denial(reason: &str) -> &str {
    match reason {
        "already_started" => "Termin hatte schon begonnen",
        "deadline_missed" => "Frist versäumt",
        "quota_exceeded" => "Kontingent erschöpft",
        "max_reschedules_reached" => "zu oft verschoben",
        other => other,
    }
}

/// How the name that was told agrees with the customer's own (`domain::person_names::Agreement`).
#[must_use]
pub fn name_agreement(agreement: &str) -> &str {
    match agreement {
        "same" => "derselbe Name",
        "sounds_alike" => "klingt gleich",
        "part_of" => "Teil des Namens",
        "different" => "ein anderer Name",
        "unknown" => "nicht zu vergleichen",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::provenance::{Actor, Channel};

    #[test]
    fn a_kind_is_found_by_its_literal_and_serialises_as_it() {
        for kind in EntryKind::ALL {
            assert_eq!(EntryKind::parse(kind.literal()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.literal());
        }
        assert_eq!(EntryKind::parse("moved"), None);
    }

    /// Domain reference 5: green booked, yellow moved, red cancelled, blue call, gray other.
    #[test]
    fn each_kind_has_its_colour_group() {
        let of = |tone| EntryKind::ALL.into_iter().filter(|kind| kind.tone() == tone).map(EntryKind::literal).collect::<Vec<_>>();
        assert_eq!(of(Tone::Call), ["call"]);
        assert_eq!(of(Tone::Booked), ["booked", "confirmed"]);
        assert_eq!(of(Tone::Moved), ["rescheduled", "reschedule_requested"]);
        assert_eq!(of(Tone::Cancelled), ["failed", "cancelled", "rejected"]);
        assert_eq!(of(Tone::Other), ["requested", "no_show", "no_show_withdrawn", "denied", "callback"]);
    }

    #[test]
    fn every_channel_and_actor_has_a_german_word() {
        for channel in Channel::ALL {
            for source in [channel.booking_source(), channel.change_source()] {
                assert_ne!(via(source), source);
            }
        }
        for actor in [Actor::Customer, Actor::Staff, Actor::System, Actor::Unknown] {
            assert_ne!(by(actor.literal()), actor.literal());
        }
        assert_eq!(via("fax"), "fax");
    }
}
