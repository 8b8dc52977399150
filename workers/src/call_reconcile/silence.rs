//! Job `silence`: which companies hear nothing any more though something happens at the provider, of Retell and of Cal.com. The rule is `store::silences`.
//!
//! How fast: the arithmetic stands at the jobs (`scheduler::jobs`), and is tested there.

use serde_json::json;
use shared::store::accounts::Provider;
use shared::store::reviews::{self, Finding};
use shared::store::silences::{self, Doubt, Verdict};

use super::trouble::{Whose, whose};
use crate::runtime::{Failure, failure_log};
use crate::scheduler::Running;

/// Judges every company that may be silent. One that cannot be judged now stays what it was, and keeps no other from being judged.
///
/// # Errors
/// Postgres is away; the leadership is lost; a company could not be judged (the others were).
pub async fn judge(running: Running) -> Result<String, Failure> {
    let mut silent = Provider::ALL.map(|provider| (provider, 0));
    let mut failed = None;
    for doubt in silences::in_doubt(&running.context.pool).await? {
        let is_silent = match of(&running, doubt).await {
            Ok(is_silent) => is_silent,
            // there is nobody to ask, or nobody who may: what was shown stands until there is
            Err(failure) if matches!(whose(&failure), Whose::Everybody) => return Err(failure),
            Err(failure) => {
                let (class, cause) = (failure.class(), failure_log::chain(&failure));
                tracing::error!(company.id = %doubt.company_id, provider = doubt.provider.name(), class, cause, "nobody can tell whether a company is silent");
                failed = Some(failure);
                doubt.silent
            }
        };
        silent.iter_mut().filter(|(provider, _)| *provider == doubt.provider).for_each(|(_, companies)| *companies += i64::from(is_silent));
    }
    for (provider, companies) in silent {
        running.context.metrics.reconcile.silent(provider, companies);
    }
    failed.map_or_else(|| Ok(format!("{} silent", silent.iter().map(|(_, companies)| companies).sum::<i64>())), Err)
}

/// Whether that company is silent; told once.
async fn of(running: &Running, doubt: Doubt) -> Result<bool, Failure> {
    let mut tx = running.begin(Some(doubt.company_id)).await?;
    let verdict = silences::judge(&mut tx, doubt.provider).await?;
    if let Verdict::Silent { since, news: true } = verdict {
        let (provider, since) = (doubt.provider.name(), since.to_rfc3339());
        let finding = Finding {
            subject: "webhooks",
            reason: "silent",
            appointment_id: None,
            call_id: None,
            intent_id: None,
            details: json!({ "provider": provider, "since": since }),
            dedup_key: format!("silent/{provider}/{since}"),
        };
        reviews::open(&mut tx, &finding).await?;
    }
    tx.commit().await?;
    let (company, provider) = (doubt.company_id, doubt.provider.name());
    match verdict {
        Verdict::Silent { news: true, .. } => {
            tracing::error!(company.id = %company, provider, "a company's webhooks are silent: what happens there is heard by sweeps only")
        }
        Verdict::HearsAgain => tracing::info!(company.id = %company, provider, "a company's webhooks are heard again"),
        Verdict::Silent { .. } | Verdict::Hears => {}
    }
    Ok(matches!(verdict, Verdict::Silent { .. }))
}
