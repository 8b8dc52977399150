//! What a fact about a Cal.com booking does to our rows: one way for webhooks of every role, for answers to our own calls, and for what a look finds.
//!
//! Echoes are recognised by intent, never by time or by the row's origin (architecture section 8). Not here: parsing, consuming, calling Cal.com.

mod own_changes;
mod second_bookings;
mod together;

use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};
use shared::domain::booking_chain::{BookingState, Fact, Happening, Rank};
use shared::domain::phone::E164;
use shared::domain::provenance::{Actor, Channel, Provenance};
use shared::envelope::Lane;
use shared::protection::Protection;
use shared::store::appointments::{self, Appointment, NewAppointment};
use shared::store::chains::{self, ChainKey, Loaded};
use shared::store::customers::{self, CustomerHint};
use shared::store::intents::{self, NewIntent, Op};
use shared::store::reviews::{self, Finding};
use shared::store::services;
use shared::store::tx::{CompanyTx, uid_lock};
use uuid::Uuid;

use crate::runtime::handler::{Failure, reason};
use own_changes::{confirm, matching_intent, provenance_of};
pub use own_changes::{finish_function, release_next, ring};
use second_bookings::Bearer;
pub use together::apply_all;

/// How long the end of an unknown booking waits for the outcome of a create of ours at the same time: its answer, and the looks for it, come within this. Later it
/// is taken over as a booking of its own, and joined if the outcome says so.
const MAY_BE_OURS: Duration = Duration::minutes(2);

/// Where a booking that we did not make belongs.
#[derive(Clone, Debug)]
pub struct Place {
    pub provider_account_id: Uuid,
    pub branch_id: Uuid,
    pub service_id: Uuid,
    pub time_zone: String,
}

/// Who booked, as the event says it.
#[derive(Clone, Debug, Default)]
pub struct Booker {
    pub name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<E164>,
}

/// A fact with everything that its effects need.
#[derive(Clone, Debug)]
pub struct Heard {
    pub fact: Fact,
    /// The intent token in the booking's metadata.
    pub token: Option<Uuid>,
    /// For an answer to our own call.
    pub intent_id: Option<Uuid>,
    pub appointment_id: Option<Uuid>,
    /// The provenance if no intent of ours is behind it.
    pub external: Provenance,
    pub booker: Booker,
    /// `None`: the event does not say where; it can only meet a booking that we know.
    pub place: Option<Place>,
    /// A seated event speaks of one seat: it is looked up and reviewed, never believed for the whole booking.
    pub one_seat: bool,
    pub series_member: bool,
    /// The event does not carry our marks (a paid booking): it never founds an appointment.
    pub needs_known_booking: bool,
    pub received_at: DateTime<Utc>,
    pub traceparent: Option<String>,
}

impl Heard {
    /// The advisory locks that its transaction holds: all uids of the fact.
    #[must_use]
    pub fn locks(&self, company_id: Uuid) -> Vec<i64> {
        let token = self.token.map(|token| uid_lock(company_id, &token.to_string()));
        let predecessor = self.fact.predecessor.as_ref().map(|predecessor| uid_lock(company_id, &predecessor.uid));
        [Some(uid_lock(company_id, &self.fact.uid)), predecessor, token].into_iter().flatten().collect()
    }

    /// By what its appointment is found.
    fn key(&self) -> ChainKey<'_> {
        ChainKey {
            uid: &self.fact.uid,
            predecessor_uid: self.fact.predecessor.as_ref().map(|predecessor| predecessor.uid.as_str()),
            token: self.token,
            appointment_id: self.appointment_id,
            host_user_id: self.fact.host_user_id,
        }
    }
}

/// The order of finality of the fold.
fn rank() -> Rank {
    if Protection::Rank.is_off() { |state| u8::from(state != BookingState::Pending) } else { BookingState::rank }
}

/// The hash of a fact's content: equal for the same fact however it is told.
#[must_use]
pub fn fact_hash(happening: Happening, uid: &str, starts_at: DateTime<Utc>, ends_at: DateTime<Utc>, sequence: i32) -> String {
    let text = format!("{happening:?}/{uid}/{}/{}/{sequence}", starts_at.timestamp(), ends_at.timestamp());
    hex::encode(&Sha256::digest(text.as_bytes())[..16])
}

