//! Cal.com's webhooks → facts: which happening, about which uid, by whom; and whose it is. The mapping table: calcom reference 2.13.

use chrono::{DateTime, Duration};
use shared::domain::booking_chain::{Fact, Happening, Predecessor};
use shared::domain::person_names::is_placeholder_email;
use shared::domain::phone::E164;
use shared::domain::provenance::{Actor, Channel, Provenance};
use shared::envelope::{Envelope, Kind};
use shared::wire::calcom::{CalcomBooking, CalcomEvent};
use sqlx::PgPool;
use uuid::Uuid;

use crate::booking_facts::{Booker, Heard, Place, fact_hash};
use crate::runtime::handler::{Failure, Prepared, reason};
use crate::tenants;

/// The metadata key of the intent token that every booking of ours carries.
pub const TOKEN_KEY: &str = "frontdesk_intent";

/// Reads a webhook about a booking and proves whose it is.
///
/// # Errors
/// Parks what cannot be read and what belongs to nobody.
pub async fn prepare(pool: &PgPool, envelope: &Envelope) -> Result<Prepared<Heard>, Failure> {
    let endpoint = tenants::endpoint(envelope)?;
    let event = CalcomEvent::parse(&envelope.body).map_err(|error| Failure::park(reason::POISON, error.to_string()))?;
    tracing::debug!(message.id = %envelope.message_id, attendees = ?event.payload.attendees, "a webhook about a booking is read");
    let mut heard = heard(&event, envelope)?;
    let company_id = match event.payload.event_type_id {
        Some(event_type_id) => {
            let owner = tenants::of_event_type(pool, endpoint, event_type_id).await?;
            heard.place = Some(Place {
                provider_account_id: owner.provider_account_id,
                branch_id: owner.branch_id,
                service_id: owner.service_id,
                time_zone: owner.time_zone,
            });
            owner.company_id
        }
        None => match tenants::of_booking(pool, endpoint, &heard.fact.uid).await? {
            Some(owner) => owner.company_id,
            // its CREATED may still be on the way
            None => return Err(Failure::retry("booking_not_known_yet")),
        },
    };
    Ok(Prepared { company_id: Some(company_id), locks: heard.locks(company_id), work: heard })
}

fn heard(event: &CalcomEvent, envelope: &Envelope) -> Result<Heard, Failure> {
    let booking = &event.payload;
    let happening = happening(envelope.kind, booking);
    let uid = booking.uid.clone().ok_or_else(|| Failure::park(reason::UNREADABLE, "the event names no booking"))?;
    let no_show = happening.is_attendance();
    let told_at = event.created_at.unwrap_or(envelope.received_at);
    let starts_at =
        booking.starts_at.or(no_show.then_some(DateTime::UNIX_EPOCH)).ok_or_else(|| Failure::park(reason::UNREADABLE, "the booking has no start"))?;
    let length = Duration::minutes(booking.length_min.unwrap_or(30).clamp(1, 1440));
    let ends_at = booking.ends_at.filter(|end| *end > starts_at).unwrap_or(starts_at + length);
    let predecessor =
        booking.reschedule_uid.clone().map(|uid| Predecessor { uid, starts_at: booking.reschedule_starts_at, ends_at: booking.reschedule_ends_at });
    let sequence = booking.ical_sequence.and_then(|sequence| i32::try_from(sequence).ok()).unwrap_or(0);
    let reason_given = match happening {
        Happening::Rejected => booking.rejection_reason.as_ref(),
        Happening::Cancelled | Happening::RescheduleRequested => booking.cancellation_reason.as_ref(),
        _ => booking.reschedule_reason.as_ref(),
    };
    Ok(Heard {
        fact: Fact {
            hash: fact_hash(happening, &uid, starts_at, ends_at, sequence),
            uid,
            happening,
            predecessor,
            sequence,
            provider_updated_at: booking.updated_at,
            starts_at,
            ends_at,
            event_type_id: booking.event_type_id,
            booking_id: booking.booking_id,
            host_user_id: booking.organizer.as_ref().and_then(|organizer| organizer.id),
            seats_per_slot: booking.seats_per_time_slot.and_then(|seats| i32::try_from(seats).ok()),
            reason: reason_given.map(|reason| reason.expose().clone()),
            told_at,
        },
        token: booking.metadata_text(TOKEN_KEY).and_then(|text| text.parse::<Uuid>().ok()),
        intent_id: None,
        appointment_id: None,
        external: Provenance {
            actor: actor(happening, booking),
            channel: Channel::CalcomWebhook,
            call_id: None,
            user_id: None,
            intent_id: None,
            message_id: Some(envelope.message_id.as_str().to_owned()),
            occurred_at: told_at,
        },
        booker: booker(booking),
        place: None,
        one_seat: booking.is_seated() && !no_show,
        series_member: booking.recurring && happening == Happening::Cancelled,
        needs_known_booking: matches!(envelope.kind, Kind::CalcomBookingPaid),
        received_at: envelope.received_at,
        traceparent: envelope.traceparent.clone(),
    })
}

