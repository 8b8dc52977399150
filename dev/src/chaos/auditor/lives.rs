//! What Cal.com's ledger says became of each booking, told in the order in which it happened. An independent model: it knows no webhooks, no facts, no ranks and
//! no order of arrival; our rows are measured by it. Pure.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::calcom_stand_in::{By, LedgerEntry, Op, Status};

/// The metadata key that carries our token (architecture section 8, 3).
const TOKEN_KEY: &str = "frontdesk_intent";

/// One booking through all its uids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// In the order of the moves; the last one is what stands.
    pub stays: Vec<Stay>,
    pub changes: Vec<Change>,
}

/// One uid of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    pub uid: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub status: Status,
    pub event_type_id: i64,
    /// Ours, if it carries one.
    pub token: Option<String>,
}

/// A row that our history owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub uid: String,
    /// As `appointment_modifications.kind` names it.
    pub kind: &'static str,
    pub previous: Option<DateTime<Utc>>,
    pub new: Option<DateTime<Utc>>,
    pub by: By,
    pub event_type_id: i64,
    pub start: DateTime<Utc>,
    pub at: DateTime<Utc>,
}

impl Life {
    pub fn head(&self) -> &Stay {
        &self.stays[self.stays.len() - 1]
    }

    pub fn root(&self) -> &Stay {
        &self.stays[0]
    }

    pub fn is_live(&self) -> bool {
        self.head().status.is_live()
    }

    pub fn made_by(&self) -> By {
        self.changes[0].by
    }

    /// The start before the last move.
    pub fn previous_start(&self) -> Option<DateTime<Utc>> {
        self.stays.len().checked_sub(2).map(|index| self.stays[index].start)
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    pub all: Vec<Life>,
    by_uid: HashMap<String, usize>,
    tokens: HashMap<String, Vec<usize>>,
}

impl Lives {
    /// Told by the ledger, in its order.
    pub fn told(ledger: &[LedgerEntry]) -> Self {
        let mut lives = Self::default();
        for entry in ledger {
            lives.take(entry);
        }
        lives
    }

    pub fn of(&self, uid: &str) -> Option<&Life> {
        self.by_uid.get(uid).map(|index| &self.all[*index])
    }

    /// The stay of that uid; a superseded one has the status cancelled in Cal.com.
    pub fn stay(&self, uid: &str) -> Option<&Stay> {
        self.of(uid)?.stays.iter().find(|stay| stay.uid == uid)
    }

    /// Bookings that carry our token, by it.
    pub fn by_token(&self) -> HashMap<&str, Vec<&Life>> {
        let mut found: HashMap<&str, Vec<&Life>> = HashMap::new();
        for life in &self.all {
            if let Some(token) = &life.root().token {
                found.entry(token).or_default().push(life);
            }
        }
        found
    }

    /// The bookings that carry that token.
    pub fn of_token(&self, token: &str) -> impl Iterator<Item = &Life> + use<'_> {
        self.tokens.get(token).into_iter().flatten().map(|index| &self.all[*index])
    }

    /// A second booking of one wish that we ended ourselves: no effect is left of it, and no row is owed (architecture section 8, 3). The one that the wish was confirmed
    /// with (`confirmed`: its uid, by token), or else the first, is owed whatever became of it: it is no double. By uid, with how long each was there.
    pub fn undone_doubles(&self, confirmed: &HashMap<String, &str>) -> HashMap<&str, TimeDelta> {
        let mut undone = HashMap::new();
        for (token, lives) in self.by_token().into_iter().filter(|(_, lives)| lives.len() > 1) {
            let has = |life: &&Life| confirmed.get(token).is_some_and(|uid| life.stays.iter().any(|stay| stay.uid == *uid));
            let owed = lives.iter().copied().find(has).unwrap_or(lives[0]);
            for life in lives.into_iter().filter(|life| life.root().uid != owed.root().uid && !life.is_live() && life.stays.len() == 1) {
                if let Some(last) = life.changes.last().filter(|last| last.kind == "cancelled" && last.by == By::Api) {
                    undone.insert(life.root().uid.as_str(), last.at - life.changes[0].at);
                }
            }
        }
        undone
    }

    fn take(&mut self, entry: &LedgerEntry) {
        let change = |kind, previous, new| {
            let (uid, by, event_type_id, start, at) = (entry.uid.clone(), entry.by, entry.event_type_id, entry.start, entry.at);
            Change { uid, kind, previous, new, by, event_type_id, start, at }
        };
        match entry.op {
            // another seat of a booking that is there
            Op::Create if self.by_uid.contains_key(&entry.uid) => {}
            Op::Create => {
                let stay = stay(entry);
                self.by_uid.insert(entry.uid.clone(), self.all.len());
                if let Some(token) = &stay.token {
                    self.tokens.entry(token.clone()).or_default().push(self.all.len());
                }
                self.all.push(Life { stays: vec![stay], changes: vec![change("booked", None, Some(entry.start))] });
            }
            Op::Reschedule => {
                let Some(from) = entry.from_uid.as_deref() else { return };
                let Some(index) = self.by_uid.get(from).copied() else { return };
                self.by_uid.insert(entry.uid.clone(), index);
                let life = &mut self.all[index];
                let previous = life.head().start;
                if let Some(old) = life.stays.last_mut() {
                    old.status = Status::Cancelled;
                }
                life.stays.push(stay(entry));
                life.changes.push(change("rescheduled", Some(previous), Some(entry.start)));
            }
            Op::Cancel => self.ended(entry, change("cancelled", Some(entry.start), None)),
            Op::Reject => self.ended(entry, change("rejected", Some(entry.start), None)),
            Op::Confirm => self.ended(entry, change("confirmed", None, Some(entry.start))),
        }
    }

