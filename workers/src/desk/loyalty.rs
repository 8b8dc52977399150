//! What is remembered for a customer, and what a good one has of it (functions save_customer_preference and apply_vip_benefits).

use serde_json::{Value, json};
use shared::domain::policies::VipTier;
use shared::functions::arguments::{PREFERENCE_KEY, PREFERENCE_TYPE, PREFERENCE_VALUE};
use shared::store::customers::{self, CustomerHint};
use shared::store::tx::CompanyTx;
use shared::store::{calls, preferences};
use shared::texts::Sentence;
use shared::wire::arguments::ArgumentError;

use super::asked::{Asked, refusal};
use crate::answers;
use crate::runtime::handler::Failure;

/// Names of preferences, in characters.
const NAME_MAX: usize = 80;
/// Of the value, as JSON: a wish in a sentence or two, no document.
const VALUE_MAX: usize = 1_000;

/// Whoever has a number can be remembered; whoever withholds it cannot.
///
/// # Errors
/// Only what the store says.
pub async fn save_preference(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Value, Failure> {
    let invalid = |argument| Ok(answers::argument(&ArgumentError::Invalid { argument }));
    let (Some(kind), Some(key)) = (asked.told(&PREFERENCE_TYPE), asked.told(&PREFERENCE_KEY)) else { return invalid(PREFERENCE_TYPE.name()) };
    if kind.chars().count() > NAME_MAX || key.chars().count() > NAME_MAX {
        return invalid(PREFERENCE_KEY.name());
    }
    let value = asked.work.arguments.told_json(&PREFERENCE_VALUE).filter(|value| value.expose().to_string().chars().count() <= VALUE_MAX);
    let Some(value) = value else { return invalid(PREFERENCE_VALUE.name()) };
    let customer_id = match (asked.begun.customer_id, asked.number()) {
        (Some(customer_id), _) => customer_id,
        (None, Some(phone)) => {
            let hint = CustomerHint { phone: Some(&phone), source: "retell_phone", ..CustomerHint::default() };
            let customer_id = customers::resolve(tx, &hint).await?;
            calls::link_customer(tx, asked.begun.call.id, customer_id).await?;
            customer_id
        }
        (None, None) => return Ok(refusal("no_customer", Sentence::PreferenceNeedsCustomer {})),
    };
    match preferences::save(tx, customer_id, asked.begun.call.id, &kind.to_lowercase(), &key.to_lowercase(), value.expose()).await? {
        Some(saved) => Ok(json!({
            "success": true, "preference_type": saved.preference_type, "preference_key": saved.key, "usage_count": saved.usage_count,
            "confidence": (f64::from(saved.confidence) * 100.0).round() / 100.0, "message": Sentence::PreferenceSaved {}.german(),
        })),
        None => invalid(PREFERENCE_KEY.name()),
    }
}

/// # Errors
/// Only what the store says.
pub async fn benefits(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Value, Failure> {
    let known = asked.caller(tx).await?;
    let tier = known.tier();
    let words = in_words(tier);
    let message = if words.is_empty() { Sentence::NoBenefits {} } else { Sentence::Benefits { benefits: &words } }.german();
    Ok(json!({
        "success": true, "status": known.status(), "vip_tier": tier.literal(), "discount": tier.discount_percent(), "benefits": tier.benefits(),
        "perks": tier.benefits(), "priority": tier >= VipTier::Silver, "message": message,
    }))
}

/// "10 Prozent Nachlass und besondere Zeiten".
fn in_words(tier: VipTier) -> String {
    let said: Vec<String> = tier
        .benefits()
        .iter()
        .filter_map(|benefit| match *benefit {
            "discount" => Some(format!("{} Prozent Nachlass", tier.discount_percent())),
            "exclusive_slots" => Some("besondere Zeiten".to_owned()),
            "account_manager" => Some("einen festen Ansprechpartner".to_owned()),
            "priority" => Some("Vorrang bei kurzfristigen Terminen".to_owned()),
            "flexible_cancellation" => Some("kulante Absagen".to_owned()),
            _ => None,
        })
        .collect();
    match said.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [others @ .., last] => format!("{} und {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_benefit_of_every_tier_has_words() {
        let said = VipTier::ALL.map(in_words);
        assert_eq!(said[0], "");
        assert_eq!(said[4], "15 Prozent Nachlass, besondere Zeiten und einen festen Ansprechpartner");
        for (tier, said) in VipTier::ALL.into_iter().zip(said) {
            assert_eq!(said.split(" und ").flat_map(|part| part.split(", ")).filter(|part| !part.is_empty()).count(), tier.benefits().len(), "{said}");
        }
    }
}
