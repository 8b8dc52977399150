//! The companies of a history: who works there, what they offer, which accounts they share, and the run that imported them.
//! Called by `load`, before everything else.
use super::copy::{Row, Rows};
use super::people;
use super::plan::{DAY, FIRST_DAY, Of, Plan};

/// A COPY statement and its rows.
pub type Loaded = (String, Rows);

const SERVICES: [&str; 4] = ["Beratung", "Behandlung", "Kontrolle", "Großer Termin"];

/// Everything that the rows of a history name, in the order of its foreign keys.
pub fn set_up(plan: &Plan) -> Vec<Loaded> {
    let mut tables = vec![accounts(plan), companies(plan), branches(plan), services(plan), staff(plan), service_staff(plan), numbers(plan), users(plan)];
    tables.push(runs(plan));
    tables
}

fn table(columns: &str, fill: impl FnOnce(&mut Rows)) -> Loaded {
    let mut rows = Rows::default();
    fill(&mut rows);
    (format!("COPY {columns} FROM STDIN"), rows)
}

fn accounts(plan: &Plan) -> Loaded {
    table("provider_accounts (id, provider, label)", |rows| {
        for (of, provider) in [(Of::RetellAccount, "retell"), (Of::CalcomAccount, "calcom")] {
            rows.row().id(plan.key(of, 0, 0)).text(provider).text(&format!("history {}", plan.seed)).end();
        }
    })
}

fn companies(plan: &Plan) -> Loaded {
    table("companies (id, name, legacy_id)", |rows| {
        for company in 0..plan.companies {
            let legacy = format!("history-{}-{company}", plan.seed);
            rows.row().id(plan.key(Of::Company, company, 0)).text(&plan.company_name(company)).text(&legacy).end();
        }
    })
}

fn branches(plan: &Plan) -> Loaded {
    table("branches (id, company_id, name, legacy_id)", |rows| {
        for company in 0..plan.companies {
            rows.row().id(plan.key(Of::Branch, company, 0)).id(plan.key(Of::Company, company, 0)).text("Mitte").text("1").end();
        }
    })
}

fn services(plan: &Plan) -> Loaded {
    table("services (id, company_id, name, duration_minutes, price_minor, currency, provider_account_id, calcom_event_type_id, legacy_id)", |rows| {
        for company in 0..plan.companies {
            for (number, name) in (0..plan.services()).zip(SERVICES) {
                rows.row()
                    .id(plan.key(Of::Service, company, number))
                    .id(plan.key(Of::Company, company, 0))
                    .text(name)
                    .number(plan.minutes(number))
                    .number(3_000 + 500 * number.cast_signed())
                    .text("EUR")
                    .id(plan.key(Of::CalcomAccount, 0, 0))
                    .number(plan.event_type(company, number))
                    .text(&number.to_string())
                    .end();
            }
        }
    })
}

fn staff(plan: &Plan) -> Loaded {
    table("staff (id, company_id, name, email, calcom_user_id, legacy_id)", |rows| {
        for company in 0..plan.companies {
            for number in 0..plan.staff() {
                // people of their own, beyond all customers
                let person = people::person(plan.seed, plan.companies, company, 4_000_001 + number * 4);
                rows.row()
                    .id(plan.key(Of::Staff, company, number))
                    .id(plan.key(Of::Company, company, 0))
                    .text(&person.name)
                    .text(&plan.staff_email(company, number))
                    .number(plan.host(company, number))
                    .text(&number.to_string())
                    .end();
            }
        }
    })
}

fn service_staff(plan: &Plan) -> Loaded {
    table("service_staff (company_id, service_id, staff_id)", |rows| {
        for company in 0..plan.companies {
            for (service, person) in (0..plan.services()).flat_map(|service| (0..plan.staff()).map(move |person| (service, person))) {
                rows.row().id(plan.key(Of::Company, company, 0)).id(plan.key(Of::Service, company, service)).id(plan.key(Of::Staff, company, person)).end();
            }
        }
    })
}

fn numbers(plan: &Plan) -> Loaded {
    table("phone_numbers (id, company_id, branch_id, provider_account_id, e164, label)", |rows| {
        for company in 0..plan.companies {
            rows.row()
                .id(plan.key(Of::PhoneNumber, company, 0))
                .id(plan.key(Of::Company, company, 0))
                .id(plan.key(Of::Branch, company, 0))
                .id(plan.key(Of::RetellAccount, 0, 0))
                .text(&plan.our_number(company))
                .text("history")
                .end();
        }
    })
}

fn users(plan: &Plan) -> Loaded {
    table("users (id, company_id, email, display_name, role)", |rows| {
        for company in 0..plan.companies {
            for number in 0..plan.users() {
                let person = people::person(plan.seed, plan.companies, company, 5_000_001 + number * 4);
                rows.row()
                    .id(plan.key(Of::User, company, number))
                    .id(plan.key(Of::Company, company, 0))
                    .text(&format!("buero{number}.{company}@betrieb.example"))
                    .text(&person.name)
                    .text(if number == 0 { "admin" } else { "staff" })
                    .end();
            }
        }
    })
}

fn runs(plan: &Plan) -> Loaded {
    table("import_runs (id, company_id, kind, state, report, started_at, finished_at)", |rows| {
        for company in 0..plan.companies {
            let at = (FIRST_DAY + 273) * DAY;
            let report = serde_json::json!({ "seed": plan.seed, "appointments": plan.appointments_of(company) });
            rows.row()
                .id(plan.key(Of::ImportRun, company, 0))
                .id(plan.key(Of::Company, company, 0))
                .text("history")
                .text("finished")
                .json(&report)
                .maybe(Some(at), Row::time)
                .time(at)
                .end();
        }
    })
}