    fn ended(&mut self, entry: &LedgerEntry, change: Change) {
        let Some(index) = self.by_uid.get(&entry.uid).copied() else { return };
        let life = &mut self.all[index];
        if let Some(stay) = life.stays.iter_mut().find(|stay| stay.uid == entry.uid) {
            stay.status = entry.status;
        }
        life.changes.push(change);
    }
}

fn stay(entry: &LedgerEntry) -> Stay {
    let token = entry.metadata.0.iter().find(|(key, _)| key == TOKEN_KEY);
    Stay {
        uid: entry.uid.clone(),
        start: entry.start,
        end: entry.end,
        status: entry.status,
        event_type_id: entry.event_type_id,
        token: token.and_then(|(_, value)| value.as_str()).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `(op, uid, from, hour, status, by, token)`
    type Told = (&'static str, &'static str, Option<&'static str>, u32, &'static str, &'static str, Option<&'static str>);

    fn ledger(told: &[Told]) -> Vec<LedgerEntry> {
        let entry = |(seq, (op, uid, from_uid, hour, status, by, token)): (usize, &Told)| {
            let metadata = token.map_or(json!({}), |token| json!({ TOKEN_KEY: token }));
            serde_json::from_value(json!({
                "seq": seq, "at": "2026-07-01T12:00:00Z", "op": op, "uid": uid, "from_uid": from_uid, "event_type_id": 1, "status": status, "by": by,
                "start": at(*hour), "end": at(hour + 1), "metadata": metadata, "request_id": null,
            }))
            .unwrap()
        };
        told.iter().enumerate().map(entry).collect()
    }

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2026-07-06T{hour:02}:00:00Z").parse().unwrap()
    }

    #[test]
    fn a_life_goes_through_its_uids_and_owes_a_row_for_each_change() {
        let lives = Lives::told(&ledger(&[
            ("create", "a", None, 8, "pending", "visitor", None),
            ("confirm", "a", None, 8, "accepted", "host", None),
            ("create", "x", None, 9, "accepted", "api", Some("t")),
            ("reschedule", "b", Some("a"), 10, "accepted", "visitor", None),
            ("cancel", "b", None, 10, "cancelled", "host", None),
        ]));
        assert_eq!(lives.all.len(), 2);
        let life = lives.of("a").unwrap();
        assert_eq!((life.root().uid.as_str(), life.head().uid.as_str(), life.is_live(), life.previous_start()), ("a", "b", false, Some(at(8))));
        let owed: Vec<_> = life.changes.iter().map(|change| (change.uid.as_str(), change.kind, change.previous, change.new)).collect();
        assert_eq!(
            owed,
            [
                ("a", "booked", None, Some(at(8))),
                ("a", "confirmed", None, Some(at(8))),
                ("b", "rescheduled", Some(at(8)), Some(at(10))),
                ("b", "cancelled", Some(at(10)), None),
            ]
        );
        assert_eq!((lives.stay("a").unwrap().status, lives.stay("b").unwrap().status), (Status::Cancelled, Status::Cancelled));
        assert!(lives.of("x").unwrap().is_live() && lives.of("nobody").is_none());
    }

    #[test]
    fn only_a_double_that_we_ended_ourselves_is_owed_nothing() {
        let create = |uid, token| ("create", uid, None, 8, "accepted", "api", Some(token));
        let cancel = |uid, by| ("cancel", uid, None, 8, "cancelled", by, None);
        let lives = Lives::told(&ledger(&[
            create("first", "t"),
            create("second", "t"),
            create("alone", "u"),
            create("third", "t"),
            cancel("second", "api"),
            cancel("alone", "api"),
            cancel("third", "visitor"),
        ]));
        let undone = |confirmed: &[(&str, &'static str)]| {
            let confirmed = confirmed.iter().map(|(token, uid)| ((*token).to_owned(), *uid)).collect();
            lives.undone_doubles(&confirmed).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(undone(&[]), ["second"]);
        // the wrong one was ended: the booking that the wish has is owed, and the first one is no double of it
        assert_eq!(undone(&[("t", "second")]), Vec::<&str>::new());
        assert_eq!(lives.by_token()["t"].len(), 3);
        assert_eq!((lives.of_token("t").count(), lives.of_token("u").count(), lives.of_token("v").count()), (3, 1, 0));
    }
}
