//! Role `backfill`: fills empty cells of history from evidence, chunk by chunk, and takes them back when people ask.
//!
//! A chunk is one message and one transaction: its row says whether it is done, so a redelivery, a kill or a second message changes nothing. Each process with the role consumes
//! chunks; one of them at a time, whoever holds the lease, feeds all ([`feed`]) at the [`pace`] that callers and the database allow. Nothing goes out to Cal.com from here.
//! The rules are `shared::domain::backfill`; begun and ended by `frontdesk backfill`.

pub mod feed;
mod metrics;
mod pace;
pub(crate) mod scheduled;

use serde::{Deserialize, Serialize};
use shared::domain::backfill::Subject;
use shared::envelope::{Envelope, Role};
use shared::store::appointments::fill_nulls;
use shared::store::backfill::chunks::{self, Chunk, ChunkName};
use shared::store::backfill::{act, decisions};
use shared::store::tx::CompanyTx;
use uuid::Uuid;

use crate::runtime::{Failure, Handler, Prepared, reason};

/// What a message of kind `backfill.chunk` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ChunkMessage {
    company_id: Uuid,
    run_id: Uuid,
    table: String,
    number: i32,
    sent_count: i32,
}

impl ChunkMessage {
    fn of(company_id: Uuid, name: ChunkName) -> Self {
        Self { company_id, run_id: name.run_id, table: name.subject.table().to_owned(), number: name.number, sent_count: name.sent_count }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Backfill;

impl Handler for Backfill {
    const ROLE: Role = Role::Backfill;
    type Work = ChunkName;

    async fn prepare(&self, envelope: &Envelope) -> Result<Prepared<ChunkName>, Failure> {
        let unreadable = || Failure::park(reason::UNREADABLE, "not a chunk of a backfill");
        let message: ChunkMessage = serde_json::from_slice(&envelope.body).map_err(|_| unreadable())?;
        let subject = Subject::parse(&message.table).ok_or_else(unreadable)?;
        let work = ChunkName { run_id: message.run_id, subject, number: message.number, sent_count: message.sent_count };
        // our own message: whoever may write to this queue may name the company
        Ok(Prepared { company_id: Some(message.company_id), locks: Vec::new(), work })
    }

    async fn handle(&self, tx: &mut CompanyTx, _envelope: &Envelope, name: &ChunkName) -> Result<(), Failure> {
        act(tx).await?;
        let Some(chunk) = chunks::lock(tx, *name).await? else { return Ok(()) };
        if chunk.state == "done" {
            return Ok(());
        }
        match chunk.run_state.as_str() {
            "running" => fill(tx, *name, &chunk).await,
            "undoing" => {
                fill_nulls::take_back(tx, name.run_id, chunk.range).await?;
                Ok(chunks::finish(tx, *name, None).await?)
            }
            "paused" => Ok(chunks::give_back(tx, *name).await?),
            // ended meanwhile: its chunks are nobody's
            _ => Ok(()),
        }
    }
}

async fn fill(tx: &mut CompanyTx, name: ChunkName, chunk: &Chunk) -> Result<(), Failure> {
    let (fillings, counts) = decisions(tx, chunk.range).await?;
    fill_nulls::fill(tx, name.run_id, name.subject, &fillings).await?;
    fill_nulls::ask(tx, name.run_id, name.subject, &fillings).await?;
    Ok(chunks::finish(tx, name, Some(&counts)).await?)
}