/// Applies a fact. Idempotent.
///
/// # Errors
/// Parks what belongs to nobody; otherwise only what the store says.
pub async fn apply(tx: &mut CompanyTx, heard: &Heard) -> Result<Option<Appointment>, Failure> {
    let fact = &heard.fact;
    let mut loaded = chains::load(tx, &heard.key()).await?;
    // a seat that moves takes nobody else's seat along
    let several = !heard.one_seat && loaded.owners.len() > 1;
    let joined = several && chains::join(tx, &loaded.owners).await?;
    if several {
        loaded = chains::load(tx, &heard.key()).await?;
    }
    if heard.one_seat && loaded.appointment.is_some() && !one_seat(tx, heard, &loaded).await? {
        return Ok(loaded.appointment);
    }
    if let Some(bearer) = Bearer::of(&loaded, heard) {
        match bearer {
            // one wish is one booking: the first stays what it is
            Bearer::Double(wish) => return second_bookings::take_over(tx, heard, &loaded, wish).await.map(Some),
            Bearer::Stranger => loaded = Loaded { staff_id: loaded.staff_id, ..Loaded::default() },
        }
    }
    let intent = matching_intent(&loaded.intents, heard);
    let provenance = intent.map_or_else(|| heard.external.clone(), |intent| provenance_of(intent, heard));
    let mut chain = loaded.chain.clone();
    // what the caller said, not what we wrote into Cal.com's mail for it
    let said = intent.filter(|intent| intent.op == Op::Cancel).map(|intent| Fact { reason: intent.reason.clone(), ..fact.clone() });
    let mut folded = chain.fold_by(rank(), said.as_ref().unwrap_or(fact), &provenance);
    // the joined chain's history is no sum of two histories
    folded.rewritten |= several;
    let Some(current) = &loaded.appointment else {
        return adopt(tx, heard, &loaded, &chain, &folded, &provenance).await.map(Some);
    };
    if folded.changed.is_empty() && !several && !intent.is_some_and(|intent| intent.state.is_open()) {
        return Ok(Some(current.clone()));
    }
    let account = account(tx, heard, &loaded).await?;
    let staff_id = chain.projection().and_then(|projection| loaded.staff_of(&projection.host_user_ids));
    let appointment = appointments::apply(tx, current, staff_id, &chain, &folded, account).await?;
    if let Some(intent) = intent {
        confirm(tx, intent, &appointment, fact, heard).await?;
    }
    if several && !joined {
        review(tx, "two_chains", &appointment, &fact.uid).await?;
    }
    if heard.series_member {
        look(tx, heard, &appointment).await?;
    }
    Ok(Some(appointment))
}

async fn adopt(
    tx: &mut CompanyTx,
    heard: &Heard,
    loaded: &Loaded,
    chain: &shared::domain::booking_chain::Chain,
    folded: &shared::domain::booking_chain::Folded,
    provenance: &Provenance,
) -> Result<Appointment, Failure> {
    // a seat that is given up says nothing of a booking that we do not know
    if heard.needs_known_booking || heard.fact.happening.is_attendance() || (heard.one_seat && !heard.fact.happening.opens()) {
        return Err(Failure::retry("booking_not_known_yet"));
    }
    // the end of a booking without our mark, while we are making one at that time: it may be that one, and who knows is the answer or the echo
    if !heard.fact.happening.opens() && intents::is_being_made(tx, heard.fact.event_type_id, heard.fact.starts_at, heard.received_at, MAY_BE_OURS).await? {
        return Err(Failure::Wait { class: "may_be_our_own_booking", cause: None });
    }
    let place =
        heard.place.as_ref().ok_or_else(|| Failure::park(reason::UNKNOWN_BOOKING, "the event names a booking that we do not know, and no event type"))?;
    let customer_id = customers::resolve(tx, &customer_hint(heard, provenance)).await?;
    let new = new_appointment(heard, place, loaded.staff_id, customer_id);
    let booked_by = booked_by(provenance);
    let appointment = appointments::adopt(tx, new, chain, folded, place.provider_account_id, &booked_by).await?;
    if heard.one_seat {
        review(tx, "seated_booking", &appointment, &heard.fact.uid).await?;
    }
    Ok(appointment)
}

