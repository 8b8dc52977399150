//! Lets the schedule happen: callers ring by way of the Retell stand-in, visitors use the Cal.com stand-in's pages, and plain events of both providers keep
//! everything busy. Writes down what was wished and what was told. Called by `campaign`.
//!
//! Senders behave as the providers do: Retell's webhooks are repeated three times (the stand-in does that), Cal.com's never.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use shared::clock::Clock;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::arena::Arena;
use super::gate::message_id;
use super::record::{Source, Way, Wish, WishKind};
use super::schedule::{Arrival, Life, Origin};
use super::setup::Tenancy;
use super::tenants::{Customer, slot, spoken_slot};
use crate::calcom_stand_in::sign::sign_calcom;
use crate::calcom_stand_in::{VisitorBooking, VisitorCancel, VisitorMove};
use crate::retell_stand_in::sign::sign_retell;
use crate::retell_stand_in::{Answer, Call, FunctionRequest, Target};

/// Beyond this many senders that wait for their answers the load waits, too: an outage of minutes must not take all memory.
const WAITING_MAX: usize = 3_000;
/// A provider's second copy comes so much later.
const SECOND_COPY_AFTER: Duration = Duration::from_millis(400);

/// How Cal.com says that a slot is gone.
const SLOT_TAKEN: [u16; 2] = [400, 409];

/// How every such trouble is told.
pub const REFUSED: &str = " was refused by the stand-in with ";

/// What everybody who sends needs.
pub struct Load {
    arena: Arc<Arena>,
    seed: u64,
    /// Slots are counted from here.
    today: DateTime<Utc>,
    clock: Clock,
    wishes: Mutex<Vec<Wish>>,
    /// No more arrivals, no more wishes of lives under way.
    over: CancellationToken,
    /// Wishes of visitors that the stand-in itself refused: a mistake of the campaign.
    refused: Mutex<Vec<String>>,
}

impl Load {
    pub fn new(arena: Arc<Arena>, seed: u64) -> Self {
        let clock = Clock::system();
        Self { arena, seed, today: clock.now(), clock, wishes: Mutex::default(), over: CancellationToken::new(), refused: Mutex::default() }
    }

    /// Everything that was wished, and what went wrong in making it.
    pub fn take(&self) -> (Vec<Wish>, Vec<String>) {
        let wishes = std::mem::take(&mut *self.wishes.lock().unwrap_or_else(PoisonError::into_inner));
        (wishes, std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Lets nothing new begin.
    pub fn end(&self) {
        self.over.cancel();
    }

    /// Between two wishes; `false`: there is no other one.
    async fn pause(&self, pause: Duration) -> bool {
        self.over.run_until_cancelled(tokio::time::sleep(pause)).await.is_some()
    }

    /// Runs the schedule until it or the load is over, and waits for every sender.
    pub async fn run(self: &Arc<Self>, schedule: Vec<(Duration, Arrival)>, began: Instant) {
        let places = Arc::new(Semaphore::new(WAITING_MAX));
        let mut senders = JoinSet::new();
        for (at, arrival) in schedule {
            if self.over.run_until_cancelled(tokio::time::sleep_until(began + at)).await.is_none() {
                break;
            }
            // nobody closes the semaphore
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let load = Arc::clone(self);
            senders.spawn(async move {
                load.arrive(arrival).await;
                drop(place);
            });
            while senders.try_join_next().is_some() {}
        }
        while senders.join_next().await.is_some() {}
    }

    async fn arrive(&self, arrival: Arrival) {
        match arrival {
            Arrival::Life(life) if life.origin == Origin::Phone => {
                let gave_up = self.phone_life(&life).await;
                if let Some(after) = life.rebooked
                    && gave_up
                    && self.pause(after).await
                {
                    self.phone_life(&life.follower()).await;
                }
            }
            Arrival::Life(life) => self.web_life(&life).await,
            Arrival::Call { tenant, number, reordered, doubled } => self.call(&self.arena.tenancies[tenant.0], number, reordered, doubled).await,
            Arrival::RetellEvent { tenant, number } => self.retell_event(&self.arena.tenancies[tenant.0], number).await,
            Arrival::CalcomEvent { tenant, number } => {
                let payload = json!({ "oooEntry": { "id": number, "user": { "name": "Kraft" }, "notes": tenant.spoken() } });
                self.calcom_event(&self.arena.tenancies[tenant.0], "OOO_CREATED", &payload).await;
            }
            Arrival::Stray { tenant, number } => {
                // a uid that nobody has, and no event type that would tell whose it is
                let (starts, ends) = (slot(self.today, number), slot(self.today, number + 1));
                let payload = json!({ "uid": format!("streuner{:x}{number}", self.seed), "startTime": starts, "endTime": ends, "attendees": [] });
                self.calcom_event(&self.arena.tenancies[tenant.0], "BOOKING_PAID", &payload).await;
            }
        }
    }

    fn note(&self, wish: Wish) {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner).push(wish);
    }

    fn refuse(&self, what: &str, status: u16) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{what}{REFUSED}{status}"));
    }