fn happening(kind: Kind, booking: &CalcomBooking) -> Happening {
    match kind {
        Kind::CalcomBookingRequested => Happening::Requested,
        Kind::CalcomBookingCancelled if booking.is_reschedule_request() => Happening::RescheduleRequested,
        Kind::CalcomBookingCancelled => Happening::Cancelled,
        Kind::CalcomBookingRejected => Happening::Rejected,
        Kind::CalcomBookingNoShowUpdated if names_somebody_absent(booking) => Happening::NoShow,
        Kind::CalcomBookingNoShowUpdated => Happening::NoShowWithdrawn,
        // an owner's move that awaits confirmation says so in its status
        _ if booking.status.as_deref() == Some("pending") => Happening::Requested,
        _ => Happening::Accepted,
    }
}

/// The event comes for a mark that is taken back too (calcom reference 2.10: each attendee's `noShow` says which). One without attendees counts as a mark.
fn names_somebody_absent(booking: &CalcomBooking) -> bool {
    booking.attendees.is_empty() || booking.attendees.iter().any(|attendee| attendee.no_show != Some(false))
}

/// Who did it: whoever's address stands in the event; a booking is the customer's, a refusal the staff's.
fn actor(happening: Happening, booking: &CalcomBooking) -> Actor {
    let by = match happening {
        Happening::Rejected | Happening::RescheduleRequested | Happening::NoShow | Happening::NoShowWithdrawn => return Actor::Staff,
        Happening::Cancelled => booking.cancelled_by.as_ref(),
        _ if booking.reschedule_uid.is_some() => booking.rescheduled_by.as_ref(),
        _ => return Actor::Customer,
    };
    let Some(by) = by else { return Actor::Customer };
    let is = |email: Option<&shared::telemetry::Masked<String>>| email.is_some_and(|email| email.expose().eq_ignore_ascii_case(by.expose()));
    let staff =
        is(booking.organizer.as_ref().and_then(|organizer| organizer.email.as_ref())) || booking.team_members.iter().any(|member| is(member.email.as_ref()));
    if staff {
        Actor::Staff
    } else if booking.attendees.iter().any(|attendee| is(attendee.email.as_ref())) {
        Actor::Customer
    } else {
        Actor::Unknown
    }
}

/// The first attendee; an address that Cal.com or we made up is none.
fn booker(booking: &CalcomBooking) -> Booker {
    let attendee = booking.attendees.first();
    let email = attendee.and_then(|attendee| attendee.email.as_ref()).map(|email| email.expose().clone());
    Booker {
        name: attendee.and_then(|attendee| attendee.name.as_ref()).map(|name| name.expose().clone()),
        email: email.filter(|email| !is_placeholder_email(email)),
        phone: booking.attendee_phone().and_then(|phone| E164::normalise(phone.expose(), "DE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_show_mark_that_is_taken_back_says_so() {
        let body = |attendees: &str| format!(r#"{{"triggerEvent":"BOOKING_NO_SHOW_UPDATED","payload":{{"bookingUid":"x","attendees":{attendees}}}}}"#);
        for (attendees, expected) in [
            (r#"[{"noShow":true}]"#, Happening::NoShow),
            (r#"[{"noShow":false}]"#, Happening::NoShowWithdrawn),
            (r#"[{"noShow":false},{"noShow":true}]"#, Happening::NoShow),
            (r#"[{"email":"x@example.org"}]"#, Happening::NoShow),
            ("[]", Happening::NoShow),
        ] {
            let event = CalcomEvent::parse(body(attendees).as_bytes()).unwrap();
            assert_eq!(happening(Kind::CalcomBookingNoShowUpdated, &event.payload), expected, "{attendees}");
        }
    }
}
