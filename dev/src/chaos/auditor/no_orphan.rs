//! I3: Cal.com and we know the same bookings: none there that we do not have (orphan), none here that is not there (ghost), at the same times and with the
//! same status, none of ours is somebody else's (incidents 2, 7, 10), and who was told "booked" is.

use std::collections::HashMap;

use super::super::record::Record;
use super::evidence::Evidence;
use super::findings::Findings;
use super::lives::Life;
use super::rows::{AppointmentRow, UidRow};
use super::wishes;
use crate::calcom_stand_in::Status;

pub fn judge(record: &Record, evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    let uids = evidence.uid_rows();
    let appointments = evidence.appointments();
    for life in evidence.owed() {
        known(evidence, life, &uids, &mut findings);
        same(evidence, life, &uids, &appointments, &mut findings);
    }
    ghosts(evidence, &mut findings);
    ours(evidence, &uids, &mut findings);
    wishes::told_the_truth(record, evidence, &mut findings);
    findings
}

/// Every uid is in our rows.
fn known(evidence: &Evidence, life: &Life, uids: &HashMap<&str, Vec<&UidRow>>, findings: &mut Findings) {
    for stay in &life.stays {
        findings.expect(uids.contains_key(stay.uid.as_str()), || {
            let company = evidence.company_of(stay.event_type_id).map_or("nobody", |id| evidence.name(id));
            format!("orphan: the booking {} of {company}, made by {:?} and now {:?}, is in no row of ours", stay.uid, life.made_by(), stay.status)
        });
    }
}

/// Its appointment says what Cal.com says.
fn same(evidence: &Evidence, life: &Life, uids: &HashMap<&str, Vec<&UidRow>>, appointments: &HashMap<uuid::Uuid, &AppointmentRow>, findings: &mut Findings) {
    let head = life.head();
    let Some(appointment) = uids.get(head.uid.as_str()).and_then(|rows| appointments.get(&rows.first()?.appointment_id)) else { return };
    let who = || format!("appointment #{} of {}", appointment.number, evidence.name(appointment.company_id));
    findings.expect(appointment.calcom_uid.as_deref() == Some(&head.uid), || {
        format!("{} names the booking {:?}, but what stands is {}", who(), appointment.calcom_uid, head.uid)
    });
    findings.expect((appointment.starts_at, appointment.ends_at) == (head.start, head.end), || {
        format!("{} is at {}, but Cal.com has {} at {}", who(), appointment.starts_at, head.uid, head.start)
    });
    findings.expect(allowed(head.status).contains(&appointment.status.as_str()), || {
        format!("{} is {}, but Cal.com says {:?} of {}", who(), appointment.status, head.status, head.uid)
    });
}

/// What we may call a booking that Cal.com calls so.
fn allowed(status: Status) -> &'static [&'static str] {
    match status {
        Status::Accepted => &["booked", "no_show", "completed"],
        Status::Pending => &["pending"],
        Status::Cancelled => &["cancelled", "reschedule_requested"],
        Status::Rejected => &["rejected"],
    }
}

/// Whatever we say Cal.com holds, it holds.
fn ghosts(evidence: &Evidence, findings: &mut Findings) {
    for row in &evidence.rows.uids {
        findings.expect(evidence.lives.stay(&row.uid).is_some(), || {
            format!("ghost: {} has the booking {}, which Cal.com never had", evidence.name(row.company_id), row.uid)
        });
    }
    for row in &evidence.rows.appointments {
        let stands = ["pending", "booked", "no_show", "completed"].contains(&row.status.as_str());
        let life = row.calcom_uid.as_deref().and_then(|uid| evidence.lives.of(uid));
        findings.expect(!stands || life.is_some_and(|life| life.is_live()), || {
            format!(
                "ghost: appointment #{} of {} is {}, but Cal.com holds no such booking ({:?})",
                row.number,
                evidence.name(row.company_id),
                row.status,
                row.calcom_uid
            )
        });
    }
}

/// A confirmed wish has the booking that carries its token, and no other.
fn ours(evidence: &Evidence, uids: &HashMap<&str, Vec<&UidRow>>, findings: &mut Findings) {
    for intent in evidence.rows.intents.iter().filter(|intent| intent.op == "create" && intent.state == "confirmed") {
        let stay = intent.uid.as_deref().and_then(|uid| evidence.lives.stay(uid));
        let token = intent.token.to_string();
        findings.expect(stay.is_some_and(|stay| stay.token.as_deref() == Some(&token)), || {
            format!("the wish {token} of {} was confirmed with {:?}, which does not carry its token", evidence.name(intent.company_id), intent.uid)
        });
        let Some(stay) = stay else { continue };
        // as it was made: somebody may have moved it before we found it
        let made = evidence.lives.of(&stay.uid).map_or(stay, |life| life.root());
        findings.expect((Some(made.start), Some(made.event_type_id)) == (intent.starts_at, intent.event_type_id), || {
            format!("the wish {token} was for {:?}, but its booking {} was made for {}", intent.starts_at, made.uid, made.start)
        });
        let same = uids.get(stay.uid.as_str()).is_some_and(|rows| rows.iter().any(|row| row.appointment_id == intent.appointment_id));
        findings.expect(same, || format!("the booking {} of the wish {token} belongs to another appointment", stay.uid));
    }
    // what we made in Cal.com, somebody wished for
    let intents = evidence.intents_by_token();
    for (token, lives) in evidence.lives.by_token() {
        findings.expect(intents.contains_key(token), || format!("orphan: {} bookings carry the token {token}, which no wish of ours has", lives.len()));
    }
}
