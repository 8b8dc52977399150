//! What was heard of one uid, per kind of happening, so that every field is the same whatever came first: of several tellers of one thing the earliest counts,
//! and what was only found by looking counts least. Not what follows from it: that is `history` and the projection. Called by the fold.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::provenance::{Actor, AuditGroup, Channel, Provenance, Stamp};

/// Who did one thing to a uid, when, and how we know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub at: DateTime<Utc>,
    pub actor: String,
    /// The channel's name as in `booking_source`; each audit group words it in its own way.
    pub channel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_id: Option<Uuid>,
    /// The delivery that told us first. It does not decide which teller counts: copies of one fact differ in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Why, in somebody's words, and when they were said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    pub found: bool,
    pub at: DateTime<Utc>,
    pub text: String,
}

impl Mark {
    /// The mark of a fact with that provenance.
    #[must_use]
    pub fn of(provenance: &Provenance, reason: Option<&str>) -> Self {
        let text = reason.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        Self {
            at: provenance.occurred_at,
            actor: provenance.actor.literal().to_owned(),
            channel: provenance.channel.booking_source().to_owned(),
            user_id: provenance.stamp(AuditGroup::Booking).by_user_id,
            call_id: provenance.call_id,
            intent_id: provenance.intent_id,
            message_id: provenance.message_id.clone(),
            reason: text.map(|text| Reason { found: provenance.channel == Channel::Reconciled, at: provenance.occurred_at, text }),
        }
    }

    /// It happened (that much is certain from what followed), and nobody told who did it.
    #[must_use]
    pub fn unheard(at: DateTime<Utc>) -> Self {
        Self {
            at,
            actor: Actor::Unknown.literal().to_owned(),
            channel: Channel::Reconciled.booking_source().to_owned(),
            user_id: None,
            call_id: None,
            intent_id: None,
            message_id: None,
            reason: None,
        }
    }

    /// The audit columns of a group.
    #[must_use]
    pub fn stamp(&self, group: AuditGroup) -> Stamp {
        let source = match (group, Channel::parse(&self.channel)) {
            (AuditGroup::Booking, _) | (_, None) => &self.channel,
            (AuditGroup::Reschedule | AuditGroup::Cancellation, Some(channel)) => channel.change_source(),
        };
        Stamp { at: self.at, by: self.actor.clone(), source: source.to_owned(), by_user_id: self.user_id, call_id: self.call_id }
    }

    fn found(&self) -> bool {
        self.channel == Channel::Reconciled.booking_source()
    }

    fn prevails_over(&self, known: &Self) -> bool {
        let key = |mark: &Self| (mark.found(), mark.at, mark.actor.clone(), mark.channel.clone(), mark.user_id, mark.call_id, mark.intent_id);
        key(self) < key(known)
    }
}

/// Takes another teller of the same thing in.
pub(super) fn hear(known: &mut Option<Mark>, mut told: Mark) {
    let Some(mark) = known else {
        *known = Some(told);
        return;
    };
    // the reason is the earliest that anybody gave, even if another told of the thing before
    let reason = [mark.reason.take(), told.reason.take()].into_iter().flatten().min();
    if told.prevails_over(mark) {
        *mark = told;
    }
    mark.reason = reason;
}

/// Whether somebody came, as last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attendance {
    pub at: DateTime<Utc>,
    pub absent: bool,
}

/// How new a fact's content is: (iCalSequence, updatedAt, hash), greatest wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Newness {
    pub sequence: i32,
    pub updated_at: Option<DateTime<Utc>>,
    pub hash: String,
}

/// When somebody was the host. An event tells it from its time on, and a copy with a later stamp tells nothing new: the earliest counts. A row shows it at its
/// last change: the latest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosting {
    pub host: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<DateTime<Utc>>,
}

impl Hosting {
    /// Takes in that the host was this one: at the row's last change if that is known, else when the event was told.
    fn hear(&mut self, told_at: DateTime<Utc>, updated_at: Option<DateTime<Utc>>) {
        match updated_at {
            Some(_) => self.seen = self.seen.max(updated_at),
            None => self.told = Some(self.told.map_or(told_at, |told| told.min(told_at))),
        }
    }

    /// The moment at which this host counts.
    fn at(&self) -> Option<DateTime<Utc>> {
        self.told.max(self.seen)
    }
}

/// All marks of one uid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Marks {
    /// Booked or moved here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<Mark>,
    /// Accepted: a confirmation if it was requested before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Mark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reschedule_requested: Option<Mark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Mark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Mark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_show: Option<Mark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_show_withdrawn: Option<Mark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attendance: Option<Attendance>,
    /// Who was named as host, and when: not every fact names one. In the order of their ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Hosting>,
}

impl Marks {
    /// Takes in who was the host, and says who counts now: whoever held it last.
    pub(super) fn hear_host(&mut self, host: i64, told_at: DateTime<Utc>, updated_at: Option<DateTime<Utc>>) -> Option<i64> {
        let place = self.hosts.binary_search_by_key(&host, |hosting| hosting.host).unwrap_or_else(|place| {
            self.hosts.insert(place, Hosting { host, told: None, seen: None });
            place
        });
        self.hosts[place].hear(told_at, updated_at);
        self.hosts.iter().max_by_key(|hosting| (hosting.at(), hosting.host)).map(|hosting| hosting.host)
    }

    /// When anything was first heard to have happened.
    pub(super) fn earliest(&self) -> Option<DateTime<Utc>> {
        [&self.opened, &self.accepted, &self.reschedule_requested, &self.rejected, &self.cancelled, &self.no_show, &self.no_show_withdrawn]
            .into_iter()
            .flatten()
            .map(|mark| mark.at)
            .min()
    }
}
