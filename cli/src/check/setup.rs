//! What can be wrong with companies, numbers, services, endpoints and keys: pure functions over loaded set-up.

use std::collections::{BTreeMap, BTreeSet};

use shared::domain::phone::E164;
use shared::store::accounts::{Account, Provider};
use shared::store::companies::CompanySetup;
use shared::store::credentials::CredentialSummary;
use shared::store::endpoints::EndpointSummary;
use uuid::Uuid;

use super::Finding;

fn has_endpoint(endpoints: &[EndpointSummary], account_id: Uuid, provider: Provider) -> bool {
    endpoints.iter().any(|endpoint| endpoint.account_id == account_id && endpoint.provider == provider && endpoint.disabled_at.is_none())
}

/// An account as every `--account` takes it.
fn account_name(accounts: &[Account], id: Uuid) -> String {
    accounts.iter().find(|account| account.id == id).map_or_else(|| id.to_string(), |account| format!("{}/{}", account.provider, account.label))
}

/// The findings, or one good one when there is none.
fn or_ok(findings: Vec<Finding>, check: &'static str, good: String) -> Vec<Finding> {
    if findings.is_empty() { vec![Finding::ok(check, good)] } else { findings }
}

/// Every active number is E.164, unique, leads to a branch of its company, and its account has an endpoint that Retell can send to.
pub fn phone_numbers(companies: &[CompanySetup], endpoints: &[EndpointSummary], accounts: &[Account]) -> Vec<Finding> {
    const CHECK: &str = "phone numbers";
    let mut findings = Vec::new();
    if companies.is_empty() {
        findings.push(Finding::failed(CHECK, "no company yet, so no call can be recognised", "frontdesk company add --from company.json"));
    }
    let mut holders: BTreeMap<&str, usize> = BTreeMap::new();
    for company in companies {
        if company.phone_numbers.iter().all(|number| !number.active) {
            let finding = format!("{}: no active number, so none of its calls can be recognised", company.name);
            findings.push(Finding::failed(CHECK, finding, "frontdesk company add --from with phone_numbers"));
        }
        for number in company.phone_numbers.iter().filter(|number| number.active) {
            *holders.entry(&number.e164).or_default() += 1;
            let mut failed = |what: &str, remedy: &str| findings.push(Finding::failed(CHECK, format!("{} {}: {what}", company.name, number.e164), remedy));
            if E164::parse(&number.e164).is_none() {
                failed("is not E.164", "store it as +, country and number, without separators");
            }
            if !company.branches.iter().any(|branch| branch.id == number.branch_id) {
                failed("leads to no branch", "map it to a branch of the company");
            }
            if !has_endpoint(endpoints, number.provider_account_id, Provider::Retell) {
                let account = account_name(accounts, number.provider_account_id);
                failed(&format!("its account {account} has no live endpoint"), &format!("frontdesk endpoint add --account {account} --secret-stdin"));
            }
        }
    }
    let doubled = holders.iter().filter(|(_, count)| **count > 1).map(|(number, _)| Finding::failed(CHECK, format!("{number} is there twice"), "keep one"));
    findings.extend(doubled);
    let count = holders.len();
    or_ok(findings, CHECK, format!("{count} active, each mapped to a branch and an account"))
}

/// Every active service with an event type has an account that we can call and that can send to us.
pub fn services(companies: &[CompanySetup], endpoints: &[EndpointSummary], keys: &[CredentialSummary], accounts: &[Account]) -> Vec<Finding> {
    const CHECK: &str = "services";
    let mut findings = Vec::new();
    let mut count = 0;
    for company in companies {
        for service in company.services.iter().filter(|service| service.active && service.calcom_event_type_id.is_some()) {
            count += 1;
            let mut failed = |what: &str, remedy: &str| findings.push(Finding::failed(CHECK, format!("{} / {}: {what}", company.name, service.name), remedy));
            let Some(account_id) = service.provider_account_id else {
                failed("its event type has no Cal.com account", "set the service's account");
                continue;
            };
            let account = account_name(accounts, account_id);
            if !keys.iter().any(|key| key.account_id == account_id && key.disabled_at.is_none()) {
                failed(
                    &format!("its account {account} has no live key"),
                    &format!("frontdesk credential add --account {account} --base-url … --api-key-stdin"),
                );
            }
            if !has_endpoint(endpoints, account_id, Provider::Calcom) {
                failed(&format!("its account {account} has no live endpoint"), &format!("frontdesk endpoint add --account {account}"));
            }
        }
    }
    or_ok(findings, CHECK, format!("{count} with an event type, each with a key and an endpoint"))
}

