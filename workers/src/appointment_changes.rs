//! What the three roles that change appointments share: a caller's wish comes by function, everything else is a fact from Cal.com, and both meet in the
//! same role (architecture section 2). A role itself says only what it must see in Cal.com first, and how a wish becomes an intent.

use std::fmt;

use serde_json::Value;
use shared::envelope::{Envelope, Kind, Role};
use shared::store::tx::CompanyTx;
use sqlx::PgPool;

use crate::booking_facts::{self, Heard};
use crate::phone_functions::{self, Begun, FunctionWork};
use crate::runtime::metrics::Metrics;
use crate::runtime::{Context, Failure, Handler, Prepared};
use crate::{answers, calcom_events};

/// A kind of change.
pub trait Change: Send + Sync + 'static {
    /// Whose messages these are.
    const ROLE: Role;
    /// What it saw in Cal.com before its transaction; `()` if it need not look.
    type Seen: fmt::Debug + Send + Sync + 'static;

    /// Looks at Cal.com outside any transaction: which times are free. Reads only; may run again for the same message, and for one that was answered already.
    fn see(&self, envelope: &Envelope, work: &FunctionWork) -> impl Future<Output = Result<Self::Seen, Failure>> + Send;

    /// Records a new wish as an intent; `Some` is the answer if it cannot become one.
    fn wish(
        &self,
        tx: &mut CompanyTx,
        envelope: &Envelope,
        work: &FunctionWork,
        seen: &Self::Seen,
        begun: &Begun,
    ) -> impl Future<Output = Result<Option<Value>, Failure>> + Send;
}

/// The handler of one kind of change.
#[derive(Clone)]
pub struct AppointmentChanges<C> {
    pool: PgPool,
    metrics: Metrics,
    change: C,
}

/// Its two kinds of work.
#[derive(Debug)]
pub enum Work<S> {
    Function(Box<FunctionWork>, S),
    Calcom(Box<Heard>),
}

impl<C: Change> AppointmentChanges<C> {
    #[must_use]
    pub fn new(context: Context, change: C) -> Self {
        Self { pool: context.pool, metrics: context.metrics, change }
    }
}

impl<C: Change> Handler for AppointmentChanges<C> {
    const ROLE: Role = C::ROLE;
    type Work = Work<C::Seen>;

    async fn prepare(&self, envelope: &Envelope) -> Result<Prepared<Self::Work>, Failure> {
        if matches!(envelope.kind, Kind::RetellFunction(_)) {
            let prepared = phone_functions::prepare(&self.pool, envelope).await?;
            let seen = self.change.see(envelope, &prepared.work).await?;
            Ok(prepared.map(|work| Work::Function(Box::new(work), seen)))
        } else {
            Ok(calcom_events::prepare(&self.pool, envelope).await?.map(|work| Work::Calcom(Box::new(work))))
        }
    }

    async fn handle(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &Self::Work) -> Result<(), Failure> {
        match work {
            Work::Calcom(heard) => booking_facts::apply(tx, heard).await.map(|_| ()),
            Work::Function(work, seen) => {
                let Some(begun) = phone_functions::begin(tx, envelope, work, &self.metrics).await? else { return Ok(()) };
                if let Some(refusal) = self.change.wish(tx, envelope, work, seen, &begun).await? {
                    phone_functions::answer(tx, envelope, &begun, &refusal).await?;
                }
                Ok(())
            }
        }
    }

    async fn handle_group(&self, tx: &mut CompanyTx, group: &[(&Envelope, &Self::Work)]) -> Result<(), Failure> {
        let facts: Option<Vec<&Heard>> = group.iter().map(|(_, work)| if let Work::Calcom(heard) = work { Some(heard.as_ref()) } else { None }).collect();
        if let Some(facts) = facts {
            return booking_facts::apply_all(tx, &facts).await;
        }
        for (envelope, work) in group {
            self.handle(tx, envelope, work).await?;
        }
        Ok(())
    }

    async fn duplicate(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &Self::Work) -> Result<(), Failure> {
        match work {
            Work::Function(work, _) => phone_functions::begin(tx, envelope, work, &self.metrics).await.map(|_| ()),
            Work::Calcom(_) => Ok(()),
        }
    }

    fn parked_answer(&self, _envelope: &Envelope) -> Option<Vec<u8>> {
        Some(answers::cannot_do_this().to_string().into_bytes())
    }
}
