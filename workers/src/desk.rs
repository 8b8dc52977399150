//! Role `desk`: answers a caller now. In this version: call_inbound with the company's marks and the date in words; the wish to be called
//! back; the reading functions are refused honestly until they are built (the live call's own issue).

use chrono::{Datelike, Duration};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::local_time;
use shared::envelope::{Envelope, Kind, Role};
use shared::functions::Function;
use shared::store::callbacks;
use shared::store::resolve::NumberOwner;
use shared::store::tx::CompanyTx;
use shared::wire::retell::CallInbound;
use sqlx::PgPool;

use crate::answers;
use crate::phone_functions::{self, FunctionWork};
use crate::runtime::handler::reason;
use crate::runtime::{Context, Failure, Handler, Prepared};
use crate::tenants::{self, CallEvidence};

/// The role.
#[derive(Clone)]
pub struct Desk {
    pool: PgPool,
    clock: Clock,
}

/// What is asked.
#[derive(Debug)]
pub enum Work {
    Inbound(NumberOwner),
    Function(Box<FunctionWork>),
}

impl Handler for Desk {
    const ROLE: Role = Role::Desk;
    type Work = Work;

    async fn prepare(&self, envelope: &Envelope) -> Result<Prepared<Work>, Failure> {
        if envelope.kind != Kind::RetellCallInbound {
            return Ok(phone_functions::prepare(&self.pool, envelope).await?.map(|work| Work::Function(Box::new(work))));
        }
        let endpoint = tenants::endpoint(envelope)?;
        let inbound = CallInbound::parse(&envelope.body).map_err(|error| Failure::park(reason::POISON, error.to_string()))?;
        let evidence = CallEvidence { our_number: inbound.to_number.as_deref(), agent_id: inbound.agent_id.as_deref(), company_id: None };
        let owner = tenants::of_call(&self.pool, endpoint, &evidence).await?;
        Ok(Prepared { company_id: Some(owner.company_id), locks: Vec::new(), work: Work::Inbound(owner) })
    }

    async fn handle(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &Work) -> Result<(), Failure> {
        match work {
            Work::Inbound(owner) => {
                if let Some(to) = &envelope.reply_to {
                    tx.reply(to.clone(), self.greeting(owner).to_string().into_bytes());
                }
                Ok(())
            }
            Work::Function(work) => {
                let Some(begun) = phone_functions::begin(tx, envelope, work).await? else { return Ok(()) };
                let answer = if envelope.kind == Kind::RetellFunction(Function::RequestCallback) {
                    // what every refusal offers must be had
                    callbacks::promise(tx, Some(begun.call.id), None, "customer_request", callbacks::Priority::Normal).await?;
                    answers::callback_promised()
                } else {
                    answers::cannot_do_this()
                };
                phone_functions::answer(tx, envelope, &begun, &answer).await
            }
        }
    }

    async fn duplicate(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &Work) -> Result<(), Failure> {
        match work {
            Work::Inbound(_) => self.handle(tx, envelope, work).await,
            Work::Function(work) => phone_functions::begin(tx, envelope, work).await.map(|_| ()),
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
        Self { pool: context.pool, clock: context.clock }
    }

    /// Variables are strings only, or Retell voids the whole answer; the metadata comes back in every later signed body (retell reference 3).
    fn greeting(&self, owner: &NumberOwner) -> Value {
        let zone = local_time::zone(&owner.time_zone).unwrap_or(chrono_tz::Tz::Europe__Berlin);
        let now = self.clock.now().with_timezone(&zone);
        let day = |date: chrono::NaiveDate| {
            format!("{}, der {}. {} {}", local_time::weekday(date.weekday()), date.day(), local_time::month(date.month()), date.year())
        };
        let today = now.date_naive();
        json!({ "call_inbound": {
            "dynamic_variables": {
                "current_date": today.format("%d.%m.%Y").to_string(),
                "current_time": now.format("%H:%M").to_string(),
                "today": day(today),
                "tomorrow": day(today + Duration::days(1)),
                "timezone": owner.time_zone,
            },
            "metadata": { "company_id": owner.company_id, "branch_id": owner.branch_id },
        } })
    }
}