/// Every live endpoint has a secret that counts now.
pub fn endpoints(endpoints: &[EndpointSummary]) -> Vec<Finding> {
    const CHECK: &str = "endpoints";
    let live = endpoints.iter().filter(|endpoint| endpoint.disabled_at.is_none());
    let count = live.clone().count();
    let findings = live
        .filter(|endpoint| endpoint.live_secrets == 0)
        .map(|endpoint| {
            let finding = format!("{} {} has no live secret: every request gets 401", endpoint.provider, endpoint.id);
            Finding::failed(CHECK, finding, format!("frontdesk endpoint rotate {}", endpoint.id))
        })
        .collect();
    or_ok(findings, CHECK, format!("{count} live, each with a secret"))
}

/// Every account whose numbers are rung has a key with which the scheduler can ask Retell (Cal.com's keys are looked at with the services that need them), and no
/// live key belongs to the wrong world.
pub fn keys(companies: &[CompanySetup], keys: &[CredentialSummary], accounts: &[Account]) -> Vec<Finding> {
    const CHECK: &str = "keys";
    let rung: BTreeSet<Uuid> =
        companies.iter().flat_map(|company| &company.phone_numbers).filter(|number| number.active).map(|number| number.provider_account_id).collect();
    let missing = rung.into_iter().filter(|account| !keys.iter().any(|key| key.account_id == *account && key.disabled_at.is_none())).map(|account| {
        let account = account_name(accounts, account);
        Finding::failed(
            CHECK,
            format!("{account} has no live key: what Retell's webhooks fail to tell of its calls is never made up for, and nobody notices their silence"),
            format!("frontdesk credential add --account {account} --base-url https://api.retellai.com --api-key-stdin"),
        )
    });
    let live = keys.iter().filter(|key| key.disabled_at.is_none());
    let count = live.clone().count();
    let foreign =
        live.filter(|key| key.provider == Provider::Calcom && key.base_url.starts_with("https://api.cal.com") && !key.base_url.ends_with("/v2")).map(|key| {
            let finding = format!("{} {}: the base URL is not Cal.com's API v2", key.provider, key.account_label);
            Finding::failed(CHECK, finding, "add it again with --base-url https://api.cal.com/v2")
        });
    or_ok(missing.chain(foreign).collect(), CHECK, format!("{count} live, one for each account that is rung"))
}

#[cfg(test)]
mod tests {
    use shared::store::companies::{SetBranch, SetNumber, SetService};

    use super::super::Verdict;
    use super::*;

    const RETELL: Uuid = Uuid::from_u128(1);
    const CALCOM: Uuid = Uuid::from_u128(2);
    const BRANCH: Uuid = Uuid::from_u128(3);

    fn company(numbers: &[&str]) -> CompanySetup {
        let number = |e164: &&str| SetNumber { id: Uuid::nil(), e164: (*e164).to_owned(), active: true, branch_id: BRANCH, provider_account_id: RETELL };
        let service = SetService {
            id: Uuid::nil(),
            name: "S".to_owned(),
            duration_minutes: 30,
            seats_per_slot: 1,
            active: true,
            calcom_event_type_id: Some(1),
            provider_account_id: Some(CALCOM),
            staff_count: 1,
        };
        CompanySetup {
            id: Uuid::nil(),
            name: "C".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            transfer_number: None,
            branches: vec![SetBranch { id: BRANCH, name: "B".to_owned(), time_zone: "Europe/Berlin".to_owned(), transfer_number: None }],
            services: vec![service],
            staff: Vec::new(),
            phone_numbers: numbers.iter().map(number).collect(),
            agents: Vec::new(),
        }
    }