    fn new_call(&self, tenancy: &Tenancy, from: &str, id: &str) -> Call {
        let target = Target { url: self.arena.gate.url(Source::Retell, tenancy.company.retell_endpoint), api_key: tenancy.retell_key.clone() };
        let call = self.arena.retell.inbound(from, &tenancy.tenant.number()).as_agent(&tenancy.tenant.agent()).at(target);
        call.with_id(&format!("call_c{:x}s{}{id}", self.seed, tenancy.tenant.0))
    }

    /// `true`: everything was wished, and taken.
    async fn phone_life(&self, life: &Life) -> bool {
        let customer = life.tenant.customer(life.number);
        let at = slot(self.today, life.slot);
        let (date, time) = spoken_slot(at);
        let service = life.tenant.service(life.event_type);
        let wanted = json!({ "date": date, "time": time, "service_name": service, "customer_name": customer.name, "notes": life.tenant.spoken() });
        if !self.ring_and_ask(life, &customer, WishKind::Book, at, ("book_appointment", wanted)).await {
            return false;
        }
        let mut known = at;
        if let Some((after, number)) = life.moved {
            if !self.pause(after).await {
                return false;
            }
            let (old_date, old_time) = spoken_slot(known);
            let to = slot(self.today, number);
            let (new_date, new_time) = spoken_slot(to);
            let wanted = json!({ "old_date": old_date, "old_time": old_time, "new_date": new_date, "new_time": new_time, "bestaetigung": true });
            if !self.ring_and_ask(life, &customer, WishKind::Move, to, ("reschedule_appointment", wanted)).await {
                return false;
            }
            known = to;
        }
        let Some(after) = life.cancelled else { return true };
        let wanted = json!({ "reason": life.tenant.spoken() });
        self.pause(after).await && self.ring_and_ask(life, &customer, WishKind::Cancel, known, ("cancel_appointment", wanted)).await
    }

    /// A whole call with one wish. `false`: ingress did not take the wish, and the caller gives up.
    async fn ring_and_ask(&self, life: &Life, customer: &Customer, kind: WishKind, at: DateTime<Utc>, (function, wanted): (&str, Value)) -> bool {
        let tenancy = &self.arena.tenancies[life.tenant.0];
        let mut call = self.new_call(tenancy, &customer.phone, &format!("{kind:?}{}", life.number).to_lowercase());
        call.ring().await;
        call.start().await;
        call.say("user", &format!("Guten Tag, {} hier, {}", customer.name, life.tenant.spoken()));
        let request = call.prepare_function(function, wanted);
        let uttered_at = self.clock.now();
        let answer = self.ask(&mut call, &request, life.doubled).await;
        self.note(Wish {
            company: life.tenant.0,
            kind,
            way: Way::Phone { retell_call_id: call.id(), message_id: message_id(tenancy.company.retell_endpoint, &request.body) },
            appointment: life.number,
            follows: life.follows,
            event_type_id: life.event_type,
            starts_at: at,
            acknowledged: answer.is_success(),
            told: answer.is_success().then(|| answer.body.clone()),
            uttered_at,
        });
        call.end().await;
        call.analyze(&format!("{} wünschte etwas", customer.name), json!({ "wunsch": life.tenant.spoken() })).await;
        answer.is_success()
    }

    /// A tool call, or the same one twice at nearly the same time, as Retell's own retry looks like.
    async fn ask(&self, call: &mut Call, request: &FunctionRequest, doubled: bool) -> Answer {
        let answer = call.send_function(request).await;
        if !doubled {
            return answer;
        }
        tokio::time::sleep(SECOND_COPY_AFTER).await;
        let second = call.send_function(request).await;
        if answer.is_success() { answer } else { second }
    }