fn customer_hint<'a>(heard: &'a Heard, provenance: &Provenance) -> CustomerHint<'a> {
    let booker = &heard.booker;
    CustomerHint { phone: booker.phone.as_ref(), email: booker.email.as_deref(), name: booker.name.as_deref(), source: provenance.channel.booking_source() }
}

fn new_appointment(heard: &Heard, place: &Place, staff_id: Option<Uuid>, customer_id: Uuid) -> NewAppointment {
    NewAppointment {
        id: Uuid::now_v7(),
        branch_id: place.branch_id,
        customer_id,
        service_id: Some(place.service_id),
        staff_id,
        starts_at: heard.fact.starts_at,
        ends_at: heard.fact.ends_at,
        time_zone: place.time_zone.clone(),
        name_given: heard.booker.name.clone(),
        notes: None,
    }
}

/// Whoever moved or cancelled it, the customer booked it.
fn booked_by(provenance: &Provenance) -> Provenance {
    Provenance { actor: Actor::Customer, ..provenance.clone() }
}

/// One seat of a booking that others share: ask Cal.com what is true, and let a human see it (calcom reference 2.8). `true`: it is also a fact about the whole
/// booking, since it only says that it exists.
async fn one_seat(tx: &mut CompanyTx, heard: &Heard, loaded: &Loaded) -> Result<bool, Failure> {
    let Some(appointment) = &loaded.appointment else { return Ok(true) };
    let known = loaded.chain.booking(&heard.fact.uid);
    let says_that_it_exists = known.is_some() && heard.fact.happening.opens() && heard.fact.predecessor.is_none();
    // not the first seat's own event, again
    if known.is_none_or(|booking| booking.fact_hash != heard.fact.hash) {
        review(tx, "seat_changed", appointment, &heard.fact.hash).await?;
        look(tx, heard, appointment).await?;
    }
    Ok(says_that_it_exists)
}

async fn account(tx: &mut CompanyTx, heard: &Heard, loaded: &Loaded) -> Result<Uuid, Failure> {
    if let Some(place) = &heard.place {
        return Ok(place.provider_account_id);
    }
    match loaded.intents.first() {
        Some(intent) => Ok(chains::provider_account(tx, intent.credential_id).await?),
        None => Ok(chains::account_of(tx, &heard.fact.uid).await?.unwrap_or_default()),
    }
}

/// Asks calcom-sync to read the booking and fold what Cal.com says.
///
/// # Errors
/// Only what the store says.
pub async fn look(tx: &mut CompanyTx, heard: &Heard, appointment: &Appointment) -> Result<(), Failure> {
    let Some(service_id) = appointment.service_id else { return Ok(()) };
    let Some(credential_id) = services::by_id(tx, service_id).await?.and_then(|service| service.credential_id) else { return Ok(()) };
    let intent = NewIntent {
        appointment_id: appointment.id,
        op: Op::Look,
        lane: Lane::Bulk,
        credential_id,
        token: Uuid::now_v7(),
        uid: Some(&heard.fact.uid),
        event_type_id: heard.fact.event_type_id,
        starts_at: None,
        ends_at: None,
        actor: Actor::System.literal(),
        channel: Channel::Reconciled.booking_source(),
        call_id: None,
        user_id: None,
        reason: None,
        function_call_id: None,
        request: &json!({}),
        traceparent: heard.traceparent.as_deref(),
    };
    let id = intents::record(tx, &intent).await?;
    ring(tx, id, heard.received_at, heard.traceparent.as_deref());
    Ok(())
}

async fn review(tx: &mut CompanyTx, finding: &str, appointment: &Appointment, key: &str) -> Result<(), Failure> {
    // a uid is a capability: the key holds its hash
    let key = hex::encode(&Sha256::digest(key.as_bytes())[..8]);
    reviews::open(
        tx,
        &Finding {
            subject: "appointment",
            reason: finding,
            appointment_id: Some(appointment.id),
            call_id: None,
            intent_id: None,
            details: json!({ "appointment_number": appointment.number }),
            dedup_key: format!("{finding}/{}/{key}", appointment.id),
        },
    )
    .await?;
    Ok(())
}
