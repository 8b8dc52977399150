//! Sorts a page: whose each booking is, and what its rows say of each other. Called by the sweep before `fold`.

use std::collections::{BTreeMap, HashMap, HashSet};

use shared::calcom::Booking;
use shared::store::known_bookings;
use shared::store::sweeps::{Leased, SweepKind};
use shared::telemetry::Masked;
use uuid::Uuid;

use crate::booking_facts::Place;
use crate::runtime::{Context, Failure};

/// Of fifty pages at most every booking was moved.
const MOVERS_MAX: usize = 5000;

/// One company's bookings of a page.
pub(super) struct Group {
    pub company_id: Uuid,
    /// Whose list it is.
    pub credential_id: Uuid,
    pub items: Vec<Item>,
    /// What a first go-live takes over: nobody could have told it.
    pub adopts: bool,
}

/// A booking with what its facts need.
pub(super) struct Item {
    pub booking: Booking,
    /// `None`: it names no event type of ours, but we know it.
    pub place: Option<Place>,
    /// Every booking of its event type that the host does not make awaits the host's word.
    pub asks_host: bool,
}

/// Who moved the bookings away that this run has seen: what was moved comes before what it was moved to, perhaps on an earlier page.
pub(super) type Movers = HashMap<String, Option<Masked<String>>>;

/// A page, sorted by whose it is.
#[derive(Default)]
pub(super) struct Sorted {
    pub groups: Vec<Group>,
    /// Event types that are no service's.
    pub unknown_event_types: HashSet<i64>,
}

/// Whose each booking is: proven by (account, event type), or by a uid that we know. The rest is nobody's, and is not guessed (incident 44).
///
/// # Errors
/// When Postgres is away.
pub(super) async fn sort(context: &Context, sweep: &Leased, mut bookings: Vec<Booking>, asking: &HashSet<i64>, movers: &mut Movers) -> Result<Sorted, Failure> {
    connect(&mut bookings, movers);
    let event_types: HashSet<i64> = bookings.iter().filter_map(|booking| booking.event_type_id).collect();
    let uids: Vec<&str> = bookings.iter().filter(|booking| booking.event_type_id.is_none()).map(|booking| booking.uid.as_str()).collect();
    let asked: Vec<i64> = event_types.iter().copied().collect();
    let owners: HashMap<_, _> = known_bookings::owners_of_event_types(&context.pool, sweep.account_id, &asked).await?.into_iter().collect();
    let companies: HashMap<_, _> = known_bookings::owners_of_bookings(&context.pool, sweep.account_id, &uids).await?.into_iter().collect();
    let mut by_company: BTreeMap<Uuid, Vec<Item>> = BTreeMap::new();
    let mut unknown_event_types = HashSet::new();
    for booking in bookings {
        let owner = booking.event_type_id.and_then(|event_type| owners.get(&event_type));
        let asks_host = booking.event_type_id.is_some_and(|event_type| asking.contains(&event_type));
        match (owner, companies.get(&booking.uid), booking.event_type_id) {
            (Some(owner), ..) => {
                let place = Place {
                    provider_account_id: owner.provider_account_id,
                    branch_id: owner.branch_id,
                    service_id: owner.service_id,
                    time_zone: owner.time_zone.clone(),
                };
                by_company.entry(owner.company_id).or_default().push(Item { booking, place: Some(place), asks_host });
            }
            (None, Some(company_id), _) => by_company.entry(*company_id).or_default().push(Item { booking, place: None, asks_host }),
            (None, None, Some(event_type)) => drop(unknown_event_types.insert(event_type)),
            (None, None, None) => {}
        }
    }
    let groups = by_company
        .into_iter()
        .map(|(company_id, mut items)| {
            // a chain is built from its root
            items.sort_by_key(|item| (item.booking.created_at, item.booking.id));
            Group { company_id, credential_id: sweep.credential_id, items, adopts: sweep.kind == SweepKind::Adoption }
        })
        .collect();
    Ok(Sorted { groups, unknown_event_types })
}

/// What the rows of a chain say of each other. A series' member does not say where it was moved to; its successor says from where (calcom reference 3.10). Who
/// moved a booking stands in the row that was moved away, and there only: a row that was moved itself has the later mover in that column.
fn connect(bookings: &mut [Booking], movers: &mut Movers) {
    let successors: HashMap<String, String> =
        bookings.iter().filter_map(|booking| Some((booking.rescheduled_from_uid.clone()?, booking.uid.clone()))).collect();
    let moved_away =
        bookings.iter().filter(|booking| booking.is_cancelled() && (booking.rescheduled_to_uid.is_some() || successors.contains_key(&booking.uid)));
    movers.extend(moved_away.take(MOVERS_MAX.saturating_sub(movers.len())).map(|booking| (booking.uid.clone(), booking.rescheduled_by_email.clone())));
    for booking in bookings {
        if booking.is_cancelled() && booking.rescheduled_to_uid.is_none() {
            booking.rescheduled_to_uid = successors.get(&booking.uid).cloned();
        }
        if let Some(from) = &booking.rescheduled_from_uid {
            match movers.get(from) {
                Some(mover) => booking.rescheduled_by_email.clone_from(mover),
                // nobody's address
                None if booking.rescheduled_to_uid.is_some() => booking.rescheduled_by_email = Some(Masked::new(String::new())),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn booking(uid: &str, further: serde_json::Value) -> Booking {
        let mut row = json!({ "uid": uid, "start": "2026-07-06T08:00:00Z", "status": "cancelled" });
        row.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        Booking::from_value(&row).unwrap()
    }

    #[test]
    fn who_moved_a_booking_stands_in_the_row_that_was_moved_away() {
        let mut page = vec![
            booking("a", json!({ "rescheduledToUid": "b", "rescheduledByEmail": "visitor@example.org" })),
            booking("b", json!({ "rescheduledFromUid": "a", "rescheduledToUid": "c", "rescheduledByEmail": "host@example.org" })),
            booking("c", json!({ "rescheduledFromUid": "b", "status": "accepted", "rescheduledByEmail": "host@example.org" })),
            booking("y", json!({ "rescheduledFromUid": "x", "rescheduledToUid": "z", "rescheduledByEmail": "host@example.org" })),
        ];
        connect(&mut page, &mut Movers::new());
        let movers: Vec<_> = page.iter().map(|booking| booking.rescheduled_by_email.as_ref().map(|email| email.expose().as_str())).collect();
        assert_eq!(movers, [Some("visitor@example.org"), Some("visitor@example.org"), Some("host@example.org"), Some("")]);
        // the row that was moved away was on an earlier page
        let mut seen = Movers::new();
        connect(&mut [booking("x", json!({ "rescheduledToUid": "y", "rescheduledByEmail": "visitor@example.org" }))], &mut seen);
        connect(&mut page, &mut seen);
        assert_eq!(page[3].rescheduled_by_email.as_ref().map(|email| email.expose().as_str()), Some("visitor@example.org"));
    }

    #[test]
    fn a_member_of_a_series_that_was_moved_is_not_cancelled() {
        let mut page = vec![booking("a", json!({ "recurringBookingUid": "s" })), booking("b", json!({ "rescheduledFromUid": "a", "status": "accepted" }))];
        connect(&mut page, &mut Movers::new());
        assert_eq!(page[0].rescheduled_to_uid.as_deref(), Some("b"));
    }
}
