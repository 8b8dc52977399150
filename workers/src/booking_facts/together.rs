//! Several facts of one company in one transaction (bulk lanes): bookings that nobody knows yet are taken over together, in three statements for all of them
//! (architecture section 6, Cost). Everything else goes its usual way, one by one; the rows are the same either way.

use std::collections::HashSet;

use shared::domain::booking_chain::{Chain, Folded};
use shared::domain::provenance::Provenance;
use shared::store::appointments::{self, ADOPTIONS_MAX, Adoption};
use shared::store::chains::{self, ChainKey};
use shared::store::customers;
use shared::store::tx::CompanyTx;
use uuid::Uuid;

use super::{Heard, Place, apply, booked_by, customer_hint, new_appointment};
use crate::runtime::handler::Failure;

/// Applies facts in the order in which they came. Idempotent.
///
/// # Errors
/// As [`apply`]: the first that fails fails all, and the runtime redoes them one by one.
pub async fn apply_all(tx: &mut CompanyTx, all: &[&Heard]) -> Result<(), Failure> {
    let mut rest = all.to_vec();
    if all.len() > 1 && are_independent(all) {
        let keys: Vec<ChainKey<'_>> = all.iter().map(|heard| heard.key()).collect();
        let unknown = chains::unknown(tx, &keys).await?;
        let mut founders = Vec::new();
        rest.clear();
        for (heard, unknown) in all.iter().zip(unknown) {
            match (unknown, &heard.place) {
                (Some(unknown), Some(place)) if can_found_alone(heard) => founders.push(Founder::new(heard, place, unknown.staff_id)),
                _ => rest.push(*heard),
            }
        }
        for founders in founders.chunks(ADOPTIONS_MAX) {
            found(tx, founders).await?;
        }
    }
    for heard in rest {
        apply(tx, heard).await?;
    }
    Ok(())
}

/// A fact that founds an appointment, folded into an empty chain.
struct Founder<'a> {
    heard: &'a Heard,
    place: &'a Place,
    staff_id: Option<Uuid>,
    chain: Chain,
    folded: Folded,
    booked_by: Provenance,
}

impl<'a> Founder<'a> {
    fn new(heard: &'a Heard, place: &'a Place, staff_id: Option<Uuid>) -> Self {
        let mut chain = Chain::default();
        let folded = chain.fold_by(super::rank(), &heard.fact, &heard.external);
        Self { heard, place, staff_id, chain, folded, booked_by: booked_by(&heard.external) }
    }
}

async fn found(tx: &mut CompanyTx, founders: &[Founder<'_>]) -> Result<(), Failure> {
    let hints: Vec<_> = founders.iter().map(|founder| customer_hint(founder.heard, &founder.heard.external)).collect();
    let customers = customers::resolve_all(tx, &hints).await?;
    let adoptions: Vec<_> = founders
        .iter()
        .zip(customers)
        .map(|(founder, customer_id)| Adoption {
            new: new_appointment(founder.heard, founder.place, founder.staff_id, customer_id),
            chain: &founder.chain,
            folded: &founder.folded,
            provider_account_id: founder.place.provider_account_id,
            provenance: &founder.booked_by,
        })
        .collect();
    appointments::adopt_all(tx, adoptions).await?;
    Ok(())
}

/// Nothing follows the adoption: no review, no look, no wait for another event.
const fn can_found_alone(heard: &Heard) -> bool {
    heard.fact.happening.opens()
        && !heard.needs_known_booking
        && !heard.one_seat
        && !heard.series_member
        && heard.intent_id.is_none()
        && heard.appointment_id.is_none()
}

/// No two of them speak of the same booking, person or host's time: one statement for all does then what one after the other would do.
fn are_independent(all: &[&Heard]) -> bool {
    let mut seen = HashSet::new();
    let distinct = all.iter().flat_map(|heard| identities(heard)).all(|identity| seen.insert(identity));
    let overlap = |one: &Heard, other: &Heard| {
        one.fact.host_user_id == other.fact.host_user_id && one.fact.starts_at < other.fact.ends_at && other.fact.starts_at < one.fact.ends_at
    };
    distinct && all.iter().enumerate().all(|(index, one)| all[index + 1..].iter().all(|other| !overlap(one, other)))
}

fn identities(heard: &Heard) -> Vec<String> {
    let booker = &heard.booker;
    let predecessor = heard.fact.predecessor.as_ref().map(|predecessor| format!("uid {}", predecessor.uid));
    let token = heard.token.map(|token| format!("token {token}"));
    let phone = booker.phone.as_ref().map(|phone| format!("phone {}", phone.as_str()));
    let email = booker.email.as_ref().map(|email| format!("email {}", email.trim().to_lowercase()));
    [Some(format!("uid {}", heard.fact.uid)), predecessor, token, phone, email].into_iter().flatten().collect()
}
