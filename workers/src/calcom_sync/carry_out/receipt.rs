//! Whether a booking of Cal.com is what an intent asked for: pure.
//!
//! Called with answers and with what a search found.

use chrono::Duration;
use shared::calcom::Booking;
use shared::protection::Protection;
use shared::store::intents::{Intent, Op};
use uuid::Uuid;

use crate::calcom_events::TOKEN_KEY;

/// How much older than our wish a booking may look because Cal.com's clock is not ours.
const CLOCKS_DIFFER_MAX: Duration = Duration::minutes(10);

/// A booking is ours only if it carries this intent's random token for what was asked, and is not older than the wish (incidents 7, 10: Cal.com answered with somebody's
/// booking of half an hour before). The booking of an earlier try of ours fulfils both; somebody else's never does.
pub(super) fn carries_token(intent: &Intent, booking: &Booking) -> bool {
    let is_ours = booking.metadata.get(TOKEN_KEY).and_then(|token| token.parse::<Uuid>().ok()) == Some(intent.token);
    let is_fresh = booking.created_at.is_none_or(|created_at| created_at >= intent.created_at - CLOCKS_DIFFER_MAX);
    let fits = Some(booking.start) == intent.starts_at && (booking.event_type_id.is_none() || booking.event_type_id == intent.event_type_id);
    // a move keeps the token of the booking that it replaces
    let is_first = booking.rescheduled_from_uid.is_none();
    ((is_ours && is_fresh) || Protection::Tag.is_off()) && fits && is_first
}

/// Whether the answer of a move is what our booking `uid` was moved to: it says so itself, and has the wished time. Cal.com is known to answer with another booking of the same
/// attendee (incidents 7, 10, 12).
pub(super) fn is_successor(intent: &Intent, uid: &str, booking: &Booking) -> bool {
    let same_kind = booking.event_type_id.is_none() || intent.event_type_id.is_none() || booking.event_type_id == intent.event_type_id;
    booking.rescheduled_from_uid.as_deref() == Some(uid) && booking.uid != uid && Some(booking.start) == intent.starts_at && same_kind
}

/// The intent as its row is once it was sent: against which booking. What is answered is judged by that.
pub(super) fn note_sent(intent: &mut Intent, uid: Option<&str>) {
    if let Some(uid) = uid {
        intent.uid = Some(uid.to_owned());
    }
}

/// Whether a booking is what the intent wanted.
pub(super) fn fulfils(intent: &Intent, booking: &Booking) -> bool {
    match intent.op {
        Op::Create => carries_token(intent, booking),
        // a booking that somebody else moved to that time, perhaps after our own move, is not our doing
        Op::Reschedule => intent.uid.as_deref().is_some_and(|uid| is_successor(intent, uid, booking)),
        Op::Cancel => booking.is_cancelled() && booking.rescheduled_to_uid.is_none(),
        Op::Look => true,
    }
}

/// The booking was what the intent asked for, and somebody moved it on since: the wish was fulfilled, and nothing of it is left.
pub(super) fn was_moved_on(booking: &Booking) -> bool {
    booking.rescheduled_to_uid.is_some()
}

