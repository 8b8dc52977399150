//! Who changed an appointment, through which channel, in which call: never optional, and the only source of the thirteen audit columns.
//!
//! Vocabulary: domain reference 1.1 and 1.2, generation a; `reconciled` is ours, for what a sweep found.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The class of who acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    Customer,
    Staff,
    System,
    Unknown,
}

impl Actor {
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Staff => "staff",
            Self::System => "system",
            Self::Unknown => "unknown",
        }
    }

    /// The actor of that literal.
    #[must_use]
    pub fn parse(literal: &str) -> Option<Self> {
        [Self::Customer, Self::Staff, Self::System, Self::Unknown].into_iter().find(|actor| actor.literal() == literal)
    }
}

/// The way a change came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A function during a call.
    RetellPhone,
    /// Taken from a call's analysis after it ended. Not the same as a function (issue 2: retell_webhook is not retell_phone).
    RetellWebhook,
    CalcomWebhook,
    CustomerPortal,
    /// A person of the company, by hand.
    CrmAdmin,
    /// Found by a sweep because its webhook was lost.
    Reconciled,
    BackfillFromCalcom,
    Unknown,
}

impl Channel {
    pub const ALL: [Self; 8] = [
        Self::RetellPhone,
        Self::RetellWebhook,
        Self::CalcomWebhook,
        Self::CustomerPortal,
        Self::CrmAdmin,
        Self::Reconciled,
        Self::BackfillFromCalcom,
        Self::Unknown,
    ];

    /// The literal of `booking_source`, and the name of the channel where it is stored with an intent.
    #[must_use]
    pub const fn booking_source(self) -> &'static str {
        match self {
            Self::RetellPhone => "retell_phone",
            Self::RetellWebhook => "retell_webhook",
            Self::CalcomWebhook => "calcom_webhook",
            Self::CustomerPortal => "customer_portal",
            Self::CrmAdmin => "crm_admin",
            Self::Reconciled => "reconciled",
            Self::BackfillFromCalcom => "backfill_from_calcom",
            Self::Unknown => "unknown",
        }
    }

    /// The literal of `reschedule_source` and `cancellation_source`: both ways of a call are `retell_api` there.
    #[must_use]
    pub const fn change_source(self) -> &'static str {
        match self {
            Self::RetellPhone | Self::RetellWebhook => "retell_api",
            Self::BackfillFromCalcom => "reconciled",
            other => other.booking_source(),
        }
    }

    /// The channel of that `booking_source` literal.
    #[must_use]
    pub fn parse(literal: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.booking_source() == literal)
    }
}

/// Who, how, in which call, by whose hand, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    pub actor: Actor,
    pub channel: Channel,
    /// The call that caused the change; a change that a call caused always names it.
    pub call_id: Option<Uuid>,
    /// The person of the company, if the channel is `CrmAdmin`.
    pub user_id: Option<Uuid>,
    /// The intent that carried the change to Cal.com, if it was ours.
    pub intent_id: Option<Uuid>,
    /// The identity of the message that told us.
    pub message_id: Option<String>,
    /// When it happened: provider time for their changes, the time of the wish for ours, so that echo and answer agree.
    pub occurred_at: DateTime<Utc>,
}

/// What one change writes into its group of audit columns, and into its modification row.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    pub at: DateTime<Utc>,
    pub by: String,
    pub source: String,
    pub by_user_id: Option<Uuid>,
    pub call_id: Option<Uuid>,
}

/// The three groups of audit columns. Nothing else decides what stands in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditGroup {
    Booking,
    Reschedule,
    Cancellation,
}

impl Provenance {
    /// The audit columns of one group: (when, actor, source, user).
    #[must_use]
    pub fn stamp(&self, group: AuditGroup) -> Stamp {
        let source = match group {
            AuditGroup::Booking => self.channel.booking_source(),
            AuditGroup::Reschedule | AuditGroup::Cancellation => self.channel.change_source(),
        };
        Stamp {
            at: self.occurred_at,
            by: self.actor.literal().to_owned(),
            source: source.to_owned(),
            by_user_id: if matches!(self.channel, Channel::CrmAdmin) { self.user_id } else { None },
            call_id: self.call_id,
        }
    }
}

/// A cancellation always has a reason; where nobody gave one, this says so (architecture section 7).
pub const REASON_NOT_GIVEN: &str = "not_given";

/// A reason as it is stored: trimmed, bounded to 500 characters (Cal.com's own limit for texts), never empty.
#[must_use]
pub fn cancellation_reason(given: Option<&str>) -> String {
    match given.map(str::trim) {
        Some(text) if !text.is_empty() => text.chars().take(500).collect(),
        _ => REASON_NOT_GIVEN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance(actor: Actor, channel: Channel) -> Provenance {
        Provenance { actor, channel, call_id: None, user_id: Some(Uuid::nil()), intent_id: None, message_id: None, occurred_at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn literals_differ_by_path() {
        let table = [
            (Channel::RetellPhone, "retell_phone", "retell_api"),
            (Channel::RetellWebhook, "retell_webhook", "retell_api"),
            (Channel::CalcomWebhook, "calcom_webhook", "calcom_webhook"),
            (Channel::CustomerPortal, "customer_portal", "customer_portal"),
            (Channel::CrmAdmin, "crm_admin", "crm_admin"),
            (Channel::Reconciled, "reconciled", "reconciled"),
        ];
        for (channel, booking, change) in table {
            let provenance = provenance(Actor::Customer, channel);
            assert_eq!(provenance.stamp(AuditGroup::Booking).source, booking);
            assert_eq!(provenance.stamp(AuditGroup::Reschedule).source, change);
            assert_eq!(provenance.stamp(AuditGroup::Cancellation).source, change);
            assert_eq!(Channel::parse(booking), Some(channel));
        }
    }

    /// The former portal wrote a user id for customers (domain reference 1.2): only a person of the company has one.
    #[test]
    fn only_the_admin_channel_names_a_user() {
        assert_eq!(provenance(Actor::Customer, Channel::CustomerPortal).stamp(AuditGroup::Cancellation).by_user_id, None);
        assert_eq!(provenance(Actor::Staff, Channel::CrmAdmin).stamp(AuditGroup::Booking).by_user_id, Some(Uuid::nil()));
    }

    #[test]
    fn a_missing_reason_is_a_literal() {
        assert_eq!(cancellation_reason(None), "not_given");
        assert_eq!(cancellation_reason(Some("  ")), "not_given");
        assert_eq!(cancellation_reason(Some(" krank ")), "krank");
    }
}
