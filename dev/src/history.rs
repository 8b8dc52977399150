//! `cargo dev history`: a realistic broken history of any size, made from a seed and loaded by COPY; and, in a file of its own, what really happened.
//! The backfill is measured against it. Knows nothing of the backfill's rules (a test reads these sources): evidence and rules meet in the domain reference only.
//!
//! # What the former system wrote
//! An import takes the former rows over like this. It marks each row with `import_run_id` (which releases it from the CHECKs of the audit columns) and `legacy_id`; what
//! a column of ours takes is in the column; what none takes is kept under the former name:
//!
//! - **`appointments.legacy_metadata`**, flat: the keys of the former `metadata` (domain reference 1.5) and, beside them, former columns under their own name. Looked at here:
//!   `source` (retell_webhook, retell_phone, phone, api, cal.com, calcom, cal.com_direct, customer_portal, admin) · `created_via`, `booked_via` (canonical words) ·
//!   `created_by`, `booking_source` (generations b and c, below) · `cancelled_by` (a number: the portal's bug) · `retell_call_id`, `call_id` (Retell's text, or a
//!   placeholder) · `calcom_booking_uid` · `calcom_host_id` (Cal.com's user) · `customer_name` · `backfilled`, `backfilled_at` · `previous_booking_id` (a uid) ·
//!   `last_modified_at` · `last_update_payload`, `cancellation_payload` (Cal.com's webhook `{triggerEvent, createdAt, payload}`; in old archives with
//!   `previousStartTime` and the words organizer, attendee) · `cal_com_data` (the answer of Cal.com's API; its `metadata.call_id` is Retell's text) · `metadata_text` (all
//!   metadata as one text: it was encoded twice; `source` stands beside it).
//! - Words of generation b, `created_by` / `booking_source`: customer_phone / retell_function_call = customer by retell_phone · retell_ai / retell_webhook or retell_api =
//!   customer by that · cal.com_webhook / cal.com_webhook = customer by calcom_webhook · staff_user / manual_staff = staff by crm_admin · widget_embed and api_external alone say nothing.
//!   Generation c: retell_agent / phone_call = customer by retell_phone.
//! - **`appointments.notes`**, a line each: `Created via Retell webhook` · `Rescheduled on 2025-10-12T14:05:33Z from 2025-10-15T09:00:00Z to 2025-10-16T09:00:00Z` ·
//!   `Cancelled on 2025-10-12T14:05:33Z. Reason: Krank geworden` (the reason may be missing). Times are UTC.
//! - **`appointment_modifications`**: kinds rescheduled and cancelled only; the former system had no rows for bookings. `actor` is mapped from modified_by_type, times of a
//!   move are in their columns, `occurred_at` is the former created_at; `call_id` is empty. `source` holds the former word only if it is one of ours and its CHECKs hold without more
//!   evidence, else `unknown`. **`legacy_metadata`**: `original_time`, `new_time`, `rescheduled_via` / `cancelled_via` (retell_api, phone, retell_function_call = retell_api;
//!   calcom_webhook, cal.com_webhook, cal.com = calcom_webhook; customer_portal; crm_admin, admin, manual_staff = crm_admin), `call_id` (Retell's text), `modified_by_type` (Customer,
//!   Staff, User), `modified_by_id` (our user), `hours_notice`, `policy_required`, `calcom_synced`.
//! - **`calls.metadata`**: `converted_appointment_id` (= appointments.legacy_id of the company), `booking_confirmed`, `booking_details.calcom_booking.uid`, `duration_sec` if it was
//!   negative. `outcome` is the former session_outcome.
//! - **`events`**: `calcom.booking_created` with Cal.com's webhook as body, `received_at` = the appointment's created_at. **`audit_log`**: action `created`, entity `appointment`,
//!   entity_id = our key, user_id. **`calcom_bookings`**: the newest uid with its `host_user_id`.
//! - **`reviews`** of reason `import_refused`: former rows that foreign keys refuse; `details.row` is what they named.
//!
//! All appointments lie in the past (2025-06 to 2026-02), so nothing of the live work meets them. Statuses are completed, no_show and cancelled.
//!
//! Files: `plan` seed, size, keys · `life` the truth · `evidence` what was kept of it · `calls` what became of the calls · `damage` the table of kinds · `truth` the file beside ·
//! `contents` batches in order · `rows` cell by cell · `set_up` the companies · `load` COPY · `target` which database · `people`, `payload`, `copy`, `chance` their parts.
mod calls;
mod chance;
pub mod contents;
pub mod copy;
pub mod damage;
mod evidence;
mod life;
pub mod load;
mod payload;
mod people;
pub mod plan;
mod rows;
mod set_up;
pub mod target;
pub mod truth;

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;

use crate::progress::Progress;
use copy::Table;
use damage::Damage;
use load::Report;
use plan::Plan;

/// `history --appointments N [--companies C] [--seed S] [--truth FILE] [--database-url URL]`
#[derive(Debug, Args)]
pub struct History {
    /// How many; calls, customers and changes come with them
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    appointments: u64,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    companies: u16,
    /// The same seed and size give the same history
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where what really happened is written to, a JSON object per line; nowhere if not given
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Superuser's URL of a migrated database; that of the detached `cargo dev up` if not given
    #[arg(long, env = "HISTORY_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The database that is named was not made by `cargo dev`, and is meant
    #[arg(long, requires = "database_url")]
    foreign_database: bool,
}

impl History {
    /// Makes and loads it, and prints what was broken.
    pub async fn run(&self) -> anyhow::Result<ExitCode> {
        let plan = Plan { seed: self.seed, companies: usize::from(self.companies), appointments: self.appointments };
        ensure!(plan.appointments >= plan.companies as u64, "fewer appointments than companies");
        let url = target::target(self.database_url.as_deref(), self.foreign_database)?;
        let progress = Progress::terminal();
        let step = progress.step(format!("history of {} appointments in {} companies, seed {}", plan.appointments, plan.companies, plan.seed));
        let report = match &self.truth {
            Some(file) => {
                let file = File::create_new(file).with_context(|| format!("making {} (it must not be there yet)", file.display()))?;
                load::load(&url, plan, BufWriter::new(file), &progress).await?
            }
            None => load::load(&url, plan, std::io::sink(), &progress).await?,
        };
        step.done();
        print!("{}", render(&report));
        Ok(ExitCode::SUCCESS)
    }
}

/// The rows of each table, the pace, and each kind of damage with how often it was done.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn render(report: &Report) -> String {
    let all: u64 = report.rows.iter().sum();
    let seconds = report.took.as_secs_f64().max(f64::EPSILON);
    let mut text = String::new();
    for (table, rows) in Table::ALL.iter().zip(report.rows) {
        text.push_str(&format!("{rows:>10}  {}\n", table.columns().0));
    }
    text.push_str(&format!(
        "{all:>10}  rows in {seconds:.1} s: {:.0} rows/s, {:.0} appointments/s\n\n",
        all as f64 / seconds,
        report.plan.appointments as f64 / seconds
    ));
    for damage in Damage::ALL {
        text.push_str(&format!("{:>10}  {:<26} {:<10} {}\n", report.tally.of(*damage), damage.name(), damage.origin(), damage.what()));
    }
    text
}