    fn endpoint(account_id: Uuid, provider: Provider, live_secrets: i64) -> EndpointSummary {
        EndpointSummary {
            id: Uuid::nil(),
            account_id,
            provider,
            account_label: String::new(),
            label: String::new(),
            live_secrets,
            ending_secrets: 0,
            disabled_at: None,
        }
    }

    fn key(base_url: &str) -> CredentialSummary {
        CredentialSummary {
            id: Uuid::nil(),
            account_id: CALCOM,
            provider: Provider::Calcom,
            account_label: "main".to_owned(),
            label: String::new(),
            base_url: base_url.to_owned(),
            rate_per_minute: 114,
            master_key_id: "k1".to_owned(),
            blocked_until: None,
            disabled_at: None,
        }
    }

    fn retell_key() -> CredentialSummary {
        CredentialSummary { account_id: RETELL, provider: Provider::Retell, ..key("https://api.retellai.com") }
    }

    fn failures(findings: &[Finding]) -> Vec<&str> {
        findings.iter().filter(|finding| finding.verdict == Verdict::Failed).map(|finding| finding.finding.as_str()).collect()
    }

    #[test]
    fn a_sound_setup_has_one_good_finding_per_check() {
        let both = [endpoint(RETELL, Provider::Retell, 1), endpoint(CALCOM, Provider::Calcom, 1)];
        let companies = [company(&["+493023125042"])];
        let both_keys = [key("https://api.cal.com/v2"), retell_key()];
        let findings =
            [phone_numbers(&companies, &both, &[]), services(&companies, &both, &both_keys, &[]), endpoints(&both), keys(&companies, &both_keys, &[])].concat();
        assert!(failures(&findings).is_empty() && findings.len() == 4, "{findings:?}");
    }

    #[test]
    fn numbers_are_held_to_e164_uniqueness_and_a_way_in() {
        let found = phone_numbers(&[company(&["03023125042"]), company(&["+493023125042"]), company(&["+493023125042"]), company(&[])], &[], &[]);
        let told = failures(&found).join("\n");
        for part in ["is not E.164", "is there twice", "has no live endpoint", "no active number"] {
            assert!(told.contains(part), "{told}");
        }
        assert!(found.iter().all(|finding| !finding.remedy.is_empty()));
    }

    #[test]
    fn without_a_company_no_call_can_be_recognised() {
        assert_eq!(failures(&phone_numbers(&[], &[], &[])), ["no company yet, so no call can be recognised"]);
    }

    #[test]
    fn a_service_needs_a_key_and_an_endpoint_of_its_account() {
        let accounts = [Account { id: CALCOM, provider: Provider::Calcom, label: "salon".to_owned() }];
        let found = services(&[company(&[])], &[endpoint(RETELL, Provider::Retell, 1)], &[], &accounts);
        assert_eq!(failures(&found).len(), 2, "{found:?}");
        assert!(found.iter().all(|finding| finding.remedy.contains("add --account calcom/salon")), "{found:?}");
    }

    #[test]
    fn an_endpoint_without_a_live_secret_is_a_finding() {
        assert_eq!(failures(&endpoints(&[endpoint(RETELL, Provider::Retell, 0)])).len(), 1);
        assert_eq!(failures(&keys(&[], &[key("https://api.cal.com")], &[])).len(), 1);
    }

    /// Without it a lost webhook of a call stays lost, and the table used to be green.
    #[test]
    fn an_account_that_is_rung_needs_a_live_retell_key() {
        let accounts = [Account { id: RETELL, provider: Provider::Retell, label: "salon".to_owned() }];
        // two companies of one account: told once
        let companies = [company(&["+493023125042"]), company(&["+493023125043"])];
        let disabled = CredentialSummary { disabled_at: Some(chrono::DateTime::UNIX_EPOCH), ..retell_key() };
        for without in [vec![], vec![disabled], vec![key("https://api.cal.com/v2")]] {
            let found = keys(&companies, &without, &accounts);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].verdict == Verdict::Failed && found[0].finding.contains("retell/salon"), "{found:?}");
            assert!(found[0].remedy.contains("credential add --account retell/salon"), "{found:?}");
        }
        assert!(failures(&keys(&companies, &[retell_key()], &accounts)).is_empty());
    }
}
