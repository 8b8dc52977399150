//! The inbox: one row per (role, message) makes a redelivery harmless. The raw event is stored with the first claim, in the same statement.
//!
//! Called by the workers' runtime only. A claim belongs to the transaction of its effects: rolled back together, committed together.

use sqlx::Row;

use crate::envelope::{Envelope, Role};
use crate::protection::Protection;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// Bodies from this size on are compressed (architecture section 4): below it the frame overhead outweighs the gain.
const COMPRESS_FROM_BYTES: usize = 8 * 1024;
/// As in the queue: level 3 packs webhook JSON hardly better and costs twice the time.
const COMPRESSION_LEVEL: i32 = 1;

/// A body as `events` keeps it.
struct Kept<'a> {
    encoding: &'static str,
    body: std::borrow::Cow<'a, [u8]>,
}

/// Claims the messages of one transaction for `role` and stores the raw events among them; one round trip. True at each position that was claimed now;
/// false where the message was handled before, or stands earlier in the same group.
///
/// Ids are claimed in ascending order, so that two groups with common messages wait for each other instead of deadlocking.
///
/// # Errors
/// When Postgres is away or another transaction stands in the way.
pub async fn claim(tx: &mut CompanyTx, role: Role, company_id: Option<uuid::Uuid>, envelopes: &[&Envelope]) -> Result<Vec<bool>, StoreError> {
    let mut order: Vec<usize> = (0..envelopes.len()).collect();
    order.sort_by(|one, other| envelopes[*one].message_id.cmp(&envelopes[*other].message_id).then(one.cmp(other)));
    order.dedup_by(|later, first| envelopes[*later].message_id == envelopes[*first].message_id);
    let sorted: Vec<&Envelope> = order.iter().map(|index| envelopes[*index]).collect();
    let kept: Vec<Option<Kept<'_>>> = sorted.iter().map(|envelope| keep(envelope)).collect();
    let rows = sqlx::query(
        "WITH claimed AS (
             INSERT INTO inbox (role, message_id) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING RETURNING message_id
         ), stored AS (
             INSERT INTO events (message_id, kind, endpoint_id, company_id, received_at, encoding, body)
             SELECT message_id, kind, endpoint_id, $3, received_at, encoding, body
             FROM unnest($2::text[], $4::text[], $5::uuid[], $6::timestamptz[], $7::text[], $8::bytea[])
                 AS event (message_id, kind, endpoint_id, received_at, encoding, body)
             JOIN claimed USING (message_id) WHERE encoding IS NOT NULL
         )
         SELECT message_id FROM claimed",
    )
    .bind(role.name())
    .bind(sorted.iter().map(|envelope| envelope.message_id.as_str()).collect::<Vec<_>>())
    .bind(company_id)
    .bind(sorted.iter().map(|envelope| envelope.kind.name()).collect::<Vec<_>>())
    .bind(sorted.iter().map(|envelope| envelope.endpoint).collect::<Vec<_>>())
    .bind(sorted.iter().map(|envelope| envelope.received_at).collect::<Vec<_>>())
    .bind(kept.iter().map(|kept| kept.as_ref().map(|kept| kept.encoding)).collect::<Vec<_>>())
    .bind(kept.iter().map(|kept| kept.as_ref().map(|kept| kept.body.as_ref())).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await
    .map_err(failed("claim messages in the inbox"))?;
    let mut claimed = vec![false; envelopes.len()];
    for row in &rows {
        let id: &str = row.try_get(0).map_err(failed("read a claimed message id"))?;
        if let Ok(place) = sorted.binary_search_by(|envelope| envelope.message_id.as_str().cmp(id)) {
            claimed[order[place]] = true;
        }
    }
    if Protection::Inbox.is_off() {
        claimed.fill(true);
    }
    Ok(claimed)
}

/// What of a message goes into `events`: providers' events, once. A replay's body is there already; our own messages are no events.
fn keep(envelope: &Envelope) -> Option<Kept<'_>> {
    if envelope.endpoint.is_none() || envelope.message_id.as_str().contains('#') {
        return None;
    }
    let body = envelope.body.as_ref();
    if body.len() >= COMPRESS_FROM_BYTES
        && let Ok(packed) = zstd::bulk::compress(body, COMPRESSION_LEVEL)
        && packed.len() < body.len()
    {
        return Some(Kept { encoding: "zstd", body: packed.into() });
    }
    Some(Kept { encoding: "identity", body: body.into() })
}
