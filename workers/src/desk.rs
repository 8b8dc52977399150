//! Role `desk`: answers a caller now: the ringing phone, every question, and the promises that need nobody else. One file per subject; this one only says which function is whose.
//!
//! Offers and holds of free times are `offering`'s. Writes to appointments have roles of their own.

mod appointments;
mod asked;
mod callbacks;
mod caller;
mod company;
mod dates;
mod inbound;
mod known;
mod loyalty;
mod transfers;

use serde_json::{Value, json};
use shared::clock::Clock;
use shared::envelope::{Envelope, Kind, Role};
use shared::functions::Function;
use shared::store::tx::CompanyTx;
use shared::wire::retell::CallInbound;
use sqlx::PgPool;

use crate::answers;
use crate::offering::{Offering, Seen};
use crate::phone_functions::{self, Begun, FunctionWork};
use crate::runtime::handler::reason;
use crate::runtime::metrics::Metrics;
use crate::runtime::{Context, Failure, Handler, Prepared};
use crate::tenants::{self, CallEvidence};
use asked::Asked;
use inbound::Ringing;

/// Those that look into Cal.com's calendar before their transaction.
const fn is_about_free_times(kind: Kind) -> bool {
    matches!(kind, Kind::RetellFunction(Function::CheckAvailability | Function::GetAlternatives | Function::ReserveSlot | Function::ReleaseSlot))
}

/// The role.
#[derive(Clone)]
pub struct Desk {
    pool: PgPool,
    clock: Clock,
    offering: Offering,
    metrics: Metrics,
}

/// What is asked.
#[derive(Debug)]
pub enum Work {
    Inbound(Box<Ringing>),
    /// With what is free in Cal.com, where the function is about that.
    Function(Box<FunctionWork>, Option<Seen>),
}

impl Handler for Desk {
    const ROLE: Role = Role::Desk;
    type Work = Work;

    async fn prepare(&self, envelope: &Envelope) -> Result<Prepared<Work>, Failure> {
        if envelope.kind != Kind::RetellCallInbound {
            let prepared = phone_functions::prepare(&self.pool, envelope).await?;
            let seen = if is_about_free_times(envelope.kind) { Some(self.offering.prepare(envelope, &prepared.work).await?) } else { None };
            return Ok(prepared.map(|work| Work::Function(Box::new(work), seen)));
        }
        let endpoint = tenants::endpoint(envelope)?;
        let inbound = CallInbound::parse(&envelope.body).map_err(|error| Failure::park(reason::POISON, error.to_string()))?;
        let evidence = CallEvidence { our_number: inbound.to_number.as_deref(), agent_id: inbound.agent_id.as_deref(), company_id: None };
        let owner = tenants::of_call(&self.pool, endpoint, &evidence).await?;
        let company_id = Some(owner.company_id);
        Ok(Prepared { company_id, locks: Vec::new(), work: Work::Inbound(Box::new(Ringing::new(owner, &inbound))) })
    }

    async fn handle(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &Work) -> Result<(), Failure> {
        match work {
            Work::Inbound(ringing) => {
                let answer = inbound::answer(tx, ringing, self.clock.now()).await?;
                if let Some(to) = &envelope.reply_to {
                    tx.reply(to.clone(), answer.to_string().into_bytes());
                }
                Ok(())
            }
            Work::Function(work, seen) => {
                let Some(begun) = phone_functions::begin(tx, envelope, work, &self.metrics).await? else { return Ok(()) };
                let answer = match (envelope.kind, seen) {
                    // checked in one place (incident 40); a refused argument is a question (incident 41)
                    (Kind::RetellFunction(function), _) if let Err(error) = work.arguments.check(function, begun.customer_id.is_some()) => {
                        answers::argument(&error)
                    }
                    (_, Some(seen)) => self.offering.answer(tx, envelope, work, &begun, seen).await?,
                    (Kind::RetellFunction(function), None) => self.answer(tx, function, work, &begun).await?,
                    // incident 84: an unknown function was answered with silence. Counted by its kind
                    _ => answers::cannot_do_this(),
                };
                phone_functions::answer(tx, envelope, &begun, &answer).await
            }
        }
    }

    async fn duplicate(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &Work) -> Result<(), Failure> {
        match work {
            Work::Inbound(_) => self.handle(tx, envelope, work).await,
            Work::Function(work, _) => phone_functions::begin(tx, envelope, work, &self.metrics).await.map(|_| ()),
        }
    }

    fn parked_answer(&self, envelope: &Envelope) -> Option<Vec<u8>> {
        // the phone rings: an agent without our variables is better than none
        let answer = if envelope.kind == Kind::RetellCallInbound { json!({ "call_inbound": {} }) } else { answers::cannot_do_this() };
        Some(answer.to_string().into_bytes())
    }
}

impl Desk {
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { pool: context.pool.clone(), clock: context.clock.clone(), metrics: context.metrics.clone(), offering: Offering::new(context) }
    }

    async fn answer(&self, tx: &mut CompanyTx, function: Function, work: &FunctionWork, begun: &Begun) -> Result<Value, Failure> {
        let asked = Asked::new(work, begun, self.clock.now());
        let asked = &asked;
        match function {
            Function::InitializeCall => caller::initialize(tx, asked).await,
            Function::IdentifyCustomer => caller::identify(tx, asked).await,
            Function::CurrentTimeBerlin => Ok(dates::current_time(asked)),
            Function::ParseDate => Ok(dates::parse(asked)),
            Function::QueryAppointment => appointments::query(tx, asked).await,
            Function::ListServices => company::list_services(tx, asked).await,
            Function::GetServiceInfo => company::service_info(tx, asked).await,
            Function::GetOpeningHours => company::opening_hours(tx, asked).await,
            Function::SaveCustomerPreference => loyalty::save_preference(tx, asked).await,
            Function::ApplyVipBenefits => loyalty::benefits(tx, asked).await,
            Function::RequestCallback => callbacks::request(tx, asked).await,
            Function::CheckTransferAvailability => transfers::check(tx, asked).await,
            Function::TransferCall => transfers::transfer(tx, asked).await,
            // `offering`'s, and other roles': the latter come here only if an ingress of another version routed them
            Function::CheckAvailability
            | Function::GetAlternatives
            | Function::ReserveSlot
            | Function::ReleaseSlot
            | Function::BookAppointment
            | Function::ConfirmBooking
            | Function::CollectAppointmentData
            | Function::CancelAppointment
            | Function::RescheduleAppointment => Ok(answers::cannot_do_this()),
        }
    }
}