    async fn web_life(&self, life: &Life) {
        let customer = life.tenant.customer(life.number);
        let at = slot(self.today, life.slot);
        let calcom = &self.arena.calcom;
        let wish = VisitorBooking {
            event_type_id: life.event_type,
            start: at,
            name: customer.name.clone(),
            email: customer.email.clone(),
            phone: life.by_host.then(|| customer.phone.clone()),
            notes: life.tenant.spoken(),
        };
        let uttered_at = self.clock.now();
        let mut uid = match calcom.visitor_book(wish).await {
            Ok(booking) => booking.uid,
            // the caller was faster
            Err(error) if life.contested && SLOT_TAKEN.contains(&error.status) => return,
            Err(error) => return self.refuse("a visitor's booking", error.status),
        };
        let web = |kind: WishKind, uid: &str, starts_at: DateTime<Utc>, uttered_at: DateTime<Utc>| Wish {
            company: life.tenant.0,
            kind,
            way: Way::Web { uid: uid.to_owned() },
            appointment: life.number,
            follows: None,
            event_type_id: life.event_type,
            starts_at,
            acknowledged: true,
            told: None,
            uttered_at,
        };
        self.note(web(WishKind::Book, &uid, at, uttered_at));
        let mut known = at;
        if let Some((after, number)) = life.moved {
            if !self.pause(after).await {
                return;
            }
            let (to, uttered_at) = (slot(self.today, number), self.clock.now());
            match calcom.visitor_reschedule(VisitorMove { uid: uid.clone(), start: to, as_host: life.by_host }).await {
                Ok(booking) => uid = booking.uid,
                Err(error) => return self.refuse("a visitor's move", error.status),
            }
            self.note(web(WishKind::Move, &uid, to, uttered_at));
            known = to;
        }
        if let Some(after) = life.cancelled
            && self.pause(after).await
        {
            let uttered_at = self.clock.now();
            let order = VisitorCancel { uid: uid.clone(), reason: Some(life.tenant.spoken()), as_host: life.by_host };
            match calcom.visitor_cancel(order).await {
                Ok(_) => self.note(web(WishKind::Cancel, &uid, known, uttered_at)),
                Err(error) => self.refuse("a visitor's cancellation", error.status),
            }
        }
    }

    /// A call about nothing: three events, sometimes in another order or twice.
    async fn call(&self, tenancy: &Tenancy, number: u64, reordered: bool, doubled: bool) {
        let customer = tenancy.tenant.customer(number);
        let mut call = self.new_call(tenancy, &customer.phone, &format!("plain{number}"));
        if reordered {
            // each event tells what was true when it happened, whenever it is sent
            call.begin();
            let started = call.event_body("call_started");
            call.close("user_hangup");
            let ended = call.event_body("call_ended");
            call.analyze("nichts", json!({})).await;
            call.resend("call_ended", &ended).await;
            call.resend("call_started", &started).await;
            return;
        }
        call.start().await;
        call.say("user", &tenancy.tenant.spoken());
        let ended = call.end().await;
        if doubled && ended.is_success() {
            let copy = call.event_body("call_ended");
            call.resend("call_ended", &copy).await;
        }
        call.analyze(&customer.name, json!({})).await;
    }

    /// An event that is stored and that is all.
    async fn retell_event(&self, tenancy: &Tenancy, number: u64) {
        let customer = tenancy.tenant.customer(number);
        let body = json!({
            "event": "transcript_updated",
            "call": {
                "call_id": format!("call_c{:x}s{}event{number}", self.seed, tenancy.tenant.0),
                "call_type": "phone_call",
                "agent_id": tenancy.tenant.agent(),
                "call_status": "ongoing",
                "from_number": customer.phone,
                "to_number": tenancy.tenant.number(),
                "direction": "inbound",
                "transcript": format!("User: {}, {}", customer.name, tenancy.tenant.spoken()),
            },
        });
        let body = body.to_string().into_bytes();
        let signature = sign_retell(&tenancy.retell_key, &body, self.clock.now().timestamp_millis());
        self.arena.gate.send(Source::Retell, tenancy.company.retell_endpoint, &signature, body).await;
    }

    async fn calcom_event(&self, tenancy: &Tenancy, trigger: &str, payload: &Value) {
        let at = self.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let body = json!({ "triggerEvent": trigger, "createdAt": at, "payload": payload }).to_string().into_bytes();
        let signature = sign_calcom(&tenancy.calcom_secret, &body);
        self.arena.gate.send(Source::Calcom, tenancy.company.calcom_endpoint, &signature, body).await;
    }
}