/// The booking is over: cancelled or refused, and not because it was moved.
pub(super) fn has_ended(booking: &Booking) -> bool {
    matches!(booking.status.as_str(), "cancelled" | "rejected") && booking.rescheduled_to_uid.is_none()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "0192f0c1-2b3c-7d4e-8f50-0123456789ab";

    type Change = fn(&mut Booking);

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn intent() -> Intent {
        serde_json::from_value(json!({
            "id": Uuid::nil(), "company_id": Uuid::nil(), "credential_id": Uuid::nil(), "appointment_id": Uuid::nil(), "op": "create", "state": "sent",
            "lane": "live", "sent_count": 1, "looked_count": 0, "token": TOKEN, "event_type_id": 1320, "starts_at": "2026-07-06T08:00:00Z",
            "ends_at": "2026-07-06T08:30:00Z", "actor": "customer", "channel": "retell_phone", "request": {}, "created_at": "2026-07-01T10:00:00Z",
        }))
        .unwrap()
    }

    fn ours() -> Booking {
        let told = Booking::told("uid1".to_owned(), "accepted", at("2026-07-06T08:00:00Z"), at("2026-07-06T08:30:00Z"));
        let created_at = Some(at("2026-07-01T10:00:01Z"));
        Booking { metadata: [(TOKEN_KEY.to_owned(), TOKEN.to_owned())].into(), event_type_id: Some(1320), created_at, ..told }
    }

    /// Incidents 7 and 10: an answer or a found booking was taken for ours because its time fitted.
    #[test]
    fn a_booking_is_ours_by_token_start_event_type_and_freshness_together() {
        assert!(carries_token(&intent(), &ours()));
        let changes: [(&str, Change); 7] = [
            ("no token", |booking| booking.metadata.clear()),
            ("somebody else's token", |booking| {
                booking.metadata.insert(TOKEN_KEY.to_owned(), Uuid::nil().to_string());
            }),
            ("a token that is none", |booking| {
                booking.metadata.insert(TOKEN_KEY.to_owned(), "None".to_owned());
            }),
            ("another start", |booking| booking.start += Duration::minutes(15)),
            ("another event type", |booking| booking.event_type_id = Some(1321)),
            ("made before the wish", |booking| booking.created_at = Some(at("2026-07-01T09:25:00Z"))),
            ("moved here from elsewhere", |booking| booking.rescheduled_from_uid = Some("uid0".to_owned())),
        ];
        for (what, change) in changes {
            let mut booking = ours();
            change(&mut booking);
            assert!(!carries_token(&intent(), &booking), "{what}");
        }
    }

    /// Incidents 7, 10 and 12: the answer of a move was chained to our booking whatever it was.
    #[test]
    fn the_answer_of_a_move_names_our_booking_and_has_the_wished_time() {
        let reschedule = Intent { op: Op::Reschedule, uid: Some("uid0".to_owned()), ..intent() };
        let moved = Booking { rescheduled_from_uid: Some("uid0".to_owned()), ..ours() };
        assert!(is_successor(&reschedule, "uid0", &moved));
        let changes: [(&str, Change); 5] = [
            ("an older booking of the attendee", |booking| booking.rescheduled_from_uid = None),
            ("moved from another one", |booking| booking.rescheduled_from_uid = Some("uid9".to_owned())),
            ("the old one itself", |booking| booking.uid = "uid0".to_owned()),
            ("another time", |booking| booking.start += Duration::minutes(15)),
            ("another event type", |booking| booking.event_type_id = Some(1321)),
        ];
        for (what, change) in changes {
            let mut booking = moved.clone();
            change(&mut booking);
            assert!(!is_successor(&reschedule, "uid0", &booking), "{what}");
        }
    }

    #[test]
    fn what_an_edition_leaves_out_speaks_neither_for_nor_against() {
        assert!(carries_token(&intent(), &Booking { event_type_id: None, created_at: None, ..ours() }));
    }

    #[test]
    fn a_cancellation_is_fulfilled_by_a_cancelled_booking_and_not_by_a_moved_one() {
        let cancel = Intent { op: Op::Cancel, ..intent() };
        assert!(!fulfils(&cancel, &ours()));
        assert!(fulfils(&cancel, &Booking { status: "cancelled".to_owned(), ..ours() }));
        let moved = Booking { status: "cancelled".to_owned(), rescheduled_to_uid: Some("uid2".to_owned()), ..ours() };
        assert!(!fulfils(&cancel, &moved));
        assert!(!has_ended(&moved));
    }

    /// The wish to move names no booking until it is sent: its first answer was taken for something else, and only the lease that was gone by then kept the wish from failing.
    #[test]
    fn the_first_answer_of_a_move_fulfils_it() {
        let mut reschedule = Intent { op: Op::Reschedule, uid: None, ..intent() };
        let moved = Booking { rescheduled_from_uid: Some("uid0".to_owned()), ..ours() };
        assert!(!fulfils(&reschedule, &moved));
        note_sent(&mut reschedule, Some("uid0"));
        assert!(fulfils(&reschedule, &moved));
        note_sent(&mut reschedule, None);
        assert_eq!(reschedule.uid.as_deref(), Some("uid0"), "as the row, which keeps it");
    }

    /// Two moves can end at one time: only the one from our booking is ours, and where it was moved on it is still ours.
    #[test]
    fn a_move_is_fulfilled_by_the_booking_that_ours_was_moved_to() {
        let reschedule = Intent { op: Op::Reschedule, uid: Some("uid0".to_owned()), ..intent() };
        let moved = Booking { rescheduled_from_uid: Some("uid0".to_owned()), ..ours() };
        assert!(fulfils(&reschedule, &moved) && !was_moved_on(&moved));
        let moved_on = Booking { status: "cancelled".to_owned(), rescheduled_to_uid: Some("uid2".to_owned()), ..moved.clone() };
        assert!(fulfils(&reschedule, &moved_on) && was_moved_on(&moved_on) && !has_ended(&moved_on));
        assert!(!fulfils(&reschedule, &Booking { rescheduled_from_uid: Some("uid7".to_owned()), ..moved.clone() }), "moved there from elsewhere by somebody");
        assert!(!fulfils(&reschedule, &ours()), "a booking of its own");
        assert!(!fulfils(&Intent { uid: Some("uid1".to_owned()), ..reschedule.clone() }, &moved), "the old one itself");
        assert!(!fulfils(&Intent { uid: None, ..reschedule }, &moved));
    }
}
