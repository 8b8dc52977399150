//! Job `silence`: which companies hear nothing any more though something happens at the provider, of Retell and of Cal.com. The rule is `store::silences`.
//!
//! How fast: the arithmetic stands at the jobs (`scheduler::jobs`), and is tested there.

use serde_json::json;
use shared::store::accounts::Provider;
use shared::store::reviews::{self, Finding};
use shared::store::silences::{self, Verdict};

use crate::runtime::Failure;
use crate::scheduler::Running;

/// Judges every company that may be silent.
///
/// # Errors
/// Postgres is away; the leadership is lost.
pub async fn judge(running: Running) -> Result<String, Failure> {
    let mut silent = Provider::ALL.map(|provider| (provider, 0));
    for doubt in silences::in_doubt(&running.context.pool).await? {
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
        if let Verdict::Silent { .. } = verdict {
            silent.iter_mut().filter(|(provider, _)| *provider == doubt.provider).for_each(|(_, companies)| *companies += 1);
        }
    }
    for (provider, companies) in silent {
        running.context.metrics.reconcile.silent(provider, companies);
    }
    Ok(format!("{} silent", silent.iter().map(|(_, companies)| companies).sum::<i64>()))
}
